//! The change feed: what has changed since a token was issued.
//!
//! The sidecar appends every revocation and every change of a session, and serves the whole as a
//! long poll. Who starts from [`FeedCursor::START`] gets every entry that is still of use, in pages:
//! that is the snapshot. Who follows gets what came since.

use std::time::Duration;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{EndedList, Fingerprint, InvalidText, Rule, RuleId, Scopes, SessionId, TokenId, UnixSeconds, UserId};

/// A worker may trust what it knows for so long at most: who waits for all workers waits for the slowest, and
/// after a loss of the store's data, when nobody knows who they are, for so long.
pub const MAX_STALENESS: Duration = Duration::from_secs(60);

/// A place in the feed: `<milliseconds>-<number>`, as Redis names the entries of a stream. Later
/// places are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FeedCursor {
    /// Milliseconds since 1970, by the store's clock.
    pub millis: u64,
    /// Counts the entries of one millisecond.
    pub number: u64,
}

impl FeedCursor {
    /// Before every entry.
    pub const START: Self = Self { millis: 0, number: 0 };
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for FeedCursor {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for FeedCursor {}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromStr for FeedCursor {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        text.split_once('-')
            .and_then(|(millis, number)| Some(Self { millis: parse(millis)?, number: parse(number)? }))
            .ok_or(InvalidText::new(
                "a place in the feed",
                "two numbers with a dash between them, such as 1790000000000-0",
            ))
    }
}

impl TryFrom<String> for FeedCursor {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FeedCursor> for String {
    fn from(cursor: FeedCursor) -> Self {
        cursor.to_string()
    }
}

/// One life of the feed. A store that has lost its data begins a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedEpoch {
    /// Random, so that no two are alike.
    pub id: String,
    /// When it began, by the store's clock. The feed says nothing about tokens issued before that, or so
    /// soon after that clocks may differ: those are asked about one by one.
    pub since: UnixSeconds,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeedChange {
    /// The signing keys: fetch them anew.
    KeysChanged,
    /// Requests are refused for something more.
    RuleAdded {
        /// What it is known by.
        rule_id: RuleId,
        /// What is refused.
        rule: Rule,
        /// Why, for whoever reads the list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// That rule is no more.
    RuleRemoved {
        /// Which.
        rule_id: RuleId,
    },
    /// The session has ended for good.
    SessionEnded {
        /// Which.
        session_id: SessionId,
    },
    /// A suspended session is served again.
    SessionResumed {
        /// Which.
        session_id: SessionId,
        /// The session's version: of two that are told of one session in an epoch the greater counts,
        /// of two alike the later.
        version: u64,
    },
    /// What the session's tokens permit has changed.
    SessionScopes {
        /// Which session.
        session_id: SessionId,
        /// The version of the session that has them: an older one than is known changes nothing.
        version: u64,
        /// What its tokens permit from now on; none: each what it says itself.
        scopes: Option<Scopes>,
    },
    /// The session is suspended.
    SessionSuspended {
        /// Which.
        session_id: SessionId,
        /// The session's version, as in `session_resumed`.
        version: u64,
    },
    /// A token of the sidecar's own is revoked.
    TokenRevoked {
        /// The token.
        token_id: TokenId,
    },
    /// All sessions of a user that began before a moment have ended for good.
    UserSessionsEnded(CutOff),
    /// A change of a kind that is not known here, as a newer sidecar has appended it: kept verbatim.
    #[serde(untagged)]
    Unknown(UnknownChange),
}

/// All sessions of a user up to a moment, ended in one change. The moment is a number of the user's, not a time: two
/// logins within one second differ, and clocks may go back after a failover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CutOff {
    /// Whose sessions.
    pub user_id: UserId,
    /// Sessions of a generation before this one have ended. Of two cut-offs of one user the greater counts.
    pub before: u64,
    /// Tokens of other issuers for this user that were issued (`iat`) up to this second are refused.
    pub issued_until: UnixSeconds,
    /// The one session that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<SessionId>,
}

/// A change of an unknown kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnknownChange {
    /// What it is called.
    pub kind: String,
    /// Whether nobody may go on deciding alone who does not know what it means. So it is where it does not say.
    #[serde(default = "must_understand")]
    pub must_understand: bool,
    /// All else that it says.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub rest: Map<String, Value>,
}

const fn must_understand() -> bool {
    true
}

impl FeedChange {
    /// What has ended for good by it, if anything has.
    pub fn ended(&self) -> Option<Fingerprint> {
        match self {
            Self::SessionEnded { session_id } => Some(Fingerprint::of_session(session_id.as_str())),
            Self::TokenRevoked { token_id } => Some(Fingerprint::of_token(token_id.as_str())),
            Self::KeysChanged
            | Self::RuleAdded { .. }
            | Self::RuleRemoved { .. }
            | Self::SessionResumed { .. }
            | Self::SessionScopes { .. }
            | Self::SessionSuspended { .. }
            | Self::UserSessionsEnded(_)
            | Self::Unknown(_) => None,
        }
    }
}

/// An entry of the feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedEntry {
    /// Where it stands.
    pub at: FeedCursor,
    /// Until when it is of use: when the last token that it could concern has expired.
    pub until: UnixSeconds,
    /// What has changed.
    pub change: FeedChange,
}

/// Query of `GET /v1/feed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    /// The asking worker's name: 1 to 64 visible ASCII characters, its own for as long as it lives.
    pub worker: String,
    /// The epoch that it knows; none: it knows nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Up to where it has applied the feed: its receipt for everything before.
    #[serde(default)]
    pub after: FeedCursor,
    /// How long the reply may be held back while there is nothing to say, in milliseconds; at most
    /// 10,000.
    #[serde(default)]
    pub wait_ms: u64,
    /// For how long the worker believes what it knows, in milliseconds: after that without a reply it
    /// asks about each token.
    pub max_staleness_ms: u64,
}

/// Reply of `GET /v1/feed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedReply {
    /// The version of the protocol that the sidecar speaks with whoever asks; a sidecar that does not say speaks 1.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub protocol: u32,
    /// The feed's epoch. Where it is another than the query's, `entries` begins at the start.
    pub epoch: FeedEpoch,
    /// Up to where this reply goes: the next query's `after`.
    pub cursor: FeedCursor,
    /// How old the sidecar's knowledge of the store was when it wrote this, in milliseconds.
    pub age_ms: u64,
    /// Whether the feed goes on beyond `cursor`: ask again at once.
    pub more: bool,
    /// The entries, in their order, but for what has ended for good.
    pub entries: Vec<FeedEntry>,
    /// What has ended for good: sessions, and tokens of the sidecar's own. An end is never taken back, so
    /// its place among the entries does not matter.
    pub ended: EndedList,
}

const fn first_version() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_first_version(version: &u32) -> bool {
    *version == 1
}

/// A worker that follows the feed, as `GET /v1/workers` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedWorker {
    /// Its name.
    pub worker: String,
    /// Up to where it has applied the feed.
    pub applied: FeedCursor,
    /// How long ago it was heard of, in milliseconds.
    pub seen_ms: u64,
    /// When it stops trusting what it knows, in milliseconds from now; 0: it has stopped.
    pub fails_safe_in_ms: u64,
}

/// Reply of `GET /v1/workers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedWorkers {
    /// The end of the feed.
    pub cursor: FeedCursor,
    /// Who follows, by name.
    pub workers: Vec<FeedWorker>,
}

/// Reply of a call that ends something, with `?wait=applied`: who does not know of it yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Whether every worker that could still admit the request knows: it has applied the change, or
    /// has stopped trusting what it knew before.
    pub applied: bool,
    /// Those that do not, after the wait.
    pub pending: Vec<FeedWorker>,
    /// Where not applied: why nobody can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NotApplied>,
}

/// Why nobody can say that all workers know of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NotApplied {
    /// A replica of the sidecar has not said for too long who follows it and how far it has read.
    ReplicaSilent,
    /// The sidecar that was asked ends, and cannot wait.
    SidecarStopping,
    /// The store has lost data or accepted no changes a minute ago or less: not all replicas may have said since who
    /// follows them.
    StoreRecovering,
    /// The store cannot be read.
    StoreUnavailable,
    /// The workers in `pending` have not applied it.
    WorkersPending,
}

/// Body of `POST /v1/activity`: sessions that requests have used since the last such call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// At most 1,000.
    pub sessions: Vec<SessionId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_are_ordered() {
        let cursor: FeedCursor = "1790000000000-12".parse().unwrap();
        assert_eq!(cursor.to_string(), "1790000000000-12");
        assert!(cursor > "1790000000000-2".parse().unwrap() && cursor < "1790000000001-0".parse().unwrap());
        for bad in ["", "1", "-", "1-", "-1", "1-2-3", "+1-0", "a-b", "1-18446744073709551616"] {
            assert!(bad.parse::<FeedCursor>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_change_of_an_unknown_kind_is_kept_verbatim_and_must_be_understood_unless_it_says_otherwise() {
        let text = r#"{"kind":"brand_new","must_understand":true,"more":[1],"user":"a"}"#;
        let change: FeedChange = serde_json::from_str(r#"{"kind":"brand_new","user":"a","more":[1]}"#).unwrap();
        let FeedChange::Unknown(unknown) = &change else { panic!("{change:?}") };
        assert!(unknown.must_understand && unknown.kind == "brand_new");
        assert_eq!(serde_json::to_string(&change).unwrap(), text);
        let harmless: FeedChange = serde_json::from_str(r#"{"kind":"hint","must_understand":false}"#).unwrap();
        assert!(matches!(harmless, FeedChange::Unknown(UnknownChange { must_understand: false, .. })));
        // A known kind tolerates a new field; one that cannot be read at all is as good as unknown.
        let more: FeedChange = serde_json::from_str(r#"{"kind":"token_revoked","token_id":"t1","why":"x"}"#).unwrap();
        assert_eq!(more, FeedChange::TokenRevoked { token_id: "t1".parse().unwrap() });
        let torn: FeedChange = serde_json::from_str(r#"{"kind":"token_revoked"}"#).unwrap();
        assert!(matches!(torn, FeedChange::Unknown(UnknownChange { must_understand: true, .. })));
        assert!(serde_json::from_str::<FeedChange>("{}").is_err());
    }

    #[test]
    fn entries_have_one_form() {
        let entry = FeedEntry {
            at: FeedCursor { millis: 5, number: 1 },
            until: UnixSeconds(9),
            change: FeedChange::TokenRevoked { token_id: "t1".parse().unwrap() },
        };
        let text = r#"{"at":"5-1","until":9,"change":{"kind":"token_revoked","token_id":"t1"}}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        assert_eq!(serde_json::from_str::<FeedEntry>(text).unwrap(), entry);
    }
}
