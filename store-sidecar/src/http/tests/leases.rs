//! Leases of rate limits.

use serde_json::json;
use session_gate_protocol::LimitKey;

use super::*;
use crate::store::{
    RECORD_OVERDUE,
    faulty::{Faults, Faulty},
};

fn counter(user: &str) -> String {
    format!("api:user={user}").parse::<LimitKey>().unwrap().counter().to_string()
}

fn ask(user: &str, lease: u64, need: u64, want: u64) -> Value {
    let quota = json!({"algorithm": "sliding_window", "requests": 10, "window_ms": 60_000});
    json!({"counter": counter(user), "quotas": [quota], "lease": lease, "need": need, "want": want})
}

async fn lease(gate: &Gate, worker: &str, asks: &[Value]) -> Answer {
    gate.post("/v1/leases", &json!({"worker": worker, "asks": asks})).await
}

#[tokio::test(start_paused = true)]
async fn each_counter_is_asked_about_in_its_turn_and_workers_share_it() {
    let gate = Gate::new();
    let answer = lease(&gate, "w1", &[ask("alice", 1, 2, 8), ask("bob", 2, 1, 1)]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text);
    let reply = answer.json();
    assert_eq!(reply["workers"], 1);
    let granted = |reply: &Value, place: usize| reply["grants"][place]["lease"]["granted"].as_u64();
    assert_eq!((granted(&reply, 0), granted(&reply, 1)), (Some(4), Some(1)), "two, and a third of the rest");
    let reply = lease(&gate, "w2", &[ask("alice", 1, 10, 10)]).await.json();
    assert_eq!(granted(&reply, 0), Some(6));
    let mut last = ask("alice", 2, 1, 1);
    last["settle"] = json!([{"lease": 1, "used": 5}]);
    let reply = lease(&gate, "w2", &[last]).await.json();
    assert_eq!(granted(&reply, 0), Some(1), "what was handed back");
    let none = lease(&gate, "w3", &[ask("alice", 1, 1, 1)]).await.json();
    let told = &none["grants"][0]["lease"];
    assert_eq!((&told["granted"], &told["outstanding"]), (&json!(0), &json!(5)), "{none}");
    assert!(told["again_ms"].as_u64() < told["retry_ms"].as_u64(), "{none}");
    gate.clock.advance(Duration::from_secs(71));
    let reply = lease(&gate, "w3", &[ask("alice", 2, 10, 10)]).await.json();
    assert_eq!(granted(&reply, 0), Some(10));
    assert_eq!(lease(&gate, "w3", &[]).await.json()["grants"], json!([]));
}

#[tokio::test]
async fn every_mistake_in_a_question_is_named() {
    let gate = Gate::new();
    let mut flight = ask("a", 1, 1, 1);
    flight["quotas"] = json!([{"algorithm": "in_flight", "requests": 1, "window_ms": 0}, flight["quotas"][0]]);
    let mut window = ask("b", 1, 2_000_000_000, 1);
    window["quotas"][0]["window_ms"] = json!(999);
    let mut many = ask("c", 1, 1, 1);
    many["settle"] = (0..17).map(|lease| json!({"lease": lease, "used": 0})).collect();
    let answer = lease(&gate, "a b", &[flight, window, many, ask("a", 2, 1, 1)]).await;
    let fields = [
        "worker",
        "asks[0].quotas",
        "asks[1].quotas[0].window_ms",
        "asks[1].need",
        "asks[2].settle",
        "asks[3].counter",
    ];
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned(), fields.map(str::to_owned).to_vec()));
    let asks: Vec<Value> = (0..129).map(|user| ask(&user.to_string(), 1, 1, 1)).collect();
    assert_eq!(lease(&gate, "w", &asks).await.problem().2, ["asks"]);
    assert_eq!(lease(&gate, "w", &asks[..128]).await.status, StatusCode::OK, "as many as are allowed fit in a body");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_fails_the_call_and_nothing_is_granted() {
    let faults = Arc::new(Faults::default());
    let faulty = Arc::clone(&faults);
    let gate = Gate::with(Setup {
        store: Some(Box::new(move |store| Arc::new(Faulty::new(store, faulty)) as _)),
        ..Setup::default()
    });
    faults.fail(Some("lease"));
    let answer = lease(&gate, "w1", &[ask("alice", 1, 1, 1)]).await;
    assert_eq!(answer.problem().1, "store_unavailable");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_leases_is_counted() {
    let gate = Gate::new();
    lease(&gate, "w1", &[ask("alice", 1, 4, 4), ask("bob", 2, 20, 20), ask("carol", 3, 0, 0)]).await;
    let mut settling = ask("alice", 4, 0, 0);
    settling["settle"] = json!([{"lease": 1, "used": 1}]);
    settling["owed"] = json!(2);
    lease(&gate, "w1", &[settling, ask("bob", 5, 1, 1)]).await;
    gate.clock.advance(Duration::from_secs(15));
    lease(&gate, "w1", &[ask("bob", 6, 0, 0)]).await;
    let metrics = gate.get("/metrics").await.text;
    for line in [
        "session_gate_limit_lease_steps_total{outcome=\"granted\"} 1\n",
        "session_gate_limit_lease_steps_total{outcome=\"none\"} 1\n",
        "session_gate_limit_lease_steps_total{outcome=\"partly\"} 1\n",
        "session_gate_limit_lease_steps_total{outcome=\"settled_only\"} 3\n",
        "session_gate_limit_admissions_leased_total 14\n",
        "session_gate_limit_admissions_handed_back_total 3\n",
        "session_gate_limit_admissions_lapsed_total 10\n",
        "session_gate_limit_admissions_owed_total 2\n",
        "session_gate_limit_counters_evicted_total 0\n",
        "session_gate_limit_counters 2.0\n",
    ] {
        assert!(metrics.contains(line), "{line} {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn workers_are_counted_over_all_replicas_and_nobody_waits_for_that() {
    let gate = Gate::new();
    let follower = |worker: &str| crate::store::Follower {
        worker: worker.to_owned(),
        applied: FeedCursor::START,
        seen_ms: 0,
        max_staleness_ms: 60_000,
    };
    let workers = ["w1", "w2", "w3"].map(follower).to_vec();
    let followers = Followers { workers, ..Followers::default() };
    gate.store.publish_followers("there", &followers, Duration::from_secs(60), RECORD_OVERDUE).await.unwrap();
    let workers = async || lease(&gate, "w1", &[]).await.json()["workers"].clone();
    assert_eq!(workers().await, 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(workers().await, 3);
}

/// All that may be asked in one call fits.
#[tokio::test(start_paused = true)]
async fn the_longest_question_is_read_and_a_longer_one_is_not() {
    let gate = Gate::new();
    let settled: Vec<Value> = (0..16).map(|n| json!({"lease": u64::MAX - n, "used": 1_000_000_000})).collect();
    let quota = json!({
        "algorithm": "token_bucket", "requests": 1_000_000_000, "window_ms": 2_678_400_000_u64, "burst": 1_000_000_000,
    });
    let longest = |user: usize| {
        json!({
            "counter": counter(&user.to_string()), "quotas": vec![&quota; 8], "settle": settled, "lease": u64::MAX,
            "owed": 1_000_000_000, "need": 1_000_000_000, "want": 1_000_000_000,
        })
    };
    let asks: Vec<Value> = (0..128).map(longest).collect();
    let answer = lease(&gate, "w1", &asks).await;
    assert_eq!((answer.status, answer.json()["grants"].as_array().unwrap().len()), (StatusCode::OK, 128));
    let body = format!("{}{}", json!({"worker": "w1", "asks": []}), " ".repeat(MAX_LEASES_BYTES));
    let answer = gate.post("/v1/leases", body).await;
    assert_eq!(answer.problem(), problem(413, "payload_too_large", &[]));
    assert!(answer.text.contains(&MAX_LEASES_BYTES.to_string()), "{}", answer.text);
}
