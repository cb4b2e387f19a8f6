//! The change feed of the memory store, and who follows it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use session_gate_protocol::{FeedCursor, FeedEntry, FeedEpoch, RuleId, UnixSeconds};

use crate::store::feed::{RuleWord, is_of_use};
use crate::store::{
    FeedPage, FeedPosition, Followers, MAX_STANDING_RULES, NewFeedEntry, PublishedFollowers, RECORD_LIVES,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    epoch: Option<FeedEpoch>,
    /// The place of the newest entry there ever was.
    last: FeedCursor,
    /// Everything before this place has been dropped.
    trimmed: FeedCursor,
    entries: VecDeque<FeedEntry>,
    /// The rules that last longer than entries are kept, at their places.
    standing: BTreeMap<FeedCursor, FeedEntry>,
    /// The place of each of them.
    rules: HashMap<RuleId, FeedCursor>,
    followers: BTreeMap<String, Published>,
}

#[derive(Clone, Debug)]
struct Published {
    /// When it was written, or marked as gone, in milliseconds.
    at: u64,
    gone: bool,
    /// For how long its workers may trust what they were told, from then on.
    lifetime: Duration,
    followers: Followers,
}

impl Log {
    /// How many entries it holds.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the feed has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.epoch.is_some()
    }

    /// Begins the feed anew, under that id.
    pub(super) fn begin(&mut self, id: String, now: UnixSeconds) {
        self.epoch = Some(FeedEpoch { id, since: now });
    }

    /// Drops what has been there for longer than `horizon`.
    pub(super) fn trim(&mut self, now: UnixSeconds, horizon: Duration) {
        let oldest = FeedCursor { millis: now.before(horizon).0.saturating_mul(1_000), number: 0 };
        while self.entries.front().is_some_and(|entry| entry.at < oldest) {
            self.entries.pop_front();
        }
        self.trimmed = self.trimmed.max(oldest);
    }

    /// The end of the feed.
    pub(super) fn last(&self) -> FeedCursor {
        self.last
    }

    /// Whether all rules among `entries` that are to last beyond `latest` can stand.
    pub(super) fn has_room(&mut self, entries: &[NewFeedEntry], now: UnixSeconds, latest: UnixSeconds) -> bool {
        let new = entries.iter().filter(|entry| match entry.rule() {
            Some(RuleWord::Add(id)) => entry.until > latest && !self.rules.contains_key(id),
            _ => false,
        });
        let new = new.count();
        if new > 0 {
            self.standing.retain(|_, rule| now < rule.until);
            let standing = &self.standing;
            self.rules.retain(|_, at| standing.contains_key(at));
        }
        new == 0 || self.standing.len().saturating_add(new) <= MAX_STANDING_RULES
    }

    /// Adds an entry, at the time `millis`.
    pub(super) fn append(&mut self, new: &NewFeedEntry, millis: u64, horizon: Duration) {
        self.last = if millis > self.last.millis {
            FeedCursor { millis, number: 0 }
        } else {
            FeedCursor { number: self.last.number.saturating_add(1), ..self.last }
        };
        let latest = UnixSeconds(millis / 1_000).after(horizon);
        let entry = FeedEntry { at: self.last, until: new.end(latest), change: new.change.clone() };
        if let Some(RuleWord::Add(id) | RuleWord::Remove(id)) = new.rule()
            && let Some(earlier) = self.rules.remove(id)
        {
            self.standing.remove(&earlier);
        }
        if let Some(RuleWord::Add(id)) = new.rule()
            && entry.until > latest
        {
            self.rules.insert(id.clone(), entry.at);
            self.standing.insert(entry.at, entry.clone());
        }
        self.entries.push_back(entry);
    }

    /// Whether the caller knows a place of this epoch that should be there and is not.
    pub(super) fn lacks(&self, known: &FeedPosition) -> bool {
        let FeedPosition { epoch, at } = known;
        self.epoch.as_ref().is_some_and(|own| own.id == *epoch)
            && *at != FeedCursor::START
            && (*at > self.last
                || (*at >= self.trimmed && self.entries.binary_search_by_key(at, |entry| entry.at).is_err()))
    }

    /// A page, if the feed has begun.
    pub(super) fn page(&self, known: Option<&FeedPosition>, limit: usize, now: UnixSeconds) -> Option<FeedPage> {
        let epoch = self.epoch.clone()?;
        let after = known.filter(|known| known.epoch == epoch.id).map_or(FeedCursor::START, |known| known.at);
        // The rules first that are in the log no more.
        let first = self.entries.front().map(|entry| entry.at);
        let rules = self.standing.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, rule)| rule);
        let rules = rules.take_while(|rule| first.is_none_or(|first| rule.at < first));
        let start = self.entries.partition_point(|entry| entry.at <= after);
        let mut rest = rules.chain(self.entries.range(start..));
        let page: Vec<&FeedEntry> = rest.by_ref().take(limit).collect();
        let cursor = page.last().filter(|_| rest.next().is_some()).map_or(self.last, |entry| entry.at);
        let entries = page.into_iter().filter(|entry| is_of_use(entry, now)).cloned().collect();
        Some(FeedPage { epoch, last: self.last, cursor, now, entries })
    }

    /// Replaces what a replica says of its followers, at the time `millis`, and marks those of others as gone that were
    /// not renewed for `overdue`.
    pub(super) fn publish(
        &mut self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
        overdue: Duration,
        millis: u64,
    ) {
        self.followers.retain(|_, published| published.is_known(millis));
        for published in self.followers.values_mut() {
            let age = published.age(millis);
            if !published.gone && age >= overdue {
                // What it said up to now its workers may trust for as long as they do.
                let rest = published.lifetime.saturating_sub(age);
                let lifetime = rest.max(published.lifetime.saturating_sub(RECORD_LIVES));
                *published = Published { at: millis, gone: true, lifetime, followers: published.followers.clone() };
            }
        }
        let published = Published { at: millis, gone: false, lifetime, followers: followers.clone() };
        self.followers.insert(replica.to_owned(), published);
    }

    /// What the replicas say of their followers, at the time `millis`.
    pub(super) fn followers(&self, millis: u64) -> Vec<PublishedFollowers> {
        let known = self.followers.iter().filter(|(_, published)| published.is_known(millis));
        known
            .map(|(replica, published)| PublishedFollowers {
                replica: replica.clone(),
                gone: published.gone,
                age: published.age(millis),
                followers: published.followers.clone(),
            })
            .collect()
    }
}

impl Published {
    fn age(&self, millis: u64) -> Duration {
        Duration::from_millis(millis.saturating_sub(self.at))
    }

    /// Whether it counts: one that is marked as gone, for as long as its workers may trust what they were told.
    fn is_known(&self, millis: u64) -> bool {
        !self.gone || self.age(millis) < self.lifetime
    }
}
