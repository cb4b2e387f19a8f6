//! Session Gate on virtual time.
//!
//! Many real workers (`policy/`) and several real sidecars (service and router, over one real memory store)
//! in one thread, on a clock that moves only when nobody has anything left to do. Between them is a network
//! that delays, loses, repeats and cuts; machines crash, stand still and have clocks of their own. Everything
//! is decided by one seed. A checker (`check`) holds every decision against what is promised in
//! `docs/guarantees.md`; `docs/simulation.md` says what is simulated and what is not.
#![warn(missing_docs)]

mod answers;
mod breaking;
mod case;
mod check;
mod client_calls;
mod clients;
mod clocks;
mod counts;
mod crowd;
mod crowding;
mod decision;
mod demands;
mod events;
mod exercised;
mod faults;
mod foreign;
mod guesses;
mod guessing;
mod header_logins;
mod history;
mod idle;
mod idle_streams;
mod ledgers;
mod limited;
mod limits;
mod lives;
mod logging_in;
mod machines;
mod mind;
mod network;
mod notes;
mod numbers;
mod opaque;
mod operations;
mod outcomes;
mod parameters;
mod playing;
mod promise;
mod questions;
mod queue;
pub mod recorded;
mod refresh;
mod refreshing;
mod refusal;
mod refusals;
mod refused_calls;
mod renewals;
mod renewing;
mod requests;
mod rotation;
mod rules;
pub mod scenario;
mod scopes;
mod second_factor;
mod served;
mod sidecar;
pub mod simulation;
mod store;
mod streams;
mod tasks;
mod told;
mod traffic;
mod truth;
mod under_way;
mod words;
mod worker_host;
mod world;
