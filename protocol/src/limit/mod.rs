//! Rate limits: what is counted, and how a worker takes admissions ahead of the requests that need them.
//!
//! A *limit* has a name and *quotas*. It counts by *keys*: one count for each user, address and so on.
//! A worker *leases* admissions of a key: they are taken off its quotas before the first of them is used,
//! so that no quota is exceeded whatever becomes of the worker. What it has not used it hands back.

mod counted;
mod key;
mod lease;
mod limit_override;
mod quota;

pub use self::{
    key::{CounterId, LimitKey, LimitName, MAX_LIMIT_KEY_BYTES},
    lease::{
        Lease, LeaseAsk, LeaseGrant, LeaseReply, LeaseRequest, MAX_LEASE_ASKS, MAX_LEASE_MS, MAX_SETTLED, QuotaState,
        SettledLease,
    },
    limit_override::{LimitOverrideData, NewLimitOverride},
    quota::{Algorithm, MAX_QUOTAS, MAX_REQUESTS, MAX_WINDOW_MS, MIN_WINDOW_MS, Quota},
};
