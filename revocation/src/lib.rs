//! What has been taken back, as the change feed tells it. Pure: no clock, no I/O.
//!
//! One set of facts for whoever decides about a credential, a worker in the filter and the sidecar alike:
//!
//! 1. What has ended for good stays so: sessions and tokens one by one ([`EndedSet`]), all sessions of a user up to a
//!    moment ([`CutOff`](session_gate_protocol::CutOff)).
//! 2. Of a suspension, of a session's scopes and of cut-offs the greatest version counts, in whatever order they are
//!    told.
//! 3. Rules ([`Rules`]) are found by what they name, however many there are.
//! 4. A change of an unknown kind that must be understood makes its receiver ignorant
//!    ([`Revocations::is_ignorant`]) until the change is irrelevant.
//!
//! How old the facts are, and what follows from that, is the user's business.
#![warn(missing_docs)]

mod ended;
mod expiring;
mod names;
mod rules;
mod state;

pub use self::{
    ended::EndedSet,
    names::{SessionNames, TokenNames},
    rules::{ActiveRule, Rules, RulesGeneration},
    state::{Revocations, SessionScopes},
};
