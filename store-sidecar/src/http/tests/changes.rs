//! What calls tell through the feed, and when: before the change, and again where a call is repeated.

use serde_json::json;
use session_gate_protocol::{FeedChange, FeedEntry};

use super::{feed::id_of, *};
use crate::store::conformance::op;

async fn entries(gate: &Gate) -> Vec<FeedEntry> {
    gate.store.read_feed(None, 1_000).await.unwrap().entries
}

/// The changes in the feed, in short: the kind, and the session's number among those of `paths`.
async fn told(gate: &Gate, paths: &[&str]) -> Vec<(&'static str, usize)> {
    let number = |id: &SessionId| paths.iter().position(|path| id_of(path) == *id).unwrap();
    let entries = entries(gate).await;
    entries
        .iter()
        .map(|entry| match &entry.change {
            FeedChange::KeysChanged => ("keys", 0),
            FeedChange::SessionEnded { session_id } => ("ended", number(session_id)),
            FeedChange::RuleAdded { .. } => ("rule", 0),
            FeedChange::RuleRemoved { .. } => ("no rule", 0),
            FeedChange::SessionResumed { session_id, .. } => ("resumed", number(session_id)),
            FeedChange::SessionScopes { session_id, .. } => ("scopes", number(session_id)),
            FeedChange::SessionSuspended { session_id, .. } => ("suspended", number(session_id)),
            FeedChange::TokenRevoked { .. } => ("token", 0),
            FeedChange::UserSessionsEnded(_) => ("all", 0),
            FeedChange::Unknown(_) => ("unknown", 0),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_feed_comes_before_the_state() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    let token = gate.token_of(&path).await;
    let (other, _) = gate.login("alice").await;
    faults.asked();
    gate.delete(&path).await;
    assert_eq!(faults.asked(), ["session", "append_feed", "terminate_session"]);
    gate.delete("/v1/users/alice/sessions").await;
    assert_eq!(faults.asked(), ["begin_cut_off", "append_feed", "finish_cut_off"]);
    gate.form("/v1/tokens/revoke", format!("token={token}")).await;
    assert_eq!(faults.asked(), ["append_feed", "revoke_token"]);
    assert_eq!(told(&gate, &[&path, &other]).await, [("ended", 0), ("all", 0), ("token", 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_tells_again() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let token = gate.token_of(&path).await;
    for _ in 0..2 {
        assert_eq!(gate.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(gate.form("/v1/tokens/revoke", format!("token={token}")).await.status, StatusCode::OK);
    }
    assert_eq!(told(&gate, &[&path]).await, [("ended", 0), ("token", 0), ("ended", 0), ("token", 0)]);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_told_the_call_fails_and_no_session_ends() {
    let (gate, faults) = faulty(None);
    let (path, token) = gate.login("alice").await;
    let (other, _) = gate.login("alice").await;
    faults.fail(Some("append_feed"));
    for answer in [
        gate.delete(&path).await,
        gate.delete("/v1/users/alice/sessions").await,
        gate.form("/v1/tokens/revoke", format!("token={token}")).await,
        gate.post("/v1/logout", json!({"token": token})).await,
        gate.patch(&path, json!({"status": "suspended"})).await,
    ] {
        assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
    }
    for path in [&path, &other] {
        assert_eq!(gate.get(path).await.json()["status"], "active");
    }
    faults.fail(None);
    assert_eq!(gate.delete("/v1/users/alice/sessions").await.json(), json!({"terminated": 2}));
    assert_eq!(told(&gate, &[&path, &other]).await, [("all", 0)], "what was cut off is told of");
}

/// Nobody knows whether the store has done it: it may do it yet.
#[tokio::test(start_paused = true)]
async fn where_nobody_knows_what_became_of_a_patch_the_session_stays_suspended_for_workers() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    faults.fail(Some("update_session"));
    let answer = gate.patch(&path, json!({"status": "terminated"})).await;
    assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
    let suspended = ("suspended", 0);
    assert_eq!(told(&gate, &[&path]).await, [suspended, suspended], "again: another call may have said otherwise");
    faults.fail(None);
    gate.patch(&path, json!({"status": "active"})).await;
    assert_eq!(told(&gate, &[&path]).await, [suspended, suspended, ("resumed", 0)], "a later call mends it");
}

#[tokio::test(start_paused = true)]
async fn where_the_state_cannot_be_changed_the_call_fails_and_workers_refuse_already() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    faults.fail(Some("terminate_session"));
    assert_eq!(gate.delete(&path).await.problem(), problem(503, "store_unavailable", &[]));
    assert_eq!(told(&gate, &[&path]).await, [("ended", 0)]);
    faults.fail(None);
    assert_eq!(gate.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_begins_while_all_end_goes_on() {
    let (gate, faults) = faulty(None);
    let (first, _) = gate.login("alice").await;
    let store = Arc::clone(&gate.store);
    let id = SessionId::new(&"alice".parse().unwrap(), &[9; 32]);
    let late = format!("/v1/sessions/{id}");
    let session = serde_json::from_value(json!({"user_id": "alice"})).unwrap();
    faults.interrupt("finish_cut_off", async move {
        let new =
            CreateSession { id, session, duration: Duration::from_secs(60), idle_timeout: None, is_persistent: false };
        store.create_session(new, op()).await.unwrap();
    });
    assert_eq!(gate.delete("/v1/users/alice/sessions").await.json(), json!({"terminated": 1}));
    assert_eq!(told(&gate, &[]).await, [("all", 0)]);
    for (path, status) in [(&first, "terminated"), (&late, "active")] {
        assert_eq!(gate.get(path).await.json()["status"], status);
    }
    let listed = gate.get("/v1/users/alice/sessions").await.json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn suspending_comes_first_in_the_feed_and_resuming_last() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    faults.asked();
    gate.patch(&path, json!({"status": "suspended"})).await;
    assert_eq!(faults.asked()[..3], ["session", "append_feed", "update_session"]);
    gate.patch(&path, json!({"status": "active"})).await;
    assert_eq!(faults.asked()[..2], ["update_session", "append_feed"]);
    gate.patch(&path, json!({"location": "CH"})).await;
    assert_eq!(faults.asked(), ["update_session"], "nothing to tell");
    let told = told(&gate, &[&path]).await;
    assert_eq!((told.first(), told.last()), (Some(&("suspended", 0)), Some(&("resumed", 0))));
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_terminates_suspends_first_since_the_store_may_refuse_it() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    gate.patch(&path, json!({"status": "terminated"})).await;
    assert_eq!(told(&gate, &[&path]).await, [("suspended", 0), ("ended", 0)]);
    // A call that was cut off after the state had changed is mended by its repetition.
    assert_eq!(gate.patch(&path, json!({"status": "terminated"})).await.status, StatusCode::CONFLICT);
    assert_eq!(told(&gate, &[&path]).await.last(), Some(&("ended", 0)));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_refused_is_not_told() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let stale = Request::patch(&path).header("content-type", "application/json").header("if-match", "\"9\"");
    let stale = gate.send(stale.body(Body::from(r#"{"status":"terminated"}"#)).unwrap()).await;
    assert_eq!(stale.problem(), problem(412, "version_mismatch", &[]));
    for status in ["expired", "pending_2fa"] {
        assert_eq!(gate.patch(&path, json!({"status": status})).await.problem(), problem(409, "state_conflict", &[]));
    }
    for unknown in [json!({"status": "active"}), json!({"scopes": []})] {
        assert_eq!(gate.patch(UNKNOWN_SESSION, unknown).await.problem(), problem(404, "not_found", &[]));
    }
    gate.form("/v1/tokens/revoke", "token=nonsense").await;
    assert_eq!(told(&gate, &[]).await, []);
}

/// The store may have lost it alone, while workers serve its tokens.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_that_the_store_does_not_know_is_told_once_and_then_answered_404() {
    let id = id_of(UNKNOWN_SESSION);
    let unknown = problem(404, "not_found", &[]);
    for (method, path, body) in [
        ("DELETE", UNKNOWN_SESSION, Value::Null),
        ("PATCH", UNKNOWN_SESSION, json!({"status": "terminated"})),
        ("PATCH", UNKNOWN_SESSION, json!({"status": "suspended"})),
        ("POST", "/v1/logout", json!({"session_id": id})),
        ("POST", "/v1/logout", json!({"session_id": id, "all": true})),
    ] {
        let (gate, faults) = faulty(None);
        faults.fail(Some("append_feed"));
        let failed = gate.send_json(method, path, &body).await;
        assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]), "{method} {path} {body}");
        faults.fail(None);
        for _ in 0..2 {
            assert_eq!(gate.send_json(method, path, &body).await.problem(), unknown, "{method} {path} {body}");
            assert_eq!(told(&gate, &[UNKNOWN_SESSION]).await, [("ended", 0)], "{method} {path} {body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_store_refuses_after_all_is_taken_back() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    let (store, id) = (Arc::clone(&gate.store), id_of(&path));
    faults.interrupt("append_feed", async move {
        let patch = serde_json::from_value(json!({"location": "CH"})).unwrap();
        store.update_session(&id, &patch, None, op()).await.unwrap();
    });
    let patch = Request::patch(&path).header("content-type", "application/json").header("if-match", "\"1\"");
    let answer = gate.send(patch.body(Body::from(r#"{"status":"terminated"}"#)).unwrap()).await;
    assert_eq!(answer.problem(), problem(412, "version_mismatch", &[]));
    assert_eq!(gate.get(&path).await.json()["status"], "active");
    assert_eq!(told(&gate, &[&path]).await, [("suspended", 0), ("resumed", 0)]);
}

/// The feed may have them in the other order than the store: then the versions say so.
#[tokio::test(start_paused = true)]
async fn a_resumption_that_is_overtaken_by_a_suspension_has_the_lesser_version() {
    let (gate, faults) = faulty(None);
    let (path, _) = gate.login("alice").await;
    gate.patch(&path, json!({"status": "suspended"})).await;
    let (router, overtaking) = (gate.router.clone(), path.clone());
    faults.interrupt("append_feed", async move {
        let request = Request::patch(&overtaking).header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"status":"suspended"}"#)).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::OK);
    });
    gate.patch(&path, json!({"status": "active"})).await;
    assert_eq!(gate.get(&path).await.json()["status"], "suspended");
    let entries = entries(&gate).await;
    let versions: Vec<_> = entries
        .iter()
        .map(|entry| match entry.change {
            FeedChange::SessionResumed { version, .. } => ("resumed", version),
            FeedChange::SessionSuspended { version, .. } => ("suspended", version),
            _ => panic!("{entry:?}"),
        })
        .collect();
    let expected = [("suspended", 1), ("suspended", 2), ("suspended", 3), ("suspended", 4), ("resumed", 3)];
    assert_eq!(versions, expected);
}

#[tokio::test(start_paused = true)]
async fn new_keys_are_told_of() {
    let gate = Gate::new();
    gate.api.service.keys_changed().await.unwrap();
    assert_eq!(told(&gate, &[]).await, [("keys", 0)]);
    assert_eq!(entries(&gate).await[0].until, START.after(Duration::from_secs(3_900)));
}

#[tokio::test(start_paused = true)]
async fn tokens_say_what_a_worker_must_ask_about() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(600)), ..Setup::default() });
    let claims = |token: &str| {
        let verified = gate.keys.get().verify(token, "session-gate", "api").unwrap();
        (verified.claims().idle, verified.claims().pending_2fa)
    };
    let login = gate.post("/v1/login", json!({"user_id": "alice", "pending_2fa": true})).await.json();
    assert_eq!(claims(login["token"]["token"].as_str().unwrap()), (Some(600), true));
    let id = &login["session"]["session_id"];
    gate.patch(&format!("/v1/sessions/{}", id.as_str().unwrap()), json!({"status": "active"})).await;
    let token = gate.post("/v1/tokens", json!({"session_id": id})).await.json();
    assert_eq!(claims(token["token"].as_str().unwrap()), (Some(600), false));
    let token = gate.post("/v1/tokens", json!({"user_id": "alice"})).await.json();
    assert_eq!(claims(token["token"].as_str().unwrap()), (None, false));
}
