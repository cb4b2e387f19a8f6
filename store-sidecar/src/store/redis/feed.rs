//! The change feed in Redis: a stream, its epoch, and who follows it.

use std::time::Duration;

use session_gate_protocol::{FeedCursor, FeedEntry, FeedEpoch, UnixSeconds};

use super::client::RedisStore;
use super::scripts;
use super::values::secs;
use crate::store::feed::{RuleWord, epoch_id, is_of_use};
use crate::store::{
    FeedPage, FeedPosition, Followers, MAX_STANDING_RULES, NewFeedEntry, PublishedFollowers, RECORD_LIVES, StoreError,
    StoreErrorKind, UNLIMITED,
};

/// An entry of the stream as Redis answers it: its place, and its fields and values.
type Stored = (String, Vec<(String, String)>);

impl RedisStore {
    pub(super) async fn append_to_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        let mut arguments = vec![
            epoch_id(&*self.random)?,
            secs(self.settings.feed_horizon),
            MAX_STANDING_RULES.to_string(),
            UNLIMITED.0.to_string(),
        ];
        for entry in entries {
            arguments.push(entry.end(UnixSeconds(u64::MAX)).0.to_string());
            arguments.push(serde_json::to_string(&entry.change).map_err(corrupt)?);
            arguments.push(match entry.rule() {
                Some(RuleWord::Add(id)) => format!("+{id}"),
                Some(RuleWord::Remove(id)) => format!("-{id}"),
                None => String::new(),
            });
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let last: String = self
            .run(&scripts::FEED_APPEND, &self.keys.feed.each_ref().map(String::as_str), &arguments, self.deadline())
            .await?;
        last.parse().map_err(corrupt)
    }

    pub(super) async fn read_from_feed(
        &self,
        known: Option<&FeedPosition>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let (epoch, after) = known.map_or(("", FeedCursor::START), |known| (known.epoch.as_str(), known.at));
        let fresh = epoch_id(&*self.random)?;
        let horizon = secs(self.settings.feed_horizon);
        let arguments = [&fresh, &horizon, epoch, &after.to_string(), &limit.to_string()];
        let (now, id, since, last, cursor, stored): (u64, String, u64, String, String, Vec<Stored>) = self
            .run(&scripts::FEED_READ, &self.keys.feed.each_ref().map(String::as_str), &arguments, self.deadline())
            .await?;
        let now = UnixSeconds(now);
        let entries = stored.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok(FeedPage {
            epoch: FeedEpoch { id, since: UnixSeconds(since) },
            last: last.parse().map_err(corrupt)?,
            cursor: cursor.parse().map_err(corrupt)?,
            now,
            entries: entries.into_iter().filter(|entry| is_of_use(entry, now)).collect(),
        })
    }

    pub(super) async fn write_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
        overdue: Duration,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(followers).map_err(corrupt)?;
        let [lifetime, overdue, lives] =
            [lifetime, overdue, RECORD_LIVES].map(|duration| duration.as_millis().to_string());
        let arguments = [replica, &lifetime, &json, &overdue, &lives];
        self.run(&scripts::FOLLOWERS_PUBLISH, &[&self.keys.followers], &arguments, self.deadline()).await
    }

    pub(super) async fn read_followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        let (now, records): (u64, Vec<(String, String)>) =
            self.run(&scripts::FOLLOWERS_READ, &[&self.keys.followers], &[], self.deadline()).await?;
        let mut published = Vec::with_capacity(records.len());
        for (name, record) in records {
            let (written, lifetime, json) =
                split(&record).ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt))?;
            let (replica, gone) = name.strip_prefix("gone:").map_or((name.as_str(), false), |replica| (replica, true));
            let age = now.saturating_sub(written);
            if !gone || age < lifetime {
                let followers = serde_json::from_str(json).map_err(corrupt)?;
                let (replica, age) = (replica.to_owned(), Duration::from_millis(age));
                published.push(PublishedFollowers { replica, gone, age, followers });
            }
        }
        Ok(published)
    }
}

/// When a record was written or marked as gone, for how long it lives since, and what it says.
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
