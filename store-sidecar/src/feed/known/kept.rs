//! How entries are kept: what has ended small, all else as it was told.

use std::time::Duration;

use session_gate_protocol::{
    FeedChange, FeedCursor, FeedEntry, Fingerprint, Rule, RuleId, SessionId, TokenId, UnixSeconds, UserId,
};

/// For how long the last word on a rule is told that is no more: whoever asks again later than that may
/// keep the rule, and so must begin at the start.
pub(super) const REMOVED_FOR: Duration = Duration::from_hours(24);

/// Characters of JSON that one record of what has ended takes up: 16 bytes in base64.
const ENDED_CHARS: usize = 22;

#[derive(Clone, Debug)]
pub(in crate::feed) struct Ended {
    pub(super) at: FeedCursor,
    pub(super) until: UnixSeconds,
    pub(super) fingerprint: Fingerprint,
    pub(super) name: Name,
}

#[derive(Clone, Debug)]
pub(in crate::feed) enum Name {
    Session(SessionId),
    Token(TokenId),
}

#[derive(Debug)]
pub(super) struct Other {
    pub(super) entry: FeedEntry,
    /// Its length as JSON.
    pub(super) chars: usize,
}

/// What a change is about: a later one on the same takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Keys,
    Rule(RuleId),
    Scopes(SessionId),
    /// Whether the session is served.
    Service(SessionId),
    /// Up to which generation the sessions of a user have ended.
    CutOff(UserId),
}

impl Subject {
    pub(super) fn of(change: &FeedChange) -> Option<Self> {
        match change {
            FeedChange::KeysChanged => Some(Self::Keys),
            FeedChange::RuleAdded { rule_id, .. } | FeedChange::RuleRemoved { rule_id } => {
                Some(Self::Rule(rule_id.clone()))
            }
            FeedChange::SessionScopes { session_id, .. } => Some(Self::Scopes(session_id.clone())),
            FeedChange::SessionSuspended { session_id, .. } | FeedChange::SessionResumed { session_id, .. } => {
                Some(Self::Service(session_id.clone()))
            }
            FeedChange::UserSessionsEnded(cut_off) => Some(Self::CutOff(cut_off.user_id.clone())),
            FeedChange::SessionEnded { .. } | FeedChange::TokenRevoked { .. } | FeedChange::Unknown(_) => None,
        }
    }
}

/// The version of the session that a change is about, where it says one: of two on one subject the greater
/// counts.
pub(super) const fn version_of(change: &FeedChange) -> Option<u64> {
    match change {
        FeedChange::SessionResumed { version, .. }
        | FeedChange::SessionScopes { version, .. }
        | FeedChange::SessionSuspended { version, .. } => Some(*version),
        FeedChange::UserSessionsEnded(cut_off) => Some(cut_off.before),
        FeedChange::KeysChanged
        | FeedChange::RuleAdded { .. }
        | FeedChange::RuleRemoved { .. }
        | FeedChange::SessionEnded { .. }
        | FeedChange::TokenRevoked { .. }
        | FeedChange::Unknown(_) => None,
    }
}

/// An entry, wherever it is kept.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Ended(&'a Ended),
    Other(&'a Other),
}

/// An entry that has left the feed it came from.
#[derive(Debug)]
pub(in crate::feed) enum Kept {
    Ended(Ended),
    Other(Box<FeedEntry>),
}

// === impl Kept, Ended, Other, Item ===

impl From<Other> for Kept {
    fn from(other: Other) -> Self {
        Self::Other(Box::new(other.entry))
    }
}

impl Kept {
    /// Until when it is of use.
    pub(in crate::feed) fn until(&self) -> UnixSeconds {
        match self {
            Self::Ended(ended) => ended.until,
            Self::Other(entry) => entry.until,
        }
    }

    /// What it says.
    pub(in crate::feed) fn change(&self) -> FeedChange {
        match self {
            Self::Ended(ended) => ended.clone().into_entry().change,
            Self::Other(entry) => entry.change.clone(),
        }
    }

    /// Whether it adds a rule.
    pub(in crate::feed) fn adds_rule(&self) -> bool {
        matches!(self, Self::Other(entry) if matches!(entry.change, FeedChange::RuleAdded { .. }))
    }
}

impl Ended {
    pub(super) fn into_entry(self) -> FeedEntry {
        let Self { at, until, fingerprint: _, name } = self;
        let change = match name {
            Name::Session(session_id) => FeedChange::SessionEnded { session_id },
            Name::Token(token_id) => FeedChange::TokenRevoked { token_id },
        };
        FeedEntry { at, until, change }
    }
}

impl Other {
    pub(super) fn new(entry: FeedEntry) -> Self {
        let chars = serde_json::to_vec(&entry).map_or(0, |json| json.len());
        Self { entry, chars }
    }

    /// Whether it is of use in another epoch. What was taken back may have been done anew since.
    pub(super) fn is_worth_telling_again(&self) -> bool {
        matches!(
            self.entry.change,
            FeedChange::RuleAdded { .. }
                | FeedChange::SessionSuspended { .. }
                | FeedChange::SessionScopes { .. }
                | FeedChange::UserSessionsEnded(_)
                | FeedChange::Unknown(_)
        )
    }

    pub(super) fn is_rule(&self) -> bool {
        matches!(self.entry.change, FeedChange::RuleAdded { .. } | FeedChange::RuleRemoved { .. })
    }

    pub(super) fn is_kept(&self, now: UnixSeconds) -> bool {
        let told_for = || now < UnixSeconds(self.entry.at.millis / 1_000).after(REMOVED_FOR);
        match self.entry.change {
            FeedChange::RuleAdded { .. } => now < self.entry.until || told_for(),
            FeedChange::RuleRemoved { .. } => told_for(),
            _ => now < self.entry.until,
        }
    }
}

impl Item<'_> {
    pub(super) fn at(self) -> FeedCursor {
        match self {
            Self::Ended(ended) => ended.at,
            Self::Other(other) => other.entry.at,
        }
    }

    pub(super) fn until(self) -> UnixSeconds {
        match self {
            Self::Ended(ended) => ended.until,
            Self::Other(other) => other.entry.until,
        }
    }

    /// Whether a worker needs it. The last word on a rule it needs even if the rule is over by then: it may
    /// know an earlier one, of a longer life.
    pub(super) fn is_needed(self, now: UnixSeconds) -> bool {
        now < self.until() || matches!(self, Self::Other(other) if other.is_rule())
    }

    /// Whether it is another limit for a key, which refuses nobody.
    pub(super) fn is_override(self) -> bool {
        let change = match self {
            Self::Ended(_) => return false,
            Self::Other(other) => &other.entry.change,
        };
        matches!(change, FeedChange::RuleAdded { rule: Rule::Limit { .. }, .. })
    }

    pub(super) fn chars(self) -> usize {
        match self {
            Self::Ended(_) => ENDED_CHARS,
            Self::Other(other) => other.chars.saturating_add(1),
        }
    }

    pub(super) fn entry(self) -> FeedEntry {
        match self {
            Self::Ended(ended) => ended.clone().into_entry(),
            Self::Other(other) => other.entry.clone(),
        }
    }
}
