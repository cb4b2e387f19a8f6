//! Several replicas over one store, and workers that keep the rules: whatever the network does, nobody
//! is told that all know of a change while a worker still trusts what it knew before.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use session_gate_protocol::{FeedChange, FeedCursor, FeedQuery, Fingerprint, MAX_STALENESS, TokenId, UnixSeconds};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

mod refused;

use super::*;
use crate::{
    clock::Clock,
    rng::{random_bytes, testing::SeededRandom},
    store::{
        FeedPosition, NewFeedEntry, RECORD_LIVES, Store, StoreSettings,
        faulty::{Faults, Faulty},
        memory::MemoryStore,
    },
};

/// How long most workers trust what they know.
const TRUST: Duration = Duration::from_secs(1);

/// The wall clock of a machine whose time is tokio's.
#[derive(Debug)]
struct Wall(Instant);

impl Clock for Wall {
    fn millis(&self) -> u64 {
        1_790_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

pub(super) fn memory_store() -> Arc<MemoryStore> {
    let random = Arc::new(SeededRandom::default());
    Arc::new(MemoryStore::new(Arc::new(Wall(Instant::now())), StoreSettings::default(), random))
}

pub(super) fn replica(store: &Arc<MemoryStore>, name: &str) -> (Arc<Feed>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let faulty = Arc::new(Faulty::new(Arc::clone(store), Arc::clone(&faults)));
    (Arc::new(Feed::start(faulty, Arc::default(), name.to_owned())), faults)
}

pub(super) fn query(worker: &str, known: Option<&FeedPosition>, wait: Duration) -> FeedQuery {
    FeedQuery {
        worker: worker.to_owned(),
        epoch: known.map(|known| known.epoch.clone()),
        after: known.map_or(FeedCursor::START, |known| known.at),
        wait_ms: u64::try_from(wait.as_millis()).unwrap(),
        max_staleness_ms: u64::try_from(TRUST.as_millis()).unwrap(),
    }
}

fn revoked(number: u64) -> NewFeedEntry {
    let token_id: TokenId = format!("t{number}").parse().unwrap();
    NewFeedEntry { until: UnixSeconds(u64::MAX), change: FeedChange::TokenRevoked { token_id } }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_answered_once_the_other_replicas_can_know_of_it() {
    let store = memory_store();
    let (feed, faults) = replica(&store, "here");
    sleep(Duration::from_millis(50)).await;
    faults.fail(Some("publish_followers"));
    let reply = feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    assert!(reply.age_ms >= 1_000, "only with what it may not trust: {reply:?}");
    faults.fail(None);
    sleep(Duration::from_millis(60)).await;
    feed.poll(&query("v", None, Duration::ZERO)).await.unwrap();
    let published = store.followers().await.unwrap();
    let names: Vec<_> = published[0].followers.workers.iter().map(|worker| worker.worker.as_str()).collect();
    // `w` has stopped trusting what it knew, and may use an answer about a token that is on its way.
    assert_eq!((published.len(), names), (1, vec!["v", "w"]));
}

#[tokio::test(start_paused = true)]
async fn a_replica_answers_about_tokens_only_while_the_others_wait_for_that() {
    let (feed, faults) = replica(&memory_store(), "here");
    let patience = Duration::from_millis(100);
    feed.may_answer(patience).await.unwrap();
    feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    faults.fail(Some("publish_followers"));
    feed.poll(&query("new", None, Duration::ZERO)).await.unwrap();
    sleep(Duration::from_secs(290)).await;
    feed.may_answer(patience).await.unwrap();
    let longer = FeedQuery {
        max_staleness_ms: 2 * query("", None, Duration::ZERO).max_staleness_ms,
        ..query("v", None, Duration::ZERO)
    };
    feed.poll(&longer).await.unwrap();
    feed.may_answer(patience).await.unwrap_err();
    faults.fail(None);
    feed.may_answer(patience).await.unwrap();
    faults.fail(Some("publish_followers"));
    sleep(Duration::from_secs(301)).await;
    feed.may_answer(patience).await.unwrap_err();
}

/// Before its record is overdue the others believe that it lists all whom it has answered.
#[tokio::test(start_paused = true)]
async fn while_its_record_counts_a_replica_answers_about_tokens_only_if_that_has_all_workers() {
    let (feed, faults) = replica(&memory_store(), "here");
    feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    faults.fail(Some("publish_followers"));
    let poll = query("new", None, Duration::ZERO);
    let (_, answered) = tokio::join!(feed.poll(&poll), async {
        sleep(Duration::from_millis(1)).await;
        feed.may_answer(Duration::from_millis(100)).await
    });
    answered.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_died_may_have_answered_anybody() {
    for (closes, waits) in [(true, false), (false, true)] {
        let store = memory_store();
        let (here, _) = replica(&store, "here");
        let (there, _) = replica(&store, "there");
        here.poll(&query("w", None, Duration::ZERO)).await.unwrap();
        if closes {
            here.close();
            sleep(Duration::from_millis(50)).await;
        }
        drop(here);
        sleep(Duration::from_secs(10)).await;
        let start = Instant::now();
        let at = there.append(&[revoked(1)]).await.unwrap();
        assert!(there.receipt(at).await.applied);
        assert_eq!(start.elapsed() >= TRUST, waits, "{:?}, closed: {closes}", start.elapsed());
        sleep(Duration::from_secs(300)).await;
        let start = Instant::now();
        let at = there.append(&[revoked(2)]).await.unwrap();
        assert!(there.receipt(at).await.applied);
        assert!(start.elapsed() < TRUST, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_answered_at_once_while_it_is_known() {
    let (feed, _) = replica(&memory_store(), "here");
    let reply = feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    let known = FeedPosition { epoch: reply.epoch.id, at: reply.cursor };
    let start = Instant::now();
    for _ in 0..100 {
        feed.poll(&query("w", Some(&known), Duration::ZERO)).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_has_been_applied_anywhere_is_confirmed_everywhere() {
    let store = memory_store();
    let (here, _) = replica(&store, "here");
    let (there, _) = replica(&store, "there");
    let first = there.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    let known = FeedPosition { epoch: first.epoch.id, at: first.cursor };
    let at = here.append(&[revoked(1)]).await.unwrap();
    let start = Instant::now();
    let follow = async {
        let reply = there.poll(&query("w", Some(&known), Duration::from_secs(1))).await.unwrap();
        let known = FeedPosition { at: reply.cursor, ..known.clone() };
        there.poll(&query("w", Some(&known), Duration::from_secs(1))).await.unwrap();
    };
    let wait = async { (here.receipt(at).await, start.elapsed()) };
    let ((receipt, waited), ()) = tokio::join!(wait, follow);
    assert!(receipt.applied && waited <= Duration::from_millis(200), "{receipt:?} {waited:?}");
    let shown = here.workers().await.unwrap();
    assert_eq!((shown.workers.len(), shown.workers[0].applied, shown.cursor), (1, at, at));
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_new_name_at_each_poll_costs_no_memory_without_end() {
    let (feed, _) = replica(&memory_store(), "here");
    let now = Instant::now();
    let mut registry = feed.shared.registry();
    for number in 0..followers::MAX_WORKERS {
        registry.note(&query(&number.to_string(), None, Duration::ZERO), None, now).unwrap();
    }
    registry.note(&query("one more", None, Duration::ZERO), None, now).unwrap_err();
    registry.note(&query("7", None, Duration::ZERO), None, now).unwrap();
    let later = now + followers::trust(TRUST);
    registry.note(&query("one more", None, Duration::ZERO), None, later).unwrap();
    assert_eq!(registry.list("", later, true).len(), 1);
}

/// The worker trusts what it knows at the very last moment, too, and its clock may be the slower one.
#[tokio::test(start_paused = true)]
async fn a_worker_is_waited_for_a_little_longer_than_it_says() {
    let (feed, _) = replica(&memory_store(), "here");
    let start = Instant::now();
    feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    let at = feed.append(&[revoked(1)]).await.unwrap();
    assert!(feed.receipt(at).await.applied);
    assert!(start.elapsed() > TRUST + TRUST / 100, "{:?}", start.elapsed());
}

/// It asks about each token, and an answer from before the change may be on its way to it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_trusts_nothing_any_more_is_waited_for_as_long_as_an_answer_is_used() {
    let (feed, _) = replica(&memory_store(), "here");
    feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    sleep(2 * TRUST).await;
    let start = Instant::now();
    let at = feed.append(&[revoked(1)]).await.unwrap();
    assert!(feed.receipt(at).await.applied);
    assert!(start.elapsed() >= TRUST, "{:?}", start.elapsed());
}

/// The records of the other replicas are lost with it.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_all_know_soon_after_the_store_has_lost_its_data() {
    let store = memory_store();
    let (feed, _) = replica(&store, "here");
    let reply = feed.poll(&query("w", None, Duration::ZERO)).await.unwrap();
    let lost = FeedPosition { epoch: reply.epoch.id, at: FeedCursor { millis: u64::MAX, number: 0 } };
    let start = Instant::now();
    store.read_feed(Some(&lost), 1).await.unwrap();
    let at = feed.append(&[revoked(1)]).await.unwrap();
    // Of how many workers it knew besides, and for how long they trust what they know, the store has lost as well.
    while !feed.receipt(at).await.applied {
        assert!(start.elapsed() < 2 * MAX_STALENESS);
    }
    assert!(start.elapsed() >= RECORD_LIVES + MAX_STALENESS, "{:?}", start.elapsed());
}

/// What all workers know, and what has been promised about it.
#[derive(Default)]
struct World {
    workers: Vec<Mutex<Worker>>,
    /// What was revoked, of which somebody was told that all know.
    promised: Mutex<BTreeSet<Fingerprint>>,
    pending: AtomicU64,
    trusted: AtomicU64,
}

#[derive(Default)]
struct Worker {
    knows: BTreeSet<Fingerprint>,
    trusts_until: Option<Instant>,
}

impl World {
    /// Whoever trusts what it knows now knows all that was promised.
    fn check(&self, seed: u64) {
        let promised = self.promised.lock().unwrap();
        for (number, worker) in self.workers.iter().enumerate() {
            let worker = worker.lock().unwrap();
            if worker.trusts_until.is_some_and(|until| Instant::now() < until) {
                let missing: Vec<_> = promised.difference(&worker.knows).collect();
                assert!(missing.is_empty(), "seed {seed}: worker {number} trusts itself and lacks {missing:?}");
                self.trusted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Numbers that are the same for the same seed.
struct Dice(SeededRandom);

impl Dice {
    fn new(seed: u64) -> Self {
        let random = SeededRandom::default();
        // Each seed has a stretch of the numbers for itself.
        random.skip(seed << 40);
        Self(random)
    }

    fn below(&self, end: u64) -> u64 {
        u64::from_be_bytes(random_bytes::<8>(&self.0).unwrap()) % end
    }

    /// Mostly short, sometimes long enough to be taken for dead.
    fn delay(&self) -> Duration {
        Duration::from_millis(match self.below(400) {
            0 => self.below(4_000),
            1..10 => self.below(300),
            _ => self.below(4),
        })
    }

    fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// One worker: it polls a replica, at times another one, measures the age of what it knows from when it
/// sent the poll, and starts anew now and then.
async fn work(world: Arc<World>, number: usize, feeds: Vec<Arc<Feed>>, seed: u64) {
    let dice = Dice::new(seed * 1_000 + 100 + u64::try_from(number).unwrap());
    let trust = Duration::from_millis(300 + dice.below(1_500));
    let mut life = 0;
    let mut known: Option<FeedPosition> = None;
    let mut feed = dice.one_of(&feeds);
    loop {
        if dice.below(30) == 0 {
            feed = dice.one_of(&feeds);
        }
        if dice.below(15) == 0 {
            life += 1;
            known = None;
            *world.workers[number].lock().unwrap() = Worker::default();
            sleep(Duration::from_millis(dice.below(1_000))).await;
        }
        let mut query = query(&format!("w{number}-{life}"), known.as_ref(), Duration::from_millis(dice.below(300)));
        query.max_staleness_ms = u64::try_from(trust.as_millis()).unwrap();
        let sent = Instant::now();
        sleep(dice.delay()).await;
        let reply = feed.poll(&query).await;
        sleep(dice.delay()).await;
        let Ok(reply) = reply else { continue };
        known = Some(FeedPosition { epoch: reply.epoch.id.clone(), at: reply.cursor });
        {
            let mut worker = world.workers[number].lock().unwrap();
            worker.knows.extend(reply.ended.0.iter().map(|(ended, _)| *ended));
            let until = (sent + trust).checked_sub(Duration::from_millis(reply.age_ms)).unwrap();
            if !reply.more {
                worker.trusts_until = worker.trusts_until.max(Some(until));
            }
        }
        world.check(seed);
    }
}

async fn revoke(world: Arc<World>, feeds: Vec<Arc<Feed>>, seed: u64) {
    let dice = Dice::new(seed * 1_000 + 1);
    let mut waits = JoinSet::new();
    for number in 0.. {
        sleep(Duration::from_millis(dice.below(100))).await;
        let feed = Arc::clone(dice.one_of(&feeds));
        let world = Arc::clone(&world);
        waits.spawn(async move {
            let Ok(at) = feed.append(&[revoked(number)]).await else { return };
            if feed.receipt(at).await.applied {
                world.promised.lock().unwrap().insert(Fingerprint::of_token(&format!("t{number}")));
            } else {
                world.pending.fetch_add(1, Ordering::Relaxed);
            }
            world.check(seed);
        });
        while let Some(done) = waits.try_join_next() {
            done.unwrap();
        }
    }
}

/// Lets the store refuse changes of that replica now and then: for a moment, or for seconds.
async fn refuse_now_and_then(faults: Arc<Faults>, seed: u64) {
    let dice = Dice::new(seed);
    loop {
        faults.refuses.store(dice.below(2) == 0, Ordering::Relaxed);
        let longest = *dice.one_of(&[20, 200, 3_000]);
        sleep(Duration::from_millis(dice.below(longest))).await;
    }
}

/// Runs as many worlds of three replicas, of which the last `refused` are refused changes now and then. Returns how
/// often somebody was told that all know, how often not, and how often a worker trusted what it knew.
async fn run_worlds(seeds: u64, refused: usize) -> (usize, u64, u64) {
    let (mut promised, mut pending, mut trusted) = (0, 0, 0);
    for seed in 0..seeds {
        let store = memory_store();
        let (feeds, faults): (Vec<_>, Vec<_>) = ["a", "b", "c"].map(|name| replica(&store, name)).into_iter().unzip();
        for (number, faults) in (0..).zip(&faults) {
            let dice = Dice::new(seed * 1_000 + 10 + number);
            faults.delay(move || dice.delay());
        }
        let workers = 1 + usize::try_from(seed % 4).unwrap();
        let world = Arc::new(World { workers: (0..workers).map(|_| Mutex::default()).collect(), ..World::default() });
        let mut tasks = JoinSet::new();
        for number in 0..workers {
            tasks.spawn(work(Arc::clone(&world), number, feeds.clone(), seed));
        }
        for (number, faults) in (0..).zip(faults.iter().rev().take(refused)) {
            tasks.spawn(refuse_now_and_then(Arc::clone(faults), seed * 1_000 + 500 + number));
        }
        tasks.spawn(revoke(Arc::clone(&world), feeds, seed));
        let failed = tokio::time::timeout(Duration::from_secs(20), tasks.join_next()).await;
        if let Ok(Some(Err(panicked))) = failed {
            std::panic::resume_unwind(panicked.into_panic());
        }
        promised += world.promised.lock().unwrap().len();
        pending += world.pending.load(Ordering::Relaxed);
        trusted += world.trusted.load(Ordering::Relaxed);
    }
    (promised, pending, trusted)
}

#[tokio::test(start_paused = true)]
async fn no_change_is_said_to_be_applied_while_a_worker_trusts_what_it_knew_before() {
    let (promised, pending, trusted) = run_worlds(16, 0).await;
    // Else it would have shown nothing.
    assert!(promised > 1_000 && pending > 100 && trusted > 5_000, "{promised} {pending} {trusted}");
}

#[tokio::test(start_paused = true)]
async fn nor_while_the_store_refuses_the_changes_of_some_replicas() {
    let (promised, pending, trusted) = run_worlds(12, 2).await;
    assert!(promised > 100 && pending > 500 && trusted > 2_000, "{promised} {pending} {trusted}");
}
