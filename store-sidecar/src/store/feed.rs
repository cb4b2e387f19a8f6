//! What a store holds of the change feed: the log itself, and who follows it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_gate_protocol::{FeedChange, FeedCursor, FeedEntry, FeedEpoch, RuleId, UnixSeconds};

use super::{StoreError, StoreErrorKind};
use crate::rng::{Random, random_id};

/// Until when a rule lasts that lasts until it is removed: the end of the year 9999, which every reader
/// of JSON can count to.
pub const UNLIMITED: UnixSeconds = UnixSeconds(253_402_300_799);

/// Rules that last longer than the feed's entries, at most. Every reader that begins gets all of them in
/// one step.
pub const MAX_STANDING_RULES: usize = 10_000;

/// For how long a replica may rely on its record of followers without looking for it: no reading of the feed that is
/// sent later is believed, unless the record is found to be still there.
pub const RECORD_LIVES: Duration = Duration::from_millis(800);

/// After which time without renewal a record is marked as gone, by the next that is written: a replica renews its own
/// twice in that time, and one that is marked too early writes another. For as long after the store has refused a record,
/// nobody marks another's.
pub const RECORD_OVERDUE: Duration = Duration::from_millis(600);

/// What is to be told through the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFeedEntry {
    /// When the last token that it could concern has expired, as far as the caller knows; of a rule its
    /// end. The store keeps no entry but a rule's for longer than the longest token life, see
    /// [`StoreSettings::feed_horizon`](super::StoreSettings::feed_horizon).
    pub until: UnixSeconds,
    /// What has changed.
    pub change: FeedChange,
}

/// What an entry says of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleWord<'a> {
    /// It holds.
    Add(&'a RuleId),
    /// It is no more.
    Remove(&'a RuleId),
}

impl NewFeedEntry {
    /// What it says of a rule.
    pub(super) fn rule(&self) -> Option<RuleWord<'_>> {
        match &self.change {
            FeedChange::RuleAdded { rule_id, .. } => Some(RuleWord::Add(rule_id)),
            FeedChange::RuleRemoved { rule_id } => Some(RuleWord::Remove(rule_id)),
            _ => None,
        }
    }

    /// Until when it is of use, where no entry but a rule's is for longer than until `latest`. A removal
    /// is of use for as long as the rule is in the log before it.
    pub(super) fn end(&self, latest: UnixSeconds) -> UnixSeconds {
        match self.rule() {
            Some(RuleWord::Add(_)) => self.until.min(UNLIMITED),
            Some(RuleWord::Remove(_)) => UNLIMITED,
            None => self.until.min(latest),
        }
    }
}

/// Whether readers need that entry. The last word on a rule they need even if the rule is over by then:
/// without it an earlier one, of a longer life, would count.
pub(super) fn is_of_use(entry: &FeedEntry, now: UnixSeconds) -> bool {
    matches!(entry.change, FeedChange::RuleAdded { .. } | FeedChange::RuleRemoved { .. }) || now < entry.until
}

/// A place in a certain life of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedPosition {
    /// The epoch's id.
    pub epoch: String,
    /// The place.
    pub at: FeedCursor,
}

/// A part of the feed, as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedPage {
    /// The feed's epoch. Where it is another than the one asked for, the page begins at the start.
    pub epoch: FeedEpoch,
    /// The end of the feed.
    pub last: FeedCursor,
    /// Up to where this page goes: `last`, unless there is more.
    pub cursor: FeedCursor,
    /// The store's time.
    pub now: UnixSeconds,
    /// The entries that are still of use, in their order.
    pub entries: Vec<FeedEntry>,
}

impl FeedPage {
    /// Whether it goes up to the end of the feed.
    pub fn is_last(&self) -> bool {
        self.cursor >= self.last
    }
}

/// Who follows one replica of the sidecar, as that replica knew it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followers {
    /// The epoch that the replica knew; empty: none yet.
    pub epoch: String,
    /// Up to where it knew the feed: whatever it answered afterwards goes at least as far.
    pub cursor: FeedCursor,
    /// Every worker that it has answered within the last minute: it may still trust what it was told, or
    /// use an answer about a single token.
    pub workers: Vec<Follower>,
}

impl Followers {
    /// The longest time for which one of them trusts what it knows.
    pub fn longest(&self) -> Duration {
        let longest = self.workers.iter().map(|worker| worker.max_staleness_ms).max();
        Duration::from_millis(longest.unwrap_or_default())
    }
}

/// A worker that polls the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// Its name.
    pub worker: String,
    /// Up to where it has applied the feed of that epoch.
    pub applied: FeedCursor,
    /// How long before the moment of this record its last poll came, in milliseconds.
    pub seen_ms: u64,
    /// For how long it trusts what it knows, in milliseconds.
    pub max_staleness_ms: u64,
}

/// A replica's record of its followers, as it is found in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFollowers {
    /// The replica.
    pub replica: String,
    /// Whether it has been marked as gone: then the replica does not rely on it any more.
    pub gone: bool,
    /// How long ago it was written, or marked as gone, by the store's clock.
    pub age: Duration,
    /// What it says.
    pub followers: Followers,
}

/// The id of a new epoch: 128 bits in hexadecimal digits, so that no two are alike.
pub(super) fn epoch_id(random: &dyn Random) -> Result<String, StoreError> {
    random_id(random).map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))
}
