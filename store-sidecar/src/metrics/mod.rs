//! Every metric of the sidecar, by name: what is counted and where is for the callers. Labels are
//! `&'static str`, so their values come from closed sets: never a user, a session, a path or a key.

mod catalogue;
mod feed;
mod format;
mod gauge;
mod histogram;
mod labels;
mod limits;
mod registry;

pub use self::{
    catalogue::Described,
    feed::{FeedState, FollowerState},
    format::Format,
    labels::{
        CommandOutcome, EndReason, LeaseOutcome, LockedBy, PollOutcome, ReceiptOutcome, RefreshOutcome, RenewalOutcome,
        Repair,
    },
    registry::Metrics,
};
