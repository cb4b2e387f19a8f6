//! The change feed in Redis: a stream, its epoch, and who follows it.

use std::time::Duration;

use session_gate_protocol::{FeedCursor, FeedEntry, FeedEpoch, UnixSeconds};

use super::{RedisStore, keys, scripts, secs};
use crate::store::feed::epoch_id;
use crate::store::{FeedPage, FeedPosition, Followers, NewFeedEntry, PublishedFollowers, StoreError, StoreErrorKind};

/// An entry of the stream as Redis answers it: its place, and its fields and values.
type Stored = (String, Vec<(String, String)>);

impl RedisStore {
    pub(super) async fn append_to_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        let mut arguments = vec![epoch_id(&*self.random)?, secs(self.settings.feed_horizon)];
        for NewFeedEntry { until, change } in entries {
            arguments.push(until.0.to_string());
            arguments.push(serde_json::to_string(change).map_err(corrupt)?);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let keys = [keys::FEED_EPOCH, keys::FEED_LOG];
        let last: String = self.run(&scripts::FEED_APPEND, &keys, &arguments, self.deadline()).await?;
        last.parse().map_err(corrupt)
    }

    pub(super) async fn read_from_feed(
        &self,
        known: Option<&FeedPosition>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let (epoch, after) = known.map_or(("", FeedCursor::START), |known| (known.epoch.as_str(), known.at));
        let keys = [keys::FEED_EPOCH, keys::FEED_LOG];
        let fresh = epoch_id(&*self.random)?;
        let horizon = secs(self.settings.feed_horizon);
        let arguments = [&fresh, &horizon, epoch, &after.to_string(), &limit.to_string()];
        let (now, id, since, last, stored): (u64, String, u64, String, Vec<Stored>) =
            self.run(&scripts::FEED_READ, &keys, &arguments, self.deadline()).await?;
        let last: FeedCursor = last.parse().map_err(corrupt)?;
        let full = stored.len() >= limit;
        let entries = stored.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let cursor = entries.last().filter(|_| full).map_or(last, |entry| entry.at);
        Ok(FeedPage {
            epoch: FeedEpoch { id, since: UnixSeconds(since) },
            last,
            cursor,
            now: UnixSeconds(now),
            entries: entries.into_iter().filter(|entry| now < entry.until.0).collect(),
        })
    }

    pub(super) async fn write_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(followers).map_err(corrupt)?;
        let lifetime = lifetime.as_millis().to_string();
        let arguments = [replica, &lifetime, &json];
        self.run(&scripts::FOLLOWERS_PUBLISH, &[keys::FEED_FOLLOWERS], &arguments, self.deadline()).await
    }

    pub(super) async fn read_followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        let (now, records): (u64, Vec<(String, String)>) =
            self.run(&scripts::FOLLOWERS_READ, &[keys::FEED_FOLLOWERS], &[], self.deadline()).await?;
        let mut published = Vec::with_capacity(records.len());
        for (replica, record) in records {
            let (written, lifetime, json) =
                split(&record).ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt))?;
            let age = now.saturating_sub(written);
            if age < lifetime {
                let followers = serde_json::from_str(json).map_err(corrupt)?;
                published.push(PublishedFollowers { replica, age: Duration::from_millis(age), followers });
            }
        }
        Ok(published)
    }
}

/// When a record was written, for how long it lives, and what it says.
fn split(record: &str) -> Option<(u64, u64, &str)> {
    let (written, rest) = record.split_once(' ')?;
    let (lifetime, json) = rest.split_once(' ')?;
    Some((written.parse().ok()?, lifetime.parse().ok()?, json))
}

/// An entry that cannot be read fails the whole read: to leave it out would be to forget a revocation.
fn entry((at, fields): Stored) -> Result<FeedEntry, StoreError> {
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt))
    };
    Ok(FeedEntry {
        at: at.parse().map_err(corrupt)?,
        until: UnixSeconds(field("until")?.parse().map_err(corrupt)?),
        change: serde_json::from_str(field("change")?).map_err(corrupt)?,
    })
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, error)
}
