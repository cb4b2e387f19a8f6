//! The change feed, as this replica knows it: one task reads the store's and keeps all that is of use
//! in memory; workers are answered from there. Their polls are receipts of what they have applied.
//!
//! What a reply proves: its worker then knows everything that was in the feed `age_ms` before the
//! reply was written. Only a reading that went up to the end of the feed counts, from the moment at
//! which it was sent.

mod again;
mod answering;
mod crowd;
mod followers;
mod handle;
mod judge;
mod known;
mod limits;
mod may_answer;
mod poll;
mod receipt;
mod record;
mod rules_in_force;
mod shared;
mod tail;
#[cfg(test)]
mod tests;

pub use self::{
    handle::{Feed, FeedStatus},
    judge::{Against, Client, KnownSession, RulePage},
    limits::OverridePage,
    poll::MAX_WAIT,
    shared::Pages,
};
