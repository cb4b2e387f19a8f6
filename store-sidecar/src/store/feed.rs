//! What a store holds of the change feed: the log itself, and who follows it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_gate_protocol::{FeedChange, FeedCursor, FeedEntry, FeedEpoch, SessionData, UnixSeconds};

use super::{StoreError, StoreErrorKind};
use crate::rng::{Random, random_bytes};

/// What is to be told through the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFeedEntry {
    /// When the last token that it could concern has expired, as far as the caller knows. The store
    /// keeps no entry for longer than the longest token life, see
    /// [`StoreSettings::feed_horizon`](super::StoreSettings::feed_horizon).
    pub until: UnixSeconds,
    /// What has changed.
    pub change: FeedChange,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What became of the request to end a user's sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserTermination {
    /// How many sessions ended.
    pub ended: u64,
    /// The user's sessions that live on, since the caller did not name them.
    pub others: Vec<SessionData>,
}

/// Who follows one replica of the sidecar, as that replica knew it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followers {
    /// The epoch that the replica knew; empty: none yet.
    pub epoch: String,
    /// Up to where it knew the feed: whatever it answered afterwards goes at least as far.
    pub cursor: FeedCursor,
    /// Every worker that it has answered and that may still trust what it was told.
    pub workers: Vec<Follower>,
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
    /// How long ago it was written, by the store's clock.
    pub age: Duration,
    /// What it says.
    pub followers: Followers,
}

/// The id of a new epoch: 128 bits in hexadecimal digits, so that no two are alike.
pub(super) fn epoch_id(random: &dyn Random) -> Result<String, StoreError> {
    let bytes = random_bytes::<16>(random).map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
