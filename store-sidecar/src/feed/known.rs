//! What this replica knows of the feed: all entries that are of use, in memory. Pure.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use session_gate_protocol::{
    CutOff, EndedList, FeedChange, FeedCursor, FeedEntry, FeedEpoch, FeedQuery, FeedReply, Fingerprint, UnixSeconds,
    UserId,
};
use session_gate_revocation::Revocations;
use tokio::time::Instant;

pub(super) use self::kept::Kept;
use self::kept::{Ended, Item, Name, Other, Subject, version_of};
use crate::store::{FeedPage, FeedPosition};

/// How often entries are dropped that are of no use any more, by the store's clock: seldom, since all
/// entries are looked at.
const PRUNE_EVERY: Duration = Duration::from_secs(10);

/// How long the word before the last one on a subject is told as well: for as long as somebody may wait until all
/// workers have it. A worker in the midst of several pages may have passed its place before the last word came, and
/// would know of neither.
const AWAITED_FOR: Duration = Duration::from_secs(62);

/// The feed as it was at one moment.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) epoch: FeedEpoch,
    /// Up to where the feed is known.
    pub(super) cursor: FeedCursor,
    /// What has ended for good, in the feed's order: nearly all there is, so it is kept small.
    ended: VecDeque<Ended>,
    /// All else; of each subject its last word, and for a while those before it.
    others: BTreeMap<FeedCursor, Other>,
    last_words: HashMap<Subject, FeedCursor>,
    /// What follows from the entries.
    facts: Revocations,
    /// What followed from the entries of the epoch before, until they are all told again.
    remembered: Revocations,
    /// When this took the place of another epoch: then the store has lost what it knew, and of who follows
    /// the other replicas, too.
    pub(super) begun: Option<Instant>,
    /// When the reading began that last went up to the end: all that was in the feed by then is here.
    proven: Instant,
    /// The store's time.
    now: UnixSeconds,
    pruned: UnixSeconds,
}

// === impl Known ===

impl Known {
    /// The feed as read from its start up to its end, by a reading that began at `sent`.
    pub(super) fn new(page: FeedPage, sent: Instant) -> Self {
        let FeedPage { epoch, last: _, cursor, now, entries } = page;
        let mut known = Self {
            epoch,
            cursor,
            ended: VecDeque::new(),
            others: BTreeMap::new(),
            last_words: HashMap::new(),
            facts: Revocations::default(),
            remembered: Revocations::default(),
            begun: None,
            proven: sent,
            now,
            pruned: now,
        };
        entries.into_iter().for_each(|entry| known.note(entry));
        known
    }

    /// The place that it knows.
    pub(super) fn position(&self) -> FeedPosition {
        FeedPosition { epoch: self.epoch.id.clone(), at: self.cursor }
    }

    /// Adds a page of the same epoch that follows. Answers whether anything in it is new.
    pub(super) fn extend(&mut self, page: FeedPage, sent: Instant) -> bool {
        let is_new = page.cursor > self.cursor;
        if page.is_last() {
            self.proven = sent;
        }
        self.cursor = self.cursor.max(page.cursor);
        self.now = page.now;
        page.entries.into_iter().for_each(|entry| self.note(entry));
        if self.now.since(self.pruned) >= PRUNE_EVERY {
            self.prune();
        }
        is_new
    }

    fn note(&mut self, entry: FeedEntry) {
        let FeedEntry { at, until, change } = entry;
        let (fingerprint, name) = match (change.ended(), change) {
            (Some(fingerprint), FeedChange::SessionEnded { session_id }) => (fingerprint, Name::Session(session_id)),
            (Some(fingerprint), FeedChange::TokenRevoked { token_id }) => (fingerprint, Name::Token(token_id)),
            (_, change) => return self.note_other(FeedEntry { at, until, change }),
        };
        self.facts.end(&EndedList(vec![(fingerprint, until)]), self.now);
        self.ended.push_back(Ended { at, until, fingerprint, name });
    }

    fn note_other(&mut self, entry: FeedEntry) {
        let subject = Subject::of(&entry.change);
        let word = subject.as_ref().and_then(|subject| self.last_words.get(subject)).and_then(|at| self.others.get(at));
        if word.is_some_and(|word| version_of(&word.entry.change) > version_of(&entry.change)) {
            // It was overtaken before it was told.
            return;
        }
        if let FeedChange::RuleRemoved { rule_id } = &entry.change {
            self.remembered.rules_mut().remove(rule_id);
        }
        self.facts.apply(entry.change.clone(), entry.until, self.now);
        if let Some(subject) = subject
            && let Some(before) = self.last_words.insert(subject, entry.at)
            && !is_awaited(before, self.now)
        {
            self.others.remove(&before);
        }
        self.others.insert(entry.at, Other::new(entry));
    }

    fn prune(&mut self) {
        let now = self.now;
        self.pruned = now;
        self.ended.retain(|ended| now < ended.until);
        let last_words = &self.last_words;
        let stays =
            |other: &Other| other.is_kept(now) && (is_awaited(other.entry.at, now) || is_last(other, last_words));
        self.others.retain(|_, other| stays(other));
        let others = &self.others;
        self.last_words.retain(|_, at| others.contains_key(at));
        self.facts.prune(now);
        self.remembered.prune(now);
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.ended.len().saturating_add(self.others.len())
    }

    /// How long ago this was all there was.
    pub(super) fn age(&self) -> Duration {
        self.proven.elapsed()
    }

    /// The store's time, at the last reading.
    pub(super) fn now(&self) -> UnixSeconds {
        self.now
    }

    /// The latest cut-off of that user's sessions.
    pub(super) fn cut_off(&self, user: &UserId) -> Option<&CutOff> {
        let at = self.last_words.get(&Subject::CutOff(user.clone()))?;
        match &self.others.get(at)?.entry.change {
            FeedChange::UserSessionsEnded(cut_off) => Some(cut_off),
            _ => None,
        }
    }

    /// What is known, from the feed as it is and from what was remembered of an earlier one.
    pub(super) fn facts(&self) -> [&Revocations; 2] {
        [&self.facts, &self.remembered]
    }

    /// Takes over what was known of the epoch before.
    pub(super) fn remember(&mut self, mut facts: Revocations) {
        facts.absorb(std::mem::take(&mut self.remembered), self.now);
        self.remembered = facts;
    }

    /// Forgets what was remembered of the epoch before: it has all been told again.
    pub(super) fn forget(&mut self) {
        self.remembered = Revocations::default();
    }

    /// Gives away what followed from it.
    pub(super) fn take_facts(&mut self) -> Revocations {
        let mut facts = std::mem::take(&mut self.facts);
        facts.absorb(std::mem::take(&mut self.remembered), self.now);
        facts
    }

    /// Its entries that are of use in another epoch.
    pub(super) fn into_kept(self) -> impl Iterator<Item = Kept> {
        let (now, last_words) = (self.now, self.last_words);
        let others = self.others.into_values().filter(move |other| is_last(other, &last_words));
        let others = others.filter(Other::is_worth_telling_again).map(Kept::from);
        self.ended.into_iter().map(Kept::Ended).chain(others).filter(move |kept| now < kept.until())
    }

    /// Whether what an entry of another epoch says is known here, or something newer.
    pub(super) fn supersedes(&self, kept: &Kept) -> bool {
        let entry = match kept {
            Kept::Ended(ended) => return self.facts.is_revoked(ended.fingerprint),
            Kept::Other(entry) => entry,
        };
        if let FeedChange::SessionScopes { session_id, version, .. } = &entry.change {
            let known = self.facts.scopes_of(Fingerprint::of_session(session_id.as_str()));
            return known.is_some_and(|known| *version <= known.version);
        }
        if let FeedChange::UserSessionsEnded(CutOff { user_id, before, .. }) = &entry.change {
            return *before <= self.facts.cut_off_of(Fingerprint::of_user(user_id.as_str()));
        }
        let word = Subject::of(&entry.change).and_then(|subject| self.last_words.get(&subject));
        let Some(word) = word.and_then(|at| self.others.get(at)) else { return false };
        // Of one id, but what it says may be another: of two limits for one key the later counts.
        let lasts = match (&entry.change, &word.entry.change) {
            (FeedChange::RuleAdded { rule, .. }, FeedChange::RuleAdded { rule: known, .. }) => {
                rule == known && entry.until <= word.entry.until
            }
            _ => false,
        };
        lasts || entry.at <= word.entry.at
    }

    /// Where in the current epoch that worker stands.
    pub(super) fn applied(&self, query: &FeedQuery) -> FeedCursor {
        if query.epoch.as_deref() == Some(&self.epoch.id) { query.after } else { FeedCursor::START }
    }

    /// Whether there is something that the worker doesn't know.
    pub(super) fn has_news(&self, query: &FeedQuery) -> bool {
        query.epoch.as_deref() != Some(&self.epoch.id) || query.after < self.cursor
    }

    /// The reply to a worker: what it does not know, in about `chars` characters of JSON at most, and how old that is.
    pub(super) fn reply(&self, query: &FeedQuery, age: Duration, chars: usize) -> FeedReply {
        let after = self.applied(query);
        let (mut entries, mut ended) = (Vec::new(), Vec::new());
        let (mut room, mut taken, mut cursor) = (chars, after, self.cursor);
        for item in self.items(after).filter(|item| item.is_needed(self.now)) {
            if room < item.chars() && taken > after {
                cursor = taken;
                break;
            }
            room = room.saturating_sub(item.chars());
            taken = item.at();
            match item {
                Item::Ended(one) => ended.push((one.fingerprint, one.until)),
                Item::Other(other) => entries.push(other.entry.clone()),
            }
        }
        FeedReply {
            protocol: 1,
            epoch: self.epoch.clone(),
            // Another replica may have told it more: that it keeps.
            cursor: cursor.max(after),
            age_ms: millis(age),
            more: cursor < self.cursor,
            entries,
            ended: EndedList(ended),
        }
    }

    /// At most `limit` entries after that place that say what is refused, and the place up to which they go.
    pub(super) fn after(&self, after: FeedCursor, limit: usize) -> (Vec<FeedEntry>, FeedCursor) {
        let is_listed = |item: &Item<'_>| match item {
            Item::Other(other) => is_last(other, &self.last_words),
            Item::Ended(_) => true,
        };
        let mut items =
            self.items(after).filter(|item| self.now < item.until() && !item.is_override() && is_listed(item));
        let entries: Vec<FeedEntry> = items.by_ref().take(limit).map(Item::entry).collect();
        let cursor = entries.last().filter(|_| items.next().is_some()).map_or(self.cursor, |entry| entry.at);
        (entries, cursor)
    }

    /// All that is kept after that place, in the feed's order.
    fn items(&self, after: FeedCursor) -> impl Iterator<Item = Item<'_>> {
        let start = self.ended.partition_point(|ended| ended.at <= after);
        let mut ended = self.ended.range(start..).peekable();
        let mut others =
            self.others.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, other)| other).peekable();
        std::iter::from_fn(move || match (ended.peek(), others.peek()) {
            (Some(one), Some(other)) if other.entry.at < one.at => others.next().map(Item::Other),
            (None, Some(_)) => others.next().map(Item::Other),
            _ => ended.next().map(Item::Ended),
        })
    }
}

/// Whether somebody may wait until all workers know the entry at that place.
fn is_awaited(at: FeedCursor, now: UnixSeconds) -> bool {
    now < UnixSeconds(at.millis / 1_000).after(AWAITED_FOR)
}

/// Whether it is the last word on its subject.
fn is_last(other: &Other, last_words: &HashMap<Subject, FeedCursor>) -> bool {
    let last = Subject::of(&other.entry.change).and_then(|subject| last_words.get(&subject));
    last.is_none_or(|at| *at == other.entry.at)
}

/// Whole milliseconds, rounded up: an age must not look less than it is.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
