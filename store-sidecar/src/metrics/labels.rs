//! The labels of the metrics, and the closed sets that their values come from.

use prometheus_client::encoding::EncodeLabelSet;
use session_gate_protocol::{FeedChange, LeaseAsk};

use crate::store::Leased;

/// Why a session ended, as far as the sidecar ended it. Expiry happens in the store and is not
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// `DELETE /v1/sessions/{id}`.
    Deleted,
    /// A logout.
    Logout,
    /// A change of its status to `terminated`.
    Patched,
    /// All sessions of a user were ended.
    UserDeleted,
}

impl EndReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Logout => "logout",
            Self::Patched => "patched",
            Self::UserDeleted => "user_deleted",
        }
    }
}

/// What became of a worker's poll of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// There was nothing that it did not know.
    Empty,
    /// It was told something.
    News,
    /// The feed has not been read yet.
    Unavailable,
}

impl PollOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::News => "news",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of a wait for all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptOutcome {
    /// All knew in the end.
    Applied,
    /// Some did not, or nobody can say.
    Pending,
}

impl ReceiptOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
        }
    }
}

/// What became of a question about a counter of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// What was needed was there.
    Granted,
    /// Nothing was left.
    None,
    /// There was less than was needed.
    Partly,
    /// Nothing was needed: leases were settled, or asked for ahead.
    Settled,
    /// The store did not answer.
    Unavailable,
}

impl LeaseOutcome {
    pub(super) fn of(ask: &LeaseAsk, leased: Option<&Leased>) -> Self {
        match leased.map(|leased| leased.lease.granted) {
            None => Self::Unavailable,
            Some(_) if ask.need == 0 => Self::Settled,
            Some(0) => Self::None,
            Some(granted) if granted < ask.need => Self::Partly,
            Some(_) => Self::Granted,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::None => "none",
            Self::Partly => "partly",
            Self::Settled => "settled",
            Self::Unavailable => "unavailable",
        }
    }
}

pub(super) const fn kind(change: &FeedChange) -> &'static str {
    match change {
        FeedChange::KeysChanged => "keys_changed",
        FeedChange::RuleAdded { .. } => "rule_added",
        FeedChange::RuleRemoved { .. } => "rule_removed",
        FeedChange::SessionEnded { .. } => "session_ended",
        FeedChange::SessionResumed { .. } => "session_resumed",
        FeedChange::SessionScopes { .. } => "session_scopes",
        FeedChange::SessionSuspended { .. } => "session_suspended",
        FeedChange::TokenRevoked { .. } => "token_revoked",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VerdictLabel {
    pub(super) verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StoreLabels {
    pub(super) op: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OpLabel {
    pub(super) op: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HttpLabels {
    // One of the router's own patterns.
    pub(super) route: String,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) route: String,
    pub(super) method: &'static str,
}
