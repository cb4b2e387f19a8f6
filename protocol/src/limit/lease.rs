//! How a worker takes admissions ahead of the requests that need them: `POST /v1/leases`.

use serde::{Deserialize, Serialize};

use super::{key::CounterId, quota::Quota};

/// Most questions in one call of `POST /v1/leases`.
pub const MAX_LEASE_ASKS: usize = 128;
/// Most leases that one question settles.
pub const MAX_SETTLED: usize = 16;
/// No lease lives longer, in milliseconds.
pub const MAX_LEASE_MS: u64 = 60_000;

/// Body of `POST /v1/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The asking worker's name, as in `GET /v1/feed`: no two workers have the same.
    pub worker: String,
    /// At most 128, each of another counter. Each is a step of its own.
    pub asks: Vec<LeaseAsk>,
}

/// What a worker asks of one counter: first what it settles is settled, then it is given what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseAsk {
    /// The counter.
    pub counter: CounterId,
    /// What may be admitted: 1 to 8 quotas.
    pub quotas: Vec<Quota>,
    /// Leases that the worker uses no more; at most 16. One that is not known (it has ended, or was settled
    /// before) changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settle: Vec<SettledLease>,
    /// What was used beyond all leases, since it cost more than was known before. Counts in full, even if
    /// there is less left.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub owed: u64,
    /// The worker's number for the new lease: it never gives one number to two.
    pub lease: u64,
    /// `in_flight` only: how many of the settled slots are still in use. They move to the new lease, whatever
    /// there is left.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub kept: u64,
    /// How many the worker needs now: given in full where there are as many, else as many as there are.
    pub need: u64,
    /// How many it would like to have, `need` among them, for what comes: the store gives at most a part of
    /// what is left beyond `need`, so that there is something for others.
    pub want: u64,
}

/// A lease that a worker uses no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettledLease {
    /// Its number.
    pub lease: u64,
    /// How many of its admissions were used. The others can be given again.
    pub used: u64,
}

/// Reply of `POST /v1/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseReply {
    /// How many workers follow the feed, over all replicas, as far as this one knows; at least 1.
    pub workers: u64,
    /// One for each question, in their order.
    pub grants: Vec<LeaseGrant>,
}

/// What came of one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LeaseGrant {
    /// The store has answered.
    Lease(Lease),
    /// The store has not answered: the step may have been done or not.
    Unavailable,
}

/// A lease, and what is left beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// How many admissions, beside those that were kept. 0: there were none left.
    pub granted: u64,
    /// For how long it can be used, in milliseconds from when the worker asked. What is not settled by then
    /// counts as used.
    pub lifetime_ms: u64,
    /// How many of this counter are in other leases: they may come back.
    pub outstanding: u64,
    /// In how many milliseconds there is more even if nothing comes back; 0 where something is left.
    pub retry_ms: u64,
    /// In how many milliseconds it is worth asking again: `retry_ms`, or earlier where something may come
    /// back.
    pub again_ms: u64,
    /// Of each quota, in their order, what is left.
    pub quotas: Vec<QuotaState>,
}

/// What is left of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaState {
    /// How many are neither used nor in a lease.
    pub remaining: u64,
    /// In how many milliseconds there is more: the window's end, or when the oldest use falls out of it, or
    /// when the bucket is full; 0 where nothing is missing.
    pub reset_ms: u64,
}
