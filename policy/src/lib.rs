//! Session Gate's decision about a request.
//!
//! Sans-I/O: events and time come in as arguments, effects go out as values, and whoever hosts this
//! (the wasm filter, a test, a checker) carries them out. What may pass:
//!
//! 1. The rule is found first, and only where every way in which an upstream might read the request
//!    leads to the same one ([`routing`], [`http::interpretations`], [`http::upstream_interpretations`]).
//! 2. A request passes with a [`request::permit::Permit`], which only that module makes: on a public route, or as
//!    an identity that may be served. A CORS preflight is answered here and never passes by its being one.
//! 3. Whether an identity may be served here and now is decided by one predicate, [`knowledge::standing()`], for new
//!    requests, for those that have waited, for open streams, and where the sidecar cannot be asked.
//! 4. A token is good only to the letter of its RFCs ([`session_gate_jose`], [`token`]).
//! 5. Upstreams get to see only what the gate has set or a client may send ([`response::upstream_headers`],
//!    [`http::credential::removal`]), and may have it proved ([`http::proof`]).
//!
//! Imports go down this list only: `worker`, `vm`, `request`, `config`, `response`, `knowledge`, `routing`, `token`,
//! `limits`, `http`, `sidecar`, `host`, `ids`.
//!
//! Relies on: the host handing over headers as the upstream will see them, and a clock that is right
//! to within the issuers' leeway.
#![warn(missing_docs)]

pub mod config;
mod generations;
pub mod host;
pub mod http;
pub mod ids;
pub mod knowledge;
pub mod limits;
pub mod metric;
#[cfg(test)]
mod properties;
pub mod request;
pub mod response;
pub mod routing;
pub mod sidecar;
#[cfg(test)]
mod testing;
pub mod time;
pub mod token;
pub mod vm;
pub mod worker;
