//! Session Gate's decision about a request.
//!
//! Sans-I/O: events and time come in as arguments, effects go out as values, and whoever hosts this
//! (the wasm filter, a test, a checker) carries them out. What may pass:
//!
//! 1. The rule is found first, and only where every way in which an upstream might read the request
//!    leads to the same one ([`route`], [`path`]).
//! 2. A request passes with a [`permit::Permit`], which only that module makes, and each way to one
//!    is named there: a public route, a verified token whose session is live, and so on.
//! 3. A token is good only to the letter of its RFCs ([`jose`], [`token`]).
//! 4. What could not be decided is decided by the route's failure mode, in one place
//!    ([`permit::Permit::after_failure`]).
//! 5. Upstreams get to see only what the gate has set or a client may send ([`trusted`],
//!    [`credential::removal`]).
//!
//! Relies on: the host handing over headers as the upstream will see them, and a clock that is right
//! to within the issuers' leeway.
#![warn(missing_docs)]

pub mod cache;
pub mod call;
pub mod config;
pub mod cors;
pub mod credential;
pub mod csrf;
pub mod denial;
pub mod feed;
pub mod flights;
pub mod headers;
pub mod host;
pub mod jose;
pub mod limits;
pub mod metric;
pub mod now;
pub mod path;
pub mod permit;
#[cfg(test)]
mod properties;
pub mod readings;
pub mod request;
pub mod route;
pub mod security_headers;
#[cfg(test)]
mod testing;
pub mod token;
pub mod trusted;
pub mod vm;
pub mod worker;
