//! The labels of the metrics, and the closed sets that their values come from.

use prometheus_client::encoding::EncodeLabelSet;
use session_gate_protocol::{FeedChange, LeaseAsk};

/// Which program it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    version: &'static str,
}

impl BuildLabels {
    pub(super) const OF_THIS: Self = Self { version: env!("CARGO_PKG_VERSION") };
}

/// Why a session ended, as far as the sidecar ended it. Expiry happens in the store and is not
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// `DELETE /v1/sessions/{id}`.
    Deleted,
    /// A login of a user who had too many.
    Evicted,
    /// A logout.
    Logout,
    /// A change of the password.
    PasswordChanged,
    /// A change of its status to `terminated`.
    Patched,
    /// A refresh token of it was shown that had been replaced long ago.
    RefreshTokenReused,
    /// Another took its place: by a login, or an elevation.
    Replaced,
    /// A token of it was revoked that is renewed.
    TokenRevoked,
    /// All sessions of a user were ended.
    UserDeleted,
}

impl EndReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Evicted => "evicted",
            Self::Logout => "logout",
            Self::PasswordChanged => "password_changed",
            Self::Patched => "patched",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::Replaced => "replaced",
            Self::TokenRevoked => "token_revoked",
            Self::UserDeleted => "user_deleted",
        }
    }
}

/// What became of a login of a user who had as many sessions as allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WhenFullLabel {
    pub(super) action: &'static str,
}

/// What became of what an application has said of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// The current session's state does not allow it.
    Conflict,
    /// It was done.
    Done,
    /// Something failed in the sidecar itself.
    Failed,
    /// The command is wrong.
    Invalid,
    /// Too many logins have failed.
    Locked,
    /// The store did not answer.
    Unavailable,
}

impl CommandOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::Locked => "locked",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// There is a next refresh token.
    Refreshed,
    /// The token was not valid, or more was asked for than it gives.
    Refused,
    /// The token had been replaced, and was answered with the next again.
    Repeated,
    /// The token had been replaced too long ago: its session has ended.
    Reused,
    /// The store did not answer.
    Unavailable,
}

impl RefreshOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Refused => "refused",
            Self::Repeated => "repeated",
            Self::Reused => "reused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of a question for the successor of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalOutcome {
    /// The token may not be used.
    NotLive,
    /// It is not due.
    NotDue,
    /// It is none that is renewed.
    NotRenewable,
    /// It was renewed.
    Renewed,
    /// It had a successor, which was answered.
    Shared,
    /// It is older than the last two renewals of its session.
    Superseded,
    /// The successor would be too large for a cookie.
    TooLarge,
    /// The store did not answer.
    Unavailable,
}

impl RenewalOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotLive => "not_live",
            Self::NotDue => "not_due",
            Self::NotRenewable => "not_renewable",
            Self::Renewed => "renewed",
            Self::Shared => "shared",
            Self::Superseded => "superseded",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What was locked because too many logins had failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockedBy {
    /// An account, for devices that it does not know.
    Account,
    /// An address.
    Address,
    /// A device that the account knows: it counts as any other for a while.
    Device,
}

impl LockedBy {
    /// The name, as logs and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
            Self::Device => "device",
        }
    }
}

/// What the store had lost and the feed still knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The end of all sessions of a user.
    CutOff,
    /// The end of a session.
    End,
    /// A later version of a session: its suspension, or its scopes.
    Version,
}

impl Repair {
    /// The name, as logs and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CutOff => "cut_off",
            Self::End => "end",
            Self::Version => "version",
        }
    }
}

/// What became of a question for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// The worker was given what it needs.
    Granted,
    /// There was nothing left.
    None,
    /// There was less left than it needs.
    Partly,
    /// It only settled.
    SettledOnly,
    /// The store did not answer.
    Unavailable,
}

impl LeaseOutcome {
    /// That of a question to which so many were granted.
    pub const fn of(ask: &LeaseAsk, granted: u64) -> Self {
        match (ask.need, ask.want, granted) {
            (0, 0, _) => Self::SettledOnly,
            (_, _, 0) => Self::None,
            (need, ..) if granted < need => Self::Partly,
            _ => Self::Granted,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::None => "none",
            Self::Partly => "partly",
            Self::SettledOnly => "settled_only",
            Self::Unavailable => "unavailable",
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
        FeedChange::UserSessionsEnded(_) => "user_sessions_ended",
        FeedChange::Unknown(_) => "unknown",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CommandLabels {
    pub(super) kind: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByLabel {
    pub(super) by: &'static str,
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
pub(super) struct RepairLabels {
    pub(super) what: &'static str,
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
