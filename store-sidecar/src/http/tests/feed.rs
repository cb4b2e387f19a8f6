//! The feed over HTTP: long polls, revocations and activity. Time stands still but where a
//! test waits.

use std::sync::atomic::Ordering;

use serde_json::json;
use session_gate_protocol::{FeedChange, FeedReply, Fingerprint};
use tokio::time::Instant;

use super::*;

/// What a worker knows.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) name: &'static str,
    pub(super) epoch: String,
    pub(super) after: FeedCursor,
}

impl Worker {
    /// A worker that knows all there is.
    pub(super) async fn start(gate: &Gate, name: &'static str) -> Self {
        let answer = gate.get(&format!("/v1/feed?worker={name}&max_staleness_ms=1000")).await;
        let reply = reply(&answer);
        Self { name, epoch: reply.epoch.id, after: reply.cursor }
    }

    pub(super) async fn poll(&mut self, gate: &Gate, wait_ms: u64) -> FeedReply {
        let answer = self.try_poll(gate, wait_ms).await;
        let reply = reply(&answer);
        self.epoch.clone_from(&reply.epoch.id);
        self.after = reply.cursor;
        reply
    }

    pub(super) async fn try_poll(&self, gate: &Gate, wait_ms: u64) -> Answer {
        let Self { name, epoch, after } = self;
        let query = format!("worker={name}&epoch={epoch}&after={after}&wait_ms={wait_ms}&max_staleness_ms=1000");
        gate.get(&format!("/v1/feed?{query}")).await
    }

    /// Polls for ever.
    pub(super) async fn follow(&mut self, gate: &Gate) {
        loop {
            self.poll(gate, 200).await;
        }
    }
}

fn reply(answer: &Answer) -> FeedReply {
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

/// How much the reply tells.
fn count(reply: &FeedReply) -> usize {
    reply.entries.len() + reply.ended.0.len()
}

pub(super) fn id_of(path: &str) -> SessionId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The end of the feed.
async fn last(gate: &Gate) -> FeedCursor {
    gate.store.read_feed(None, 1).await.unwrap().last
}

/// Appends as another replica would, which nobody here hears of but by reading.
async fn append(gate: &Gate, count: usize) -> FeedCursor {
    let entry = |number: usize| NewFeedEntry {
        until: UnixSeconds(u64::MAX),
        change: FeedChange::TokenRevoked { token_id: format!("t{number}").parse().unwrap() },
    };
    gate.store.append_feed(&(0..count).map(entry).collect::<Vec<_>>()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_answered_as_soon_as_something_is_told() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let mut worker = Worker::start(&gate, "w").await;
    let start = Instant::now();
    let (reply, ()) = tokio::join!(worker.poll(&gate, 10_000), async {
        tokio::time::sleep(millis(2_000)).await;
        gate.delete(&path).await;
    });
    assert!((millis(2_000)..millis(2_010)).contains(&start.elapsed()), "{:?}", start.elapsed());
    // As long as a token of it could be accepted anywhere.
    let until = START.after(Duration::from_secs(3_600 + 300));
    assert_eq!(reply.ended.0, [(Fingerprint::of_session(id_of(&path).as_str()), until)]);
    assert_eq!((reply.cursor, reply.more, count(&reply)), (last(&gate).await, false, 1));
    assert_eq!(count(&worker.poll(&gate, 0).await), 0, "only once");
}

#[tokio::test(start_paused = true)]
async fn what_another_replica_tells_is_found_by_reading() {
    let gate = Gate::new();
    let mut worker = Worker::start(&gate, "w").await;
    let start = Instant::now();
    let (reply, _) = tokio::join!(worker.poll(&gate, 10_000), append(&gate, 1));
    assert_eq!(reply.ended.0.first().map(|(ended, _)| *ended), Some(Fingerprint::of_token("t0")));
    assert!(start.elapsed() <= millis(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_poll_without_news_is_held_back_for_as_long_as_it_asks_and_ten_seconds_at_most() {
    let gate = Gate::new();
    let mut worker = Worker::start(&gate, "w").await;
    for (asked, held) in [(0, 0), (300, 300), (10_000, 10_000), (60_000, 10_000)] {
        let start = Instant::now();
        let reply = worker.poll(&gate, asked).await;
        assert!((millis(held)..millis(held + 10)).contains(&start.elapsed()), "{asked}: {:?}", start.elapsed());
        assert!(count(&reply) == 0 && !reply.more && reply.age_ms <= 10, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_service_stops_nobody_is_held_back() {
    let gate = Gate::new();
    let mut worker = Worker::start(&gate, "w").await;
    let start = Instant::now();
    tokio::join!(worker.poll(&gate, 10_000), async { gate.api.service.feed().close() });
    assert!(start.elapsed() <= millis(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_long_feed_comes_in_pages() {
    let gate = Gate::new();
    let last = append(&gate, 20_000).await;
    let mut start = gate.get("/v1/feed?worker=w&max_staleness_ms=1000").await;
    let (mut told, mut pages) = (0, 0);
    loop {
        assert!(start.text.len() < 200 * 1024, "{}", start.text.len());
        let page = reply(&start);
        (told, pages) = (told + count(&page), pages + 1);
        if !page.more {
            assert_eq!(page.cursor, last);
            break;
        }
        start = Worker { name: "w", epoch: page.epoch.id, after: page.cursor }.try_poll(&gate, 10_000).await;
    }
    assert_eq!((told, pages), (20_000, 3), "some 8,900 in each");
}

#[tokio::test(start_paused = true)]
async fn who_knows_another_epoch_gets_everything() {
    let gate = Gate::new();
    append(&gate, 2).await;
    let mut worker = Worker::start(&gate, "w").await;
    let known = worker.clone();
    worker.epoch = "a".repeat(32);
    let reply = worker.poll(&gate, 10_000).await;
    assert_eq!((count(&reply), &worker.epoch, worker.after), (2, &known.epoch, known.after));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_lost_data_begins_a_new_epoch_for_all_who_wait() {
    let gate = Gate::new();
    append(&gate, 2).await;
    let mut worker = Worker::start(&gate, "w").await;
    let known = worker.clone();
    let lost = FeedPosition { epoch: known.epoch.clone(), at: FeedCursor { millis: u64::MAX, number: 0 } };
    let (reply, page) = tokio::join!(worker.poll(&gate, 10_000), gate.store.read_feed(Some(&lost), 1));
    assert_eq!(reply.epoch, page.unwrap().epoch);
    assert_ne!(reply.epoch.id, known.epoch);
    assert_eq!((reply.epoch.since, count(&reply)), (START, 2), "what is left stays of use");
}

/// Whoever may poll could make all workers ask about all their tokens otherwise.
#[tokio::test(start_paused = true)]
async fn a_made_up_place_changes_nothing() {
    let gate = Gate::new();
    append(&gate, 2).await;
    let mut honest = Worker::start(&gate, "honest").await;
    let known = honest.clone();
    for made_up in [known.after.millis + 1, known.after.millis + 1_000_000, u64::MAX] {
        let mut worker = known.clone();
        worker.name = "evil";
        worker.after.millis = made_up;
        let reply = worker.poll(&gate, 10_000).await;
        assert_eq!(reply.epoch.id, known.epoch);
        assert_eq!((count(&reply), reply.cursor), (2, known.after), "it begins at the start");
        let shown = gate.get("/v1/workers").await.json();
        let evil =
            shown["workers"].as_array().unwrap().iter().find(|worker| worker["worker"] == "evil").unwrap().clone();
        assert_eq!(evil["applied"], json!(known.after), "it can't have applied what there is not");
    }
    assert_eq!(honest.poll(&gate, 0).await.epoch.id, known.epoch);
    assert_eq!(count(&honest.poll(&gate, 0).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_another_replica_has_told_more_is_no_loss() {
    let (gate, faults) = faulty(None);
    let mut worker = Worker::start(&gate, "w").await;
    // This replica does not get to read what the other has told the worker.
    faults.hangs.store(true, Ordering::Relaxed);
    tokio::time::sleep(millis(10)).await;
    worker.after = append(&gate, 1).await;
    let known = worker.clone();
    let reply = worker.poll(&gate, 0).await;
    assert_eq!((&worker.epoch, worker.after), (&known.epoch, known.after), "it keeps what it knows");
    assert!(count(&reply) == 0 && reply.age_ms >= 10, "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_look_fresh() {
    let (gate, faults) = faulty(None);
    let mut worker = Worker::start(&gate, "w").await;
    faults.hangs.store(true, Ordering::Relaxed);
    let first = worker.poll(&gate, 3_000).await;
    assert!((2_980..=3_010).contains(&first.age_ms), "{first:?}");
    let second = worker.poll(&gate, 0).await;
    assert!(second.age_ms >= first.age_ms, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_does_not_look_fresh_and_is_read_again() {
    let (gate, faults) = faulty(None);
    let mut worker = Worker::start(&gate, "w").await;
    for op in ["read_feed", "publish_followers"] {
        faults.fail(Some(op));
        let reply = worker.poll(&gate, 3_000).await;
        // A record of followers is good for some time, and so is what is read meanwhile.
        assert!(reply.age_ms >= 3_000 - 400 - 10, "{op}: {reply:?}");
        faults.fail(None);
        tokio::time::sleep(millis(60)).await;
        assert!(worker.poll(&gate, 0).await.age_ms <= 10, "{op}");
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_feed_has_been_read_there_is_no_answer() {
    let answer = Gate::broken(StoreErrorKind::Unavailable).get("/v1/feed?worker=w&max_staleness_ms=1000").await;
    assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
    assert_eq!(answer.header("retry-after"), "1");
    let answer = Gate::broken(StoreErrorKind::Unavailable).get("/v1/revocations").await;
    assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
}

#[tokio::test(start_paused = true)]
async fn queries_are_read_strictly() {
    let gate = Gate::new();
    let long = "w".repeat(65);
    for (query, fields) in [
        ("", vec!["worker"]),
        ("worker=w", vec!["max_staleness_ms"]),
        ("worker=&max_staleness_ms=1000", vec!["worker"]),
        (&format!("worker={long}&max_staleness_ms=1000"), vec!["worker"]),
        ("worker=a%20b&max_staleness_ms=1000", vec!["worker"]),
        ("worker=w&max_staleness_ms=0", vec!["max_staleness_ms"]),
        ("worker=w&max_staleness_ms=60001", vec!["max_staleness_ms"]),
        ("worker=w&max_staleness_ms=1s&after=5", vec!["after", "max_staleness_ms"]),
        ("worker=w&max_staleness_ms=1000&wait_ms=-1", vec!["wait_ms"]),
        ("worker=w&worker=v&max_staleness_ms=1000", vec!["worker"]),
        ("worker=w&max_staleness_ms=1000&more=1", vec!["more"]),
    ] {
        let answer = gate.get(&format!("/v1/feed?{query}")).await;
        let mut found = answer.problem();
        found.2.sort();
        assert_eq!(found, problem(400, "invalid_request", &fields), "{query}");
    }
    assert_eq!(gate.get("/v1/feed?worker=17&max_staleness_ms=1000").await.status, StatusCode::OK);
    for (path, field) in [
        ("/v1/revocations?limit=0", "limit"),
        ("/v1/revocations?limit=1001", "limit"),
        ("/v1/revocations?after=x", "after"),
        ("/v1/revocations?from=x", "from"),
    ] {
        assert_eq!(gate.get(path).await.problem(), problem(400, "invalid_request", &[field]), "{path}");
    }
    for path in [UNKNOWN_SESSION, "/v1/users/a/sessions"] {
        for (query, field) in [("wait=applied&wait=applied", "wait"), ("wait=all", "wait"), ("await=applied", "await")]
        {
            let answer = gate.delete(&format!("{path}?{query}")).await;
            assert_eq!(answer.problem(), problem(400, "invalid_request", &[field]), "{path} {query}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn revocations_are_listed_in_pages() {
    let gate = Gate::new();
    append(&gate, 5).await;
    tokio::time::sleep(millis(10)).await;
    let page = gate.get("/v1/revocations?limit=3").await.json();
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["more"]), (3, &json!(true)));
    let cursor = page["cursor"].as_str().unwrap();
    let page = gate.get(&format!("/v1/revocations?limit=3&after={cursor}")).await.json();
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["more"]), (2, &json!(false)));
    assert_eq!(page["entries"][1]["change"], json!({"kind": "token_revoked", "token_id": "t4"}));
    gate.clock.advance(Duration::from_secs(4_000));
    tokio::time::sleep(millis(10)).await;
    assert_eq!(gate.get("/v1/revocations").await.json()["entries"], json!([]));
    assert!(gate.get("/metrics").await.text.contains("session_gate_feed_entries 0.0\n"));
}

#[tokio::test(start_paused = true)]
async fn activity_keeps_a_session_from_being_idle() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(600)), ..Setup::default() });
    let (path, _) = gate.login("alice").await;
    for _ in 0..3 {
        gate.clock.advance(Duration::from_secs(500));
        let answer = gate.post("/v1/activity", json!({"sessions": [id_of(&path)]})).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    assert_eq!(gate.get(&path).await.json()["status"], "active");
    let many = json!({"sessions": vec![id_of(&path); 1_001]});
    assert_eq!(gate.post("/v1/activity", many).await.problem(), problem(400, "invalid_request", &["sessions"]));
    let wrong = gate.post("/v1/activity", json!({"sessions": ["x"]})).await;
    assert_eq!(wrong.problem(), problem(400, "invalid_request", &["sessions[0]"]));
}
