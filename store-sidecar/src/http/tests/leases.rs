//! Leases of rate limits.

use serde_json::json;
use session_gate_protocol::LimitKey;

use super::*;
use crate::store::faulty::{Faults, Faulty};

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
    let fields = ["worker", "asks[0].quotas", "asks[1].quotas[0]", "asks[1].need", "asks[2].settle", "asks[3].counter"];
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
