//! `?wait=applied` and who follows the feed, on time that stands still but where a test waits.

use serde_json::json;
use session_gate_protocol::{FeedWorkers, NotApplied, Receipt};
use tokio::time::Instant;

use super::{
    feed::{Worker, millis},
    *,
};
use crate::store::RECORD_OVERDUE;

fn receipt(answer: &Answer) -> Receipt {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_all_workers_have_applied_the_change() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let mut workers = [Worker::start(&gate, "w1").await, Worker::start(&gate, "w2").await];
    let [first, second] = &mut workers;
    let start = Instant::now();
    let answer = tokio::select! {
        answer = gate.delete_and_wait(&path) => answer,
        () = first.follow(&gate) => unreachable!(),
        () = second.follow(&gate) => unreachable!(),
    };
    assert_eq!(receipt(&answer), Receipt { applied: true, pending: Vec::new(), reason: None });
    assert!(start.elapsed() <= millis(60), "{:?}", start.elapsed());
    let shown: FeedWorkers = serde_json::from_str(&gate.get("/v1/workers").await.text).unwrap();
    let names: Vec<_> = shown.workers.iter().map(|worker| (worker.worker.as_str(), worker.applied)).collect();
    assert_eq!(names, [("w1", shown.cursor), ("w2", shown.cursor)]);
    assert!(shown.workers.iter().all(|worker| worker.seen_ms <= 200 && worker.fails_safe_in_ms >= 800), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlasts_a_worker_that_has_vanished() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    Worker::start(&gate, "gone").await;
    let mut alive = Worker::start(&gate, "alive").await;
    let start = Instant::now();
    let answer = tokio::select! {
        answer = gate.delete_and_wait(&path) => answer,
        () = alive.follow(&gate) => unreachable!(),
    };
    assert_eq!(receipt(&answer), Receipt { applied: true, pending: Vec::new(), reason: None });
    // From its last poll on it trusts what it knows for a second.
    assert!((millis(990)..millis(1_100)).contains(&start.elapsed()), "{:?}", start.elapsed());
    let shown: FeedWorkers = serde_json::from_str(&gate.get("/v1/workers").await.text).unwrap();
    let gone = shown.workers.iter().find(|worker| worker.worker == "gone").unwrap();
    assert_eq!(gone.fails_safe_in_ms, 0, "it is still shown");
    tokio::time::sleep(millis(61_000)).await;
    let shown: FeedWorkers = serde_json::from_str(&gate.get("/v1/workers").await.text).unwrap();
    assert!(!shown.workers.iter().any(|worker| worker.worker == "gone"), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_end_of_sessions_that_another_call_has_ended_is_no_shorter() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    Worker::start(&gate, "gone").await;
    let start = Instant::now();
    gate.delete(&path).await;
    let answer = gate.delete_and_wait("/v1/users/alice/sessions").await;
    assert_eq!((&answer.json()["terminated"], &answer.json()["receipt"]["applied"]), (&json!(0), &json!(true)));
    assert!(start.elapsed() >= millis(990), "the worker knew nothing until then: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_names_those_who_poll_and_do_not_apply() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let stuck = Worker::start(&gate, "stuck").await;
    let start = Instant::now();
    let stay = async {
        loop {
            stuck.try_poll(&gate, 0).await;
            tokio::time::sleep(millis(100)).await;
        }
    };
    let answer = tokio::select! {
        answer = gate.delete_and_wait(&path) => answer,
        () = stay => unreachable!(),
    };
    let receipt = receipt(&answer);
    assert!(!receipt.applied && receipt.pending.len() == 1, "{receipt:?}");
    assert_eq!((receipt.pending[0].worker.as_str(), receipt.pending[0].applied), ("stuck", stuck.after));
    assert!(receipt.pending[0].fails_safe_in_ms > 800, "{receipt:?}");
    assert!((millis(1_900)..=millis(2_000)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(gate.get(&path).await.json()["status"], "terminated");
}

/// As another replica says of itself.
async fn say(gate: &Gate, worker: &Worker, cursor: FeedCursor, applied: FeedCursor) {
    let name = worker.name.to_owned();
    let follower = crate::store::Follower { worker: name, applied, seen_ms: 0, max_staleness_ms: 1_000 };
    let followers = Followers { epoch: worker.epoch.clone(), cursor, workers: vec![follower] };
    gate.store.publish_followers("there", &followers, Duration::from_secs(2), RECORD_OVERDUE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_asks_the_other_replicas_too() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let mut worker = Worker::start(&gate, "here").await;
    let there = Worker { name: "there", ..worker.clone() };
    say(&gate, &there, there.after, there.after).await;
    let start = Instant::now();
    let far = FeedCursor { millis: u64::MAX, number: 0 };
    let later = async {
        // It has read on, but its worker has not.
        tokio::time::sleep(millis(300)).await;
        say(&gate, &there, far, there.after).await;
        tokio::time::sleep(millis(300)).await;
        say(&gate, &there, far, far).await;
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = gate.delete_and_wait(&path) => answer,
        () = worker.follow(&gate) => unreachable!(),
        () = later => unreachable!(),
    };
    assert!(receipt(&answer).applied);
    assert!((millis(600)..millis(700)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_says_nothing_is_not_overlooked() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let worker = Worker::start(&gate, "there").await;
    // Nobody follows there as far as it is known; but it may have answered somebody since.
    let followers = Followers { epoch: worker.epoch.clone(), cursor: worker.after, workers: Vec::new() };
    gate.store.publish_followers("there", &followers, Duration::from_secs(2), RECORD_OVERDUE).await.unwrap();
    let start = Instant::now();
    let receipt = receipt(&gate.delete_and_wait(&path).await);
    assert!(!receipt.applied && receipt.pending.is_empty(), "{receipt:?}");
    assert!((millis(1_900)..=millis(2_000)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(receipt.reason, Some(NotApplied::ReplicaSilent));
    gate.clock.advance(Duration::from_secs(2));
    let receipt = self::receipt(&gate.delete_and_wait(&path).await);
    assert!(!receipt.applied, "it has just been marked as gone: {receipt:?}");
    gate.clock.advance(Duration::from_secs(2));
    assert!(self::receipt(&gate.delete_and_wait(&path).await).applied, "whoever it answered trusts nothing any more");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_says_nothing_of_the_others_is_no_confirmation() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    Worker::start(&gate, "w").await;
    faults.fail(Some("followers"));
    assert!(!receipt(&gate.delete_and_wait(&path).await).applied);
    assert_eq!(gate.get("/v1/workers").await.problem(), problem(503, "store_unavailable", &[]));
}

#[tokio::test(start_paused = true)]
async fn every_call_that_ends_something_can_be_waited_for() {
    let gate = Gate::new();
    let all = json!({"applied": true, "pending": []});
    let (path, _) = gate.login("alice").await;
    let token = gate.token_of(&path).await;
    let patched = gate.patch(&format!("{path}?wait=applied"), json!({"status": "suspended"})).await;
    assert_eq!((&patched.json()["receipt"], patched.header("etag")), (&all, "\"2\""));
    assert_eq!(patched.json()["status"], "suspended");
    assert_eq!(gate.patch(&format!("{path}?wait=applied"), json!({"location": "CH"})).await.json()["receipt"], all);
    let revoked = gate.form("/v1/tokens/revoke?wait=applied", format!("token={token}")).await;
    assert_eq!((revoked.json(), revoked.header("cache-control")), (all.clone(), "no-store"));
    assert_eq!(gate.form("/v1/tokens/revoke?wait=applied", "token=nonsense").await.json(), all);
    let out = gate.post("/v1/logout?wait=applied", json!({"token": token})).await;
    assert_eq!(out.json(), json!({"terminated": 1, "receipt": all}));
    let ended = gate.delete("/v1/users/alice/sessions?wait=applied").await;
    assert_eq!(ended.json(), json!({"terminated": 0, "receipt": all}));
    assert_eq!(gate.delete(&format!("{path}?wait=applied")).await.json(), all);
    assert_eq!(gate.delete(&path).await.status, StatusCode::NO_CONTENT);
    let metrics = gate.get("/metrics").await.text;
    assert!(metrics.contains("session_gate_feed_receipt_wait_seconds_count{outcome=\"applied\"} 5\n"), "{metrics}");
}

/// Whoever waits is told that nobody knows, and not cut off.
#[tokio::test(start_paused = true)]
async fn a_wait_is_answered_when_the_process_ends() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    Worker::start(&gate, "silent").await;
    let start = Instant::now();
    let end = async {
        tokio::time::sleep(millis(200)).await;
        gate.api.service.close();
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = gate.delete_and_wait(&path) => answer,
        () = end => unreachable!(),
    };
    let reason = Some(NotApplied::SidecarStopping);
    assert_eq!(receipt(&answer), Receipt { applied: false, pending: Vec::new(), reason });
    assert!(start.elapsed() < millis(300), "{:?}", start.elapsed());
}
