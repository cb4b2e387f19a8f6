//! What the filter asks: of tokens of ours, of other issuers', and what the feed adds to the store's word.

use std::sync::atomic::Ordering;

use serde_json::json;
use session_gate_protocol::FeedChange;
use tokio::time::Instant;

use super::{feed::id_of, *};
use crate::store::conformance::op;

async fn foreign(gate: &Gate, claims: Value, require_session: bool) -> Answer {
    let credential = json!({"kind": "foreign", "claims": claims, "require_session": require_session});
    gate.post("/v1/check", json!({ "credential": credential })).await
}

#[tokio::test(start_paused = true)]
async fn a_live_session_is_described() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(600)), ..Setup::default() });
    let created = gate.post("/v1/sessions", json!({"user_id": "alice", "scopes": ["read"], "pending_2fa": true})).await;
    let id = created.json()["session_id"].clone();
    let token = json!({"user_id": "alice", "session_id": id, "token_id": "t"});
    let session = json!({
        "session_id": id, "expires_at": START.0 + 86_400, "idle_timeout": 600, "scopes": ["read"], "version": 1,
    });
    assert_eq!(gate.check(&token).await.json(), json!({"verdict": "session_pending_2fa", "session": session}));
    gate.patch(created.header("location"), json!({"status": "active", "scopes": null})).await;
    let session = json!({"session_id": id, "expires_at": START.0 + 86_400, "idle_timeout": 600, "version": 2});
    assert_eq!(gate.check(&token).await.json(), json!({"verdict": "live", "session": session}));
    gate.patch(created.header("location"), json!({"status": "suspended"})).await;
    assert_eq!(gate.check(&token).await.json(), json!({"verdict": "session_suspended"}));
}

#[tokio::test(start_paused = true)]
async fn another_issuers_token_needs_a_session_where_it_is_asked_for() {
    let gate = Gate::new();
    assert_eq!(foreign(&gate, json!({"iss": "i", "sub": "alice"}), false).await.json(), json!({"verdict": "live"}));
    for claims in [json!({"sub": "alice"}), json!({"sub": ""}), json!({"sub": 5}), json!({})] {
        assert_eq!(verdict(&foreign(&gate, claims.clone(), true).await), "session_unknown", "{claims}");
    }
    let (first, _) = gate.login("alice").await;
    gate.clock.advance(Duration::from_secs(10));
    let (second, _) = gate.login("alice").await;
    let of = async |claims: Value| {
        let answer = foreign(&gate, claims, true).await;
        (verdict(&answer), answer.json()["session"]["session_id"].as_str().map(str::to_owned))
    };
    let named = |path: &str| Some(id_of(path).to_string());
    let live = |path: &str| ("live".to_owned(), named(path));
    assert_eq!(of(json!({"sub": "alice"})).await, live(&second), "the newest");
    assert_eq!(of(json!({"sub": "alice", "sid": "the issuer's own"})).await, live(&second));
    assert_eq!(of(json!({"sub": "alice", "sid": id_of(&first)})).await, live(&first), "the one that is named");
    gate.patch(&second, json!({"status": "suspended"})).await;
    assert_eq!(of(json!({"sub": "alice"})).await, live(&first), "the newest that is active");
    assert_eq!(of(json!({"sub": "alice", "sid": id_of(&second)})).await, ("session_suspended".to_owned(), None));
    gate.delete(&first).await;
    assert_eq!(of(json!({"sub": "alice"})).await, ("session_unknown".to_owned(), None));
    assert_eq!(of(json!({"sub": "alice", "sid": id_of(&first)})).await, ("session_terminated".to_owned(), None));
    // Another user's session is as good as an issuer's own name for something.
    let (bobs, _) = gate.login("bob").await;
    assert_eq!(of(json!({"sub": "alice", "sid": id_of(&bobs)})).await, ("session_unknown".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn logins_that_nobody_finishes_do_not_hide_the_session_that_is_active() {
    let (gate, faults) = faulty(None);
    gate.login("alice").await;
    gate.clock.advance(Duration::from_secs(10));
    let user: UserId = "alice".parse().unwrap();
    for number in 0..700_u64 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let session = serde_json::from_value(json!({"user_id": "alice", "pending_2fa": true})).unwrap();
        let (id, duration) = (SessionId::new(&user, &bytes), Duration::from_hours(24));
        let new = CreateSession { id, session, duration, idle_timeout: None, is_persistent: false };
        gate.store.create_session(new, op()).await.unwrap();
    }
    faults.asked();
    assert_eq!(verdict(&foreign(&gate, json!({"sub": "alice"}), true).await), "live");
    assert_eq!(faults.asked(), ["active_sessions", "active_sessions"]);
}

#[tokio::test(start_paused = true)]
async fn another_issuers_token_keeps_its_session_in_use() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(600)), ..Setup::default() });
    let (path, _) = gate.login("alice").await;
    for _ in 0..4 {
        gate.clock.advance(Duration::from_secs(400));
        assert_eq!(verdict(&foreign(&gate, json!({"sub": "alice"}), true).await), "live");
    }
    assert_eq!(gate.get(&path).await.json()["status"], "active");
}

#[tokio::test(start_paused = true)]
async fn another_issuers_token_is_revoked_by_what_it_says() {
    let gate = Gate::new();
    let token = json!({"iss": "https://idp", "sub": "alice", "jti": "j", "iat": START.0, "groups": ["ops"]});
    for pattern in [json!({"jti": "j"}), json!({"issued_before": START.0 + 1}), json!({"claims": {"groups": "ops"}})] {
        let mut body = pattern.clone();
        body["iss"] = json!("https://idp");
        body["duration"] = json!(600);
        let made = gate.post("/v1/revocations", body).await.json();
        assert_eq!(verdict(&foreign(&gate, token.clone(), false).await), "token_revoked", "{pattern}");
        let mut other = token.clone();
        other["iss"] = json!("https://other");
        assert_eq!(verdict(&foreign(&gate, other, false).await), "live", "{pattern}");
        let path = format!("/v1/revocations/{}", made["rule_id"].as_str().unwrap());
        assert_eq!(gate.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(verdict(&foreign(&gate, token.clone(), false).await), "live", "{pattern}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_another_issuers_token_nothing_is_said_while_the_feed_cannot_be_read() {
    let (gate, faults) = faulty(None);
    assert_eq!(verdict(&foreign(&gate, json!({"iss": "i"}), false).await), "live");
    faults.hangs.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let start = Instant::now();
    let answer = foreign(&gate, json!({"iss": "i"}), false).await;
    assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
    assert!(start.elapsed() <= Duration::from_millis(260), "{:?}", start.elapsed());
}

/// Elsewhere the feed is on the same server as the session: who cannot read it does not know who is on the block list.
#[tokio::test(start_paused = true)]
async fn on_one_server_nothing_is_said_of_a_token_of_ours_either() {
    let (gate, faults) = faulty(None);
    foreign(&gate, json!({}), false).await;
    faults.hangs.store(true, Ordering::Relaxed);
    for seconds in [0, 5] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let start = Instant::now();
        let answer = gate.check(&json!({"user_id": "alice", "token_id": "t"})).await;
        assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
        assert!(start.elapsed() <= Duration::from_millis(260), "{:?}", start.elapsed());
    }
}

/// As another replica does, which nobody here hears of but by reading.
async fn tell(gate: &Gate, change: FeedChange) {
    gate.store.append_feed(&[NewFeedEntry { until: crate::store::UNLIMITED, change }]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_another_replica_has_told_counts_at_once() {
    let gate = Gate::new();
    foreign(&gate, json!({}), false).await;
    let rule: session_gate_protocol::Rule = serde_json::from_value(json!({"kind": "user", "user_id": "m"})).unwrap();
    tell(&gate, FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None }).await;
    assert_eq!(verdict(&foreign(&gate, json!({"sub": "m"}), false).await), "blocked");
    assert_eq!(verdict(&gate.check(&json!({"user_id": "m", "token_id": "t"})).await), "blocked");
}

#[tokio::test(start_paused = true)]
async fn on_a_cluster_a_token_of_ours_is_served_while_the_feed_is_away_and_by_what_was_known_of_it() {
    let (gate, faults) = faulty(None);
    faults.is_cluster.store(true, Ordering::Relaxed);
    gate.post("/v1/blocks", json!({"user_id": "mallory"})).await;
    foreign(&gate, json!({}), false).await;
    faults.hangs.store(true, Ordering::Relaxed);
    for seconds in [0, 5] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let start = Instant::now();
        assert_eq!(verdict(&gate.check(&json!({"user_id": "alice", "token_id": "t"})).await), "live");
        assert_eq!(verdict(&gate.check(&json!({"user_id": "mallory", "token_id": "t"})).await), "blocked");
        let longest = if seconds == 0 { 210 } else { 1 };
        assert!(start.elapsed() <= Duration::from_millis(longest), "{:?}", start.elapsed());
    }
}

/// The store serves what has ended: it has lost data. The feed remembers.
#[tokio::test(start_paused = true)]
async fn what_a_store_has_forgotten_the_feed_remembers() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let token = json!({"user_id": "alice", "session_id": id_of(&path), "token_id": "t"});
    assert_eq!(verdict(&gate.check(&token).await), "live");
    let scopes = Some(session_gate_protocol::Scopes::parse_list("read").unwrap());
    tell(&gate, FeedChange::SessionScopes { session_id: id_of(&path), version: 9, scopes }).await;
    let session = gate.check(&token).await.json()["session"].clone();
    assert_eq!((&session["version"], &session["scopes"]), (&json!(9), &json!(["read"])));
    tell(&gate, FeedChange::TokenRevoked { token_id: "t".parse().unwrap() }).await;
    assert_eq!(verdict(&gate.check(&token).await), "token_revoked");
    tell(&gate, FeedChange::SessionEnded { session_id: id_of(&path) }).await;
    let other = json!({"user_id": "alice", "session_id": id_of(&path), "token_id": "other"});
    assert_eq!(verdict(&gate.check(&other).await), "session_terminated");
    assert_eq!(verdict(&foreign(&gate, json!({"sub": "alice"}), true).await), "session_unknown");
    let named = json!({"sub": "alice", "sid": id_of(&path)});
    assert_eq!(verdict(&foreign(&gate, named, true).await), "session_terminated");
}

/// A worker that follows the feed refuses these by itself, on every route.
#[tokio::test(start_paused = true)]
async fn a_session_that_a_foreign_token_names_counts_where_none_is_asked_for() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let named = json!({"iss": "i", "sub": "alice", "sid": id_of(&path)});
    assert_eq!(verdict(&foreign(&gate, named.clone(), false).await), "live");
    gate.patch(&path, json!({"status": "suspended"})).await;
    assert_eq!(verdict(&foreign(&gate, named.clone(), false).await), "session_suspended");
    gate.patch(&path, json!({"status": "active"})).await;
    assert_eq!(verdict(&foreign(&gate, named.clone(), false).await), "live");
    gate.delete(&path).await;
    assert_eq!(verdict(&foreign(&gate, named.clone(), false).await), "session_terminated");
    let of_another = json!({"iss": "i", "sub": "mallory", "sid": id_of(&path)});
    assert_eq!(verdict(&foreign(&gate, of_another, false).await), "live", "it cannot be one of theirs");
}

#[tokio::test(start_paused = true)]
async fn a_question_is_read_strictly() {
    let gate = Gate::new();
    for (body, field) in [
        (json!({}), "credential"),
        (json!({"credential": {"kind": "own", "user_id": "bob"}}), "credential.token_id"),
        (json!({"credential": {"kind": "other"}}), "credential.kind"),
        (json!({"credential": {"kind": "foreign", "claims": [], "require_session": true}}), "credential"),
        (json!({"credential": {"kind": "opaque", "token": "t"}, "address": "here"}), "address"),
        (json!({"credential": {"kind": "opaque", "token": "t"}, "more": 1}), "more"),
        (json!({"user_id": "bob", "token_id": "t"}), "credential"),
    ] {
        let answer = gate.post("/v1/check", &body).await;
        let (status, code, fields) = answer.problem();
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{body}");
        assert!(fields.iter().any(|found| found == field), "{body}: {fields:?}");
    }
}
