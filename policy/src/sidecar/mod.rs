//! Calls to the sidecar: how they are written down, and which are under way.

pub mod checks;
pub mod client;
pub mod in_flight;
pub mod renewals;
