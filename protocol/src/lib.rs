//! What Session Gate's parts say to each other: the filter in Envoy, the sidecar that holds the
//! state, and the applications that call the sidecar.
//!
//! Types only: no I/O, no clock, no randomness. Every type that is read from outside can only be
//! made valid (`TryFrom`), so whoever holds a [`UserId`] or a [`SessionId`] need not check it again.
#![warn(missing_docs)]

mod check;
mod claims;
mod collect;
mod endpoint;
mod feed;
mod fingerprint;
mod http_token;
mod id;
mod jwk;
mod limit;
mod lockout;
mod login;
mod metadata;
mod network;
mod opaque;
mod policy;
mod problem;
mod reason;
mod refresh;
mod renewal;
mod rule;
mod scope;
mod session;
mod session_command;
mod time;
mod token;
mod version;

/// The shortest credential that the sidecar takes from a caller, in characters.
pub const MIN_CREDENTIAL_CHARS: usize = 32;

pub use check::{CheckReply, CheckRequest, CheckVerdict, CheckedCredential, CheckedSession, OwnToken};
pub use claims::{Audience, Claims, MAX_LEEWAY};
pub use collect::{Misfit, collect, first_misfit};
pub use endpoint::{ENDPOINTS_PREFIX, OwnSession, SESSION_PATH, TOKEN_PATH};
pub use feed::{
    Activity, CutOff, FeedChange, FeedCursor, FeedEntry, FeedEpoch, FeedQuery, FeedReply, FeedWorker, FeedWorkers,
    MAX_STALENESS, NotApplied, Receipt, UnknownChange,
};
pub use fingerprint::{EndedList, Fingerprint};
pub use http_token::{is_token, is_token_byte};
pub use id::{
    ETag, InvalidText, KeyId, MAX_JTI_BYTES, MAX_USER_ID_BYTES, SessionId, SlotTag, TokenId, UserId, is_header_safe,
};
pub use jwk::{Jwk, JwkSet};
pub use limit::{
    Algorithm, CounterId, Lease, LeaseAsk, LeaseGrant, LeaseReply, LeaseRequest, LimitKey, LimitName,
    LimitOverrideData, MAX_LEASE_ASKS, MAX_LEASE_MS, MAX_LIMIT_KEY_BYTES, MAX_QUOTAS, MAX_REQUESTS, MAX_SETTLED,
    MAX_WINDOW_MS, MIN_WINDOW_MS, NewLimitOverride, Quota, QuotaState, SettledLease,
};
pub use lockout::{
    DEVICE_PREFIX, DeviceToken, Lockout, LoginFailure, LoginGuard, MAX_ACCOUNT_BYTES, MAX_DEVICE_TOKENS,
    NewLoginFailure, bounded_account,
};
pub use login::{ElevateRequest, LoginReply, LoginRequest, LogoutReply, LogoutRequest};
pub use metadata::Metadata;
pub use network::Network;
pub use opaque::{OPAQUE_PREFIX, OpaqueToken};
pub use policy::{KeysReply, PublishedPolicy};
pub use problem::{FieldProblem, Problem, ProblemCode};
pub use reason::{AllowReason, DenyReason};
pub use refresh::{REFRESH_PREFIX, RefreshError, RefreshErrorCode, RefreshForm, RefreshReply, RefreshToken};
pub use renewal::{RenewReply, RenewRequest};
pub use rule::{NewBlock, NewRevocation, Rule, RuleData, RuleId, TokenPattern};
pub use scope::{Scope, Scopes};
pub use session::{
    InvalidTransition, ListedSession, MAX_SESSION_LIMIT, NewSession, SessionData, SessionLimitProblem, SessionList,
    SessionPatch, SessionStatus, Terminated, WhenFull,
};
pub use session_command::{
    LogoutScope, SessionCommand, SessionCommandKind, SessionCommandReply, SessionCommandRequest, SessionToken,
};
pub use time::UnixSeconds;
pub use token::{Introspection, IntrospectionForm, NewToken, TokenData, TokenForm, TokenType};
pub use version::{PROTOCOL_HEADER, PROTOCOL_VERSION};

/// Whether a member has the value that stands for it where it is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
