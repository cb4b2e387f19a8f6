//! What the sidecar remembers: sessions, the token blacklist and the change feed.
//!
//! One [`Store`] trait, two implementations, one suite that both pass. Each method is one atomic
//! step: whoever calls two methods in a row must expect anything to happen in between.

mod admission;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod contract;
mod cut_off;
mod error;
#[cfg(test)]
pub(crate) mod faulty;
mod feed;
mod idempotency;
mod limits;
mod lockout;
pub mod memory;
mod operation;
mod patch;
pub mod redis;
mod refresh;
mod renewal;
mod rotation;
mod session;
mod settings;
#[cfg(any(test, feature = "test-util"))]
pub mod test_redis;

pub(crate) use self::admission::counts;
pub use self::{
    admission::{Admission, Admitted, EndedSession, LoginDevice, MAX_ENDED, SessionLimit, Untold},
    contract::{EVICTIONS_OVERDUE, Health, Store},
    cut_off::{Beginning, BegunCutOff, IndexPlace, PageAsk, SWEEP_BATCH, SessionPage, Swept},
    error::{StoreError, StoreErrorKind},
    feed::{
        FeedPage, FeedPosition, Follower, Followers, MAX_STANDING_RULES, NewFeedEntry, PublishedFollowers,
        RECORD_LIVES, RECORD_OVERDUE, UNLIMITED,
    },
    idempotency::{IdempotencyHash, IdempotencyRecords},
    limits::Leased,
    lockout::{
        DeviceTallied, LockRules, LoginAttempt, LoginCounter, LoginCounters, LoginHash, MAX_DEVICE_TOKENS, MAX_DEVICES,
        PREDECESSOR_GRACE, Tallied,
    },
    operation::OperationId,
    refresh::{RefreshPut, RefreshRecord},
    renewal::{Renewal, Renewed},
    rotation::{Rotated, Rotation},
    session::{Checked, CreateSession, LaterVersion, Termination, Update},
    settings::{DEFAULT_MAX_COUNTERS, FEWEST_COUNTERS, MAX_LIFETIME, StoreSettings},
};
