//! Rate limits that hold over all workers together and hardly ever ask anybody.
//!
//! 1. A request takes from what its worker has *leased* of a key ([`Ledger`]). What is leased has been taken
//!    off the limit in the store already, so that no limit is exceeded whatever becomes of the worker.
//! 2. Where there is not enough, the store is asked, and the requests that need it wait ([`LeaseCalls`]).
//! 3. A key that the store has nothing left for is refused without a question until there is more.
//! 4. How much is leased follows demand; what is not used is handed back on the tick.
//!
//! Relies on: the worker's clock, by which a lease's age is measured from when it was asked for, running at
//! the store's pace to within a hundredth.

mod demand;
mod entry;
mod fallback;
mod key;
mod lease;
mod lease_calls;
mod leases;
mod ledger;
mod limit;
mod question;
mod remaining;
mod report;
mod returns;
#[cfg(test)]
mod tests;

pub use self::{
    demand::{KeyText, LimitDemand},
    entry::Availability,
    key::{Requester, key_of},
    lease::LeaseDraw,
    lease_calls::{Between, FinishedLeases, LeaseCalls, Waiter},
    ledger::Ledger,
    limit::{Cost, KeyPart, Limit, LimitHeaders, OnStoreUnavailable, RequestsFrom, RouteLimits},
    question::{Question, Reachable},
    remaining::Remaining,
    report::{Report, seconds},
};
