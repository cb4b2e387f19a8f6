//! Who has applied what, over all replicas.
//!
//! A change is applied once every worker that could still admit a request against it has either
//! confirmed it, or stopped trusting what it knew before. This is exact, for these reasons:
//!
//! 1. A replica tells the others of a worker before it lets it trust an answer for the first time, and reads the
//!    feed again in between. So whoever trusts an answer without the change stands in a record that
//!    was written before the change was looked for.
//! 2. A record says how far its replica knew the feed, and lists those who poll it as of that moment
//!    or later. Once that is past the change, all its later answers have it.
//! 3. A replica that does not renew its record is waited for until the record has been marked as gone, and then for as
//!    long as its workers may trust what it told them before. What it reads after the mark it does not vouch for: see
//!    `record`. So while the store accepts no changes nobody can be marked, and nobody is told that all know of a
//!    change that such a replica may not have read.
//! 4. A worker that has stopped trusting asks about each token, and uses an answer no longer than it trusts
//!    what it knows, from when it has asked. An answer from before the change is of no use after that. A replica that has
//!    not renewed its record may have answered anybody: for as long as it may have, that time is waited for. See
//!    `record`.
//! 5. A store that has lost its data has lost the records, too, and with them who trusts what and for how long: for
//!    as long as anybody may, nobody is told that all know. (A replica that started meanwhile cannot tell such a
//!    store from a new one.) The same after the store has accepted no changes: a replica that had no record by then
//!    vouches for nothing, but answers questions about single tokens, and may only now say who asks it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use session_gate_protocol::{FeedCursor, FeedWorker, FeedWorkers, MAX_STALENESS, NotApplied, Receipt};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{followers::trust, handle::Feed, shared::Shared};
use crate::{
    metrics::ReceiptOutcome,
    store::{Follower, PublishedFollowers, RECORD_LIVES, RECORD_OVERDUE, StoreError},
};

/// How often the records of other replicas are looked at while somebody waits for them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a wait takes beyond the longest time that a worker trusts what it knows.
const GRACE: Duration = Duration::from_secs(1);

/// What a wait takes at most, whatever workers say of themselves.
const LONGEST_WAIT: Duration = MAX_STALENESS;

impl Feed {
    /// Waits until every worker has applied the feed up to `at`, or has stopped trusting what it knew
    /// before: at most for the longest such time and a second.
    pub async fn receipt(&self, at: FeedCursor) -> Receipt {
        let start = Instant::now();
        let receipt = self.shared.wait_for_receipt(at, start).await;
        let outcome = if receipt.applied { ReceiptOutcome::Applied } else { ReceiptOutcome::Pending };
        self.shared.metrics.receipt_given(outcome, start.elapsed());
        receipt
    }

    /// Who follows the feed, at every replica.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn workers(&self) -> Result<FeedWorkers, StoreError> {
        let others = self.shared.store.followers().await?;
        let view = self.shared.view(others);
        let workers = view.workers.into_iter().map(|(name, worker)| worker.shown(name)).collect();
        Ok(FeedWorkers { cursor: view.cursor, workers })
    }
}

/// What all replicas say.
pub(super) struct View {
    /// How far this replica knows the feed.
    cursor: FeedCursor,
    /// How far that one knows it that knows the least.
    least: FeedCursor,
    workers: BTreeMap<String, Worker>,
    /// The longest time that any worker trusts what it knows.
    longest: Duration,
    /// For how long workers may use the answers of replicas that have not renewed their records.
    silent: Duration,
}

/// A worker, whoever tells of it.
struct Worker {
    applied: FeedCursor,
    seen: Duration,
    trusts_for: Duration,
    /// For how long it uses an answer about a single token, from when it has asked.
    uses_answers_for: Duration,
}

impl Worker {
    fn of(follower: &Follower, age: Duration) -> Self {
        let seen = Duration::from_millis(follower.seen_ms).saturating_add(age);
        let trusts = trust(Duration::from_millis(follower.max_staleness_ms));
        Self { applied: follower.applied, seen, trusts_for: trusts.saturating_sub(seen), uses_answers_for: trusts }
    }

    /// What two replicas say of one worker: what it has applied once it knows for good, and it trusts
    /// whichever it heard last.
    fn merge(&mut self, other: Self) {
        self.applied = self.applied.max(other.applied);
        self.seen = self.seen.min(other.seen);
        self.trusts_for = self.trusts_for.max(other.trusts_for);
        self.uses_answers_for = self.uses_answers_for.max(other.uses_answers_for);
    }

    /// Whether it may still admit a request against a change at that place, which was told `elapsed` ago. One
    /// that trusts nothing any more asks about each token, and an answer from before the change may be on its
    /// way to it.
    fn is_pending(&self, at: FeedCursor, elapsed: Duration) -> bool {
        self.applied < at && (self.trusts_for > Duration::ZERO || elapsed < self.uses_answers_for)
    }

    fn shown(self, worker: String) -> FeedWorker {
        let Self { applied, seen, trusts_for, uses_answers_for: _ } = self;
        let floor = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        FeedWorker { worker, applied, seen_ms: floor(seen), fails_safe_in_ms: super::known::millis(trusts_for) }
    }
}

impl View {
    /// How many may still trust what they know.
    pub(super) fn trusting(&self) -> usize {
        self.workers.values().filter(|worker| worker.trusts_for > Duration::ZERO).count()
    }

    /// Who may not know of a change at that place, which was told `elapsed` ago; none: all know.
    pub(super) fn lacks(&self, at: FeedCursor, elapsed: Duration) -> Option<NotApplied> {
        if self.workers.values().any(|worker| worker.is_pending(at, elapsed)) {
            return Some(NotApplied::WorkersPending);
        }
        (self.least < at || elapsed < self.silent).then_some(NotApplied::ReplicaSilent)
    }
}

impl Shared {
    async fn wait_for_receipt(&self, at: FeedCursor, start: Instant) -> Receipt {
        let mut polled = self.polled.subscribe();
        let mut longest = Duration::ZERO;
        loop {
            let look = Instant::now() + LOOK_EVERY;
            // What happens here is known at once: the store need not be asked before that is done.
            let here = async {
                while self.view(Vec::new()).lacks(at, start.elapsed()).is_some() {
                    self.next_change(&mut polled).await;
                }
            };
            drop(timeout_at(look, here).await);
            let (view, store) = match self.others().await {
                Ok((others, true)) => (self.view(others), None),
                Ok((others, false)) => (self.view(others), Some(NotApplied::StoreRecovering)),
                Err(_) => (self.view(Vec::new()), Some(NotApplied::StoreUnavailable)),
            };
            longest = longest.max(view.longest);
            let recovering = (!self.has_settled()).then_some(NotApplied::StoreRecovering);
            let Some(reason) = store.or(recovering).or_else(|| view.lacks(at, start.elapsed())) else {
                return Receipt { applied: true, pending: Vec::new(), reason: None };
            };
            let deadline = start + longest.saturating_add(GRACE).min(LONGEST_WAIT);
            if deadline <= look {
                let pending = view.workers.into_iter().filter(|(_, worker)| worker.is_pending(at, start.elapsed()));
                let pending = pending.map(|(name, worker)| worker.shown(name)).collect();
                return Receipt { applied: false, pending, reason: Some(reason) };
            }
            sleep_until(look).await;
        }
    }

    /// What the other replicas say, and whether the store has lost none of it: it is still in the epoch that
    /// is known here.
    async fn others(&self) -> Result<(Vec<PublishedFollowers>, bool), StoreError> {
        let others = self.store.followers().await?;
        if others.iter().any(|other| other.replica != self.replica && !other.gone && other.age >= RECORD_OVERDUE) {
            // It may be dead: this replica's next record marks it as gone.
            self.silent.store(true, Ordering::Relaxed);
            self.wake.notify_one();
        }
        let position = self.position();
        let page = self.store.read_feed(position.as_ref(), 1).await?;
        Ok((others, position.is_some_and(|position| position.epoch == page.epoch.id)))
    }

    /// Whether all replicas have told of their workers again since the store has lost its data or accepted no changes,
    /// or are no longer trusted by them.
    fn has_settled(&self) -> bool {
        let begun = self.known().as_ref().and_then(|known| known.begun);
        let is_past = |moment: Instant| moment.elapsed() >= trust(RECORD_LIVES + MAX_STALENESS);
        begun.is_none_or(is_past) && self.refused().last.is_none_or(is_past)
    }

    /// Returns when a worker has polled here, this replica has read on, or a worker may have stopped
    /// trusting what it knew.
    async fn next_change(&self, polled: &mut tokio::sync::watch::Receiver<()>) {
        let mut news = self.news.subscribe();
        tokio::select! {
            biased;
            _ = polled.changed() => {}
            _ = news.changed() => {}
        }
    }

    /// What this replica and those others say; of the others only those that know this epoch count as
    /// having read anything.
    pub(super) fn view(&self, others: Vec<PublishedFollowers>) -> View {
        // First the place, then the workers, as in a record.
        let position = self.position().unwrap_or_default();
        let own = self.registry().list(&position.epoch, Instant::now(), false);
        let mut view = View {
            cursor: position.at,
            least: position.at,
            workers: BTreeMap::new(),
            longest: Duration::ZERO,
            silent: Duration::ZERO,
        };
        view.add(&own, Duration::ZERO, true);
        for PublishedFollowers { replica, gone, age, followers } in others {
            if replica != self.replica {
                if gone || age >= RECORD_OVERDUE {
                    view.silent = view.silent.max(trust(followers.longest()));
                    view.longest = view.longest.max(followers.longest());
                }
                // By then nobody trusts what it has told through the feed.
                if gone && age >= trust(RECORD_LIVES + followers.longest()).saturating_sub(RECORD_OVERDUE) {
                    continue;
                }
                let knows = followers.epoch == position.epoch;
                view.least = view.least.min(if knows { followers.cursor } else { FeedCursor::START });
                view.add(&followers.workers, age, knows);
            }
        }
        view
    }
}

impl View {
    fn add(&mut self, followers: &[Follower], age: Duration, knows_epoch: bool) {
        for follower in followers {
            self.longest = self.longest.max(Duration::from_millis(follower.max_staleness_ms));
            let mut worker = Worker::of(follower, age);
            if !knows_epoch {
                worker.applied = FeedCursor::START;
            }
            match self.workers.entry(follower.worker.clone()) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(worker);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(worker),
            }
        }
    }
}
