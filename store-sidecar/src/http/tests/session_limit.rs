//! How many sessions a user may have.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use session_gate_protocol::{FeedChange, SessionId};

use super::{Answer, Gate, Setup, faulty, problem};
use crate::store::EVICTIONS_OVERDUE;

const SESSIONS: &str = "/v1/users/alice/sessions";

fn alice(more: Value) -> Value {
    let mut login = json!({"user_id": "alice", "scopes": ["read"], "amr": ["pwd"], "max_sessions": 3});
    login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    login
}

fn denied(more: Value) -> Value {
    let mut login = alice(json!({"when_full": "deny"}));
    login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    login
}

fn id(login: &Answer) -> String {
    login.json()["session"]["session_id"].as_str().unwrap_or_else(|| panic!("{}", login.text)).to_owned()
}

async fn live(gate: &Gate) -> HashSet<String> {
    let list = gate.get(SESSIONS).await.json();
    let sessions = list["sessions"].as_array().unwrap().iter();
    sessions.map(|session| session["session_id"].as_str().unwrap().to_owned()).collect()
}

async fn told(gate: &Gate) -> Vec<SessionId> {
    let entries = gate.store.read_feed(None, 1_000).await.unwrap().entries;
    let ended = entries.into_iter().filter_map(|entry| match entry.change {
        FeedChange::SessionEnded { session_id } => Some(session_id),
        _ => None,
    });
    ended.collect()
}

/// So many logins, each a second after the other.
async fn logins(gate: &Gate, count: usize, login: &Value) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(id(&gate.post("/v1/login", login).await));
        gate.clock.advance(Duration::from_secs(1));
    }
    made
}

fn reached() -> (u16, String, Vec<String>) {
    problem(409, "session_limit_reached", &[])
}

/// A login form that a browser sends twice, before it has the answer to the first. A device that nobody knows changes nothing.
#[tokio::test]
async fn a_form_that_is_sent_twice_leaves_both_its_sessions() {
    let gate = Gate::new();
    let on = |device: &Value| {
        json!({"user_id": "alice", "max_sessions": 1, "when_full": "evict_oldest", "lockout": true, "device_token": device,
            "ip_address": "192.0.2.1"})
    };
    let first = gate.post("/v1/login", on(&Value::Null)).await;
    let device = first.json()["device"]["token"].clone();
    assert!(device.is_string(), "{}", first.text);
    gate.clock.advance(Duration::from_secs(20));
    let [one, two] = [gate.post("/v1/login", on(&device)).await, gate.post("/v1/login", on(&device)).await];
    assert_eq!(live(&gate).await, [id(&one), id(&two)].into(), "the one of before has ended");
    let made_up = gate.post("/v1/login", on(&json!("sgd_made_up"))).await;
    assert_eq!(live(&gate).await, [id(&made_up)].into());
    let again = gate.post("/v1/login", on(&device)).await;
    gate.clock.advance(Duration::from_secs(10));
    let later = gate.post("/v1/login", on(&device)).await;
    assert_ne!(id(&again), id(&later));
    assert_eq!(live(&gate).await, [id(&later)].into(), "ten seconds later it counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_exact_under_parallel_logins_at_two_sidecars() {
    for (when_full, made) in [("deny", 3), ("evict_oldest", 50)] {
        let one = Arc::new(Gate::new());
        let shared = Arc::clone(&one.store);
        let two = Setup { store: Some(Box::new(move |_| shared)), skipped_randomness: 1 << 32, ..Setup::default() };
        let two = Arc::new(Gate::with(two));
        let answers = (0..50).map(|number| {
            let gate = Arc::clone(if number % 2 == 0 { &one } else { &two });
            tokio::spawn(async move { gate.post("/v1/login", alice(json!({"when_full": when_full}))).await })
        });
        let mut statuses = Vec::new();
        for answer in answers.collect::<Vec<_>>() {
            statuses.push(answer.await.unwrap().status.as_u16());
        }
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), made, "{when_full}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 50 - made, "{when_full}");
        assert_eq!(live(&one).await.len(), 3);
        let told: HashSet<_> = told(&one).await.into_iter().collect();
        assert_eq!(told.len(), made - 3, "everybody knows of each that has ended");
    }
}

/// Everybody, before whoever logs in is answered.
#[tokio::test(start_paused = true)]
async fn a_login_beyond_the_limit_ends_the_oldest_and_tells() {
    let (gate, faults) = faulty(None);
    let login = alice(json!({}));
    let old = logins(&gate, 3, &login).await;
    faults.asked();
    let new = id(&gate.post("/v1/login", &login).await);
    let steps = ["create_session", "note_evictions", "create_session", "append_feed", "evictions_told"];
    assert_eq!(faults.asked(), steps);
    assert_eq!(live(&gate).await, [old[1].clone(), old[2].clone(), new].into());
    assert_eq!(told(&gate).await, [old[0].parse().unwrap()]);
    let metrics = gate.get("/metrics").await.text;
    for line in [
        "sessions_terminated_total{reason=\"evicted\"} 1\n",
        "session_limit_reached_total{action=\"evict_oldest\"} 1\n",
    ] {
        assert!(metrics.contains(&format!("session_gate_{line}")), "{metrics}");
    }
}

/// The one that was to end has, nobody has the new one, and another replica tells.
#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_tell_is_refused_and_is_told_of_later() {
    let (gate, faults) = faulty(None);
    let login = alice(json!({}));
    let old = logins(&gate, 3, &login).await;
    faults.fail(Some("append_feed"));
    assert_eq!(gate.post("/v1/login", &login).await.problem(), problem(503, "store_unavailable", &[]));
    assert_eq!(live(&gate).await, [old[1].clone(), old[2].clone()].into(), "nobody has the new one");
    faults.fail(None);
    gate.api.service.tell_overdue_evictions().await.unwrap();
    assert!(told(&gate).await.is_empty(), "it may still be told by who has ended it");
    gate.clock.advance(EVICTIONS_OVERDUE);
    for _ in 0..2 {
        gate.api.service.tell_overdue_evictions().await.unwrap();
        assert_eq!(told(&gate).await, [old[0].parse().unwrap()], "once");
    }
}

/// As if the process had died before that step.
#[tokio::test(start_paused = true)]
async fn whoever_ends_sessions_and_dies_is_found_out() {
    for (step, has_ended) in [("note_evictions", false), ("append_feed", true), ("evictions_told", true)] {
        let (gate, faults) = faulty(None);
        let login = alice(json!({}));
        let old = logins(&gate, 3, &login).await;
        let (reach, reached) = tokio::sync::oneshot::channel();
        faults.interrupt(step, async move {
            reach.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        tokio::select! {
            _ = gate.post("/v1/login", &login) => panic!("it hangs"),
            reached = reached => reached.unwrap(),
        }
        assert_eq!(live(&gate).await.contains(&old[0]), !has_ended, "{step}");
        gate.clock.advance(EVICTIONS_OVERDUE);
        gate.api.service.tell_overdue_evictions().await.unwrap();
        let expected: HashSet<SessionId> = has_ended.then(|| old[0].parse().unwrap()).into_iter().collect();
        assert_eq!(told(&gate).await.into_iter().collect::<HashSet<_>>(), expected, "{step}");
        assert_eq!(live(&gate).await.contains(&old[0]), !has_ended, "{step}");
        assert_eq!(gate.store.overdue_evictions().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_denied_gets_a_way_out_once() {
    let gate = Gate::new();
    let old = logins(&gate, 3, &denied(json!({}))).await;
    let refused = gate.post("/v1/login", denied(json!({"ip_address": "192.0.2.1"}))).await;
    assert_eq!(refused.problem(), reached());
    let body = refused.json();
    assert_eq!(body["max_sessions"], 3);
    let shown = body["sessions"].as_array().unwrap();
    let shown: HashSet<_> = shown.iter().map(|one| one["session_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(shown, old.iter().cloned().collect());
    assert_eq!(body["sessions"][0].get("metadata"), None);
    let handle = body["takeover"].as_str().unwrap();
    // It is good for that user and that login.
    let bob = json!({"user_id": "bob", "scopes": ["read"], "amr": ["pwd"], "takeover": handle});
    assert_eq!(gate.post("/v1/login", bob).await.problem(), problem(400, "invalid_request", &["takeover"]));
    let chosen = denied(json!({"takeover": handle, "replaces": old[2]}));
    let new = gate.post("/v1/login", &chosen).await;
    assert_eq!(live(&gate).await, [old[0].clone(), old[1].clone(), id(&new)].into());
    assert_eq!(told(&gate).await, [old[2].parse().unwrap()]);
    assert_eq!(gate.post("/v1/login", &chosen).await.problem(), problem(400, "invalid_request", &["takeover"]));
    // Without a choice the least recently used one ends.
    let refused = gate.post("/v1/login", denied(json!({}))).await.json();
    id(&gate.post("/v1/login", denied(json!({"takeover": refused["takeover"]}))).await);
    assert!(!live(&gate).await.contains(&old[0]));
    let metrics = gate.get("/metrics").await.text;
    assert!(metrics.contains("session_gate_session_limit_reached_total{action=\"deny\"} 2\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_handle_proves_no_more_than_the_login_did() {
    let gate = Gate::new();
    let bobs = gate.login("bob").await.0.replace("/v1/sessions/", "");
    logins(&gate, 3, &denied(json!({}))).await;
    let handle = async || {
        let refused = gate.post("/v1/login", denied(json!({"pending_2fa": true}))).await;
        assert_eq!(refused.problem(), reached());
        refused.json()["takeover"].clone()
    };
    let before = live(&gate).await;
    let pending = json!({"pending_2fa": true});
    for other in [json!({"pending_2fa": false}), json!({"amr": ["pwd", "otp"]}), json!({"scopes": ["read", "admin"]})] {
        let mut login = denied(pending.clone());
        login["takeover"] = handle().await;
        login.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        assert_eq!(gate.post("/v1/login", login).await.problem(), problem(400, "invalid_request", &["takeover"]));
    }
    let mut login = denied(pending.clone());
    (login["takeover"], login["replaces"]) = (handle().await, json!(bobs));
    assert_eq!(gate.post("/v1/login", &login).await.problem(), problem(400, "invalid_request", &["replaces"]));
    gate.clock.advance(Duration::from_secs(301));
    login.as_object_mut().unwrap().remove("replaces");
    assert_eq!(gate.post("/v1/login", login).await.problem(), problem(400, "invalid_request", &["takeover"]));
    assert_eq!(live(&gate).await, before);
    assert_eq!(gate.get(&format!("/v1/sessions/{bobs}")).await.json()["status"], "active");
}

/// Neither is the session told to have ended that was to be replaced.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_denied_ends_nothing() {
    let gate = Gate::new();
    let old = logins(&gate, 3, &denied(json!({}))).await;
    let lower = denied(json!({"max_sessions": 2, "replaces": old[0]}));
    assert_eq!(gate.post("/v1/login", &lower).await.problem(), reached());
    assert_eq!(live(&gate).await, old.iter().cloned().collect());
    assert!(told(&gate).await.is_empty());
    id(&gate.post("/v1/login", denied(json!({"replaces": old[0]}))).await);
    assert_eq!(live(&gate).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_is_notified_logs_in_and_learns_how_many_are_too_many() {
    let gate = Gate::new();
    let login = alice(json!({"when_full": "notify", "max_sessions": 1}));
    let first = gate.post("/v1/login", &login).await.json();
    assert_eq!(first.get("sessions_over_limit"), None);
    assert_eq!(gate.post("/v1/login", &login).await.json()["sessions_over_limit"], 1);
    assert_eq!(live(&gate).await.len(), 2);
    let metrics = gate.get("/metrics").await.text;
    assert!(metrics.contains("session_gate_session_limit_reached_total{action=\"notify\"} 1\n"), "{metrics}");
}

/// As configured (5 here, the oldest ends), unless the application says otherwise; a filter has no say.
#[tokio::test(start_paused = true)]
async fn a_session_and_a_command_have_the_limit_too() {
    let gate = Gate::new();
    let session = json!({"user_id": "alice", "max_sessions": 2, "when_full": "deny"});
    for _ in 0..2 {
        assert_eq!(gate.post("/v1/sessions", &session).await.status.as_u16(), 201);
    }
    let refused = gate.post("/v1/sessions", &session).await;
    assert_eq!(refused.problem(), reached());
    assert_eq!(refused.json().get("takeover"), None);
    for bad in [json!({"max_sessions": 2001}), json!({"max_sessions": -1}), json!({"when_full": "panic"})] {
        let login = alice(bad);
        assert_eq!(gate.post("/v1/login", login).await.status.as_u16(), 400);
    }
    assert_eq!(
        gate.post("/v1/login", alice(json!({"max_sessions": 0, "when_full": "deny"}))).await.status.as_u16(),
        201
    );
    let command = json!({"command": {"kind": "login", "user_id": "alice"}});
    for _ in 0..4 {
        assert_eq!(gate.post("/v1/session-commands", &command).await.status.as_u16(), 200);
    }
    assert_eq!(live(&gate).await.len(), 5);
    let told = json!({"command": {"kind": "login", "user_id": "alice", "max_sessions": 9}});
    assert_eq!(gate.post("/v1/session-commands", told).await.status.as_u16(), 400);
}

/// A filter learns that, and nothing of the user's sessions.
#[tokio::test(start_paused = true)]
async fn a_command_that_is_denied_says_no_more() {
    let gate = Gate::with(Setup { when_full: session_gate_protocol::WhenFull::Deny, ..Setup::default() });
    logins(&gate, 5, &json!({"user_id": "alice"})).await;
    let refused = gate.post("/v1/session-commands", json!({"command": {"kind": "login", "user_id": "alice"}})).await;
    assert_eq!(refused.problem(), reached());
    assert_eq!((refused.json().get("sessions"), refused.json().get("takeover")), (None, None));
    let metrics = gate.get("/metrics").await.text;
    assert!(metrics.contains("session_commands_total{kind=\"login\",outcome=\"conflict\"} 1\n"), "{metrics}");
}

/// Nobody has the session of a login whose outcome nobody knows: it takes no place.
#[tokio::test(start_paused = true)]
async fn a_login_whose_answer_is_lost_takes_no_place() {
    for cannot_end_at_first in [false, true] {
        let (gate, faults) = faulty(None);
        let login = denied(json!({"max_sessions": 1}));
        faults.lose_answer("create_session");
        faults.fail(cannot_end_at_first.then_some("terminate_session"));
        assert_eq!(gate.post("/v1/login", &login).await.problem(), problem(503, "store_unavailable", &[]));
        tokio::time::sleep(Duration::from_millis(10)).await;
        if cannot_end_at_first {
            assert_eq!(live(&gate).await.len(), 1);
            faults.fail(None);
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        assert!(live(&gate).await.is_empty(), "{cannot_end_at_first}");
        id(&gate.post("/v1/login", &login).await);
    }
}

/// One that is still on its way to the store is ended when it has got there; of one that the store has refused there is none.
#[tokio::test(start_paused = true)]
async fn a_login_that_may_still_get_to_the_store_is_looked_for_twice() {
    let (gate, faults) = faulty(None);
    let ends = || faults.asked().iter().filter(|step| **step == "terminate_session").count();
    faults.fail(Some("create_session"));
    assert_eq!(gate.post("/v1/login", alice(json!({}))).await.status.as_u16(), 503);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ends(), 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ends(), 1);
    faults.fail(None);
    faults.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(gate.post("/v1/login", alice(json!({}))).await.status.as_u16(), 503);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ends(), 0);
}
