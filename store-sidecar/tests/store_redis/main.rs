//! The Redis store on a real Redis: it keeps every promise of `Store`, stores what is documented,
//! and behaves while Redis is away.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose preparation fails has failed"
)]

mod changes;
mod counters;
mod harness;
mod losses;
mod outages;
mod refusals;
mod repeated;
mod setups;
mod standing;
mod stored;
mod topologies;

use harness::Redis;

store_sidecar::store_conformance!(Redis);
