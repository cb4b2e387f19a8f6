//! Sessions that go on under a new id, with more rights.

use serde_json::json;

use super::{
    feed::{Worker, id_of, millis},
    *,
};

async fn by_command(gate: &Gate, token: &str, elevation: Value) -> Answer {
    let mut command = elevation;
    command["kind"] = json!("elevate");
    gate.post("/v1/session-commands", json!({"command": command, "token": token})).await
}

async fn by_api(gate: &Gate, token: &str, elevation: Value) -> Answer {
    let mut body = elevation;
    body["token"] = json!(token);
    gate.post("/v1/elevate", body).await
}

fn token_in(answer: &Answer) -> String {
    answer.json()["token"]["token"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

fn claims(gate: &Gate, token: &str) -> Claims {
    gate.keys.get().verify(token, "session-gate", "api").unwrap().claims().clone()
}

async fn session_of(gate: &Gate, token: &str) -> Value {
    gate.get(&format!("/v1/sessions/{}", claims(gate, token).sid.unwrap())).await.json()
}

async fn pending(gate: &Gate) -> String {
    let login = json!({
        "user_id": "alice", "class": "remember", "session_scopes": ["read"], "amr": ["pwd"], "pending_2fa": true,
        "ip_address": "192.0.2.1", "user_agent": "browser", "device_type": "laptop", "location": "CH",
        "metadata": {"theme": "dark"}, "token_metadata": {"plan": "pro"},
    });
    token_in(&gate.post("/v1/login", login).await)
}

/// Case I2: a new id, and all else carried over; by the API as by the filter.
#[tokio::test]
async fn a_session_goes_on_under_a_new_id_with_what_was_proved() {
    for by_filter in [true, false] {
        let gate = Gate::new();
        let old = pending(&gate).await;
        let (before, said) = (session_of(&gate, &old).await, claims(&gate, &old));
        gate.clock.advance(Duration::from_secs(60));
        let elevation = json!({"scopes": ["admin", "read"], "amr": ["otp", "pwd"]});
        let answer =
            if by_filter { by_command(&gate, &old, elevation).await } else { by_api(&gate, &old, elevation).await };
        assert_eq!(answer.status.as_u16(), if by_filter { 200 } else { 201 }, "{}", answer.text);
        let new = token_in(&answer);
        let claims = claims(&gate, &new);
        assert_eq!((claims.scope.as_str(), &claims.amr), ("admin read", &vec!["pwd".to_owned(), "otp".to_owned()]));
        assert_eq!((claims.auth_time, claims.session_exp), (Some(UnixSeconds(START.0 + 60)), said.session_exp));
        assert!(said.pending_2fa && !claims.pending_2fa && claims.metadata == said.metadata);
        assert!(gate.is_active(&new).await && !gate.is_active(&old).await);
        let after = session_of(&gate, &new).await;
        assert_ne!(after["session_id"], before["session_id"]);
        for same in ["user_id", "ip_address", "user_agent", "device_type", "location", "expires_at", "idle_timeout"] {
            assert_eq!(after[same], before[same], "{same}");
        }
        for same in ["class", "persistent", "metadata"] {
            assert_eq!(after[same], before[same], "{same}");
        }
        assert_eq!((&after["status"], &after["scopes"]), (&json!("active"), &json!(["admin", "read"])));
        assert_eq!(session_of(&gate, &old).await["status"], "terminated");
        assert_eq!(gate.get("/v1/users/alice/sessions").await.json()["sessions"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_said_stays_as_it_was() {
    let gate = Gate::new();
    let narrowed = json!({"user_id": "alice", "session_scopes": ["read", "write"], "scopes": ["read"]});
    let of_token = json!({"user_id": "bob", "scopes": ["read"]});
    for (login, scope, is_narrowed) in [(narrowed, "read", true), (of_token, "read", false)] {
        let old = token_in(&gate.post("/v1/login", login).await);
        let new = claims(&gate, &token_in(&by_command(&gate, &old, json!({})).await));
        assert_eq!((new.scope.as_str(), new.narrowed), (scope, is_narrowed));
    }
    // By its id alone nothing is known of a token.
    let (path, _) = gate.login("carol").await;
    let reply = gate.post("/v1/elevate", json!({"session_id": id_of(&path), "amr": ["otp"]})).await.json();
    assert_eq!((&reply["session"]["scopes"], &reply["token"]["scopes"]), (&Value::Null, &json!([])));
    let opaque = token_in(&gate.post("/v1/login", json!({"user_id": "dave", "opaque": true})).await);
    let elevated = token_in(&by_api(&gate, &opaque, json!({})).await);
    assert!(elevated.starts_with("sgt_") && gate.is_active(&elevated).await && !gate.is_active(&opaque).await);
    let jwt = token_in(&by_command(&gate, &elevated, json!({})).await);
    assert!(gate.is_active(&jwt).await && claims(&gate, &jwt).sub.as_str() == "dave", "a cookie's is always one");
}

#[tokio::test]
async fn only_a_session_that_may_be_used_is_elevated() {
    let gate = Gate::new();
    let refused = problem(409, "state_conflict", &[]);
    let (path, suspended) = gate.login("alice").await;
    gate.patch(&path, json!({"status": "suspended"})).await;
    let (path, ended) = gate.login("alice").await;
    gate.delete(&path).await;
    let (_, revoked) = gate.login("alice").await;
    gate.form("/v1/tokens/revoke", format!("token={revoked}")).await;
    let alone = token_in_of(&gate.post("/v1/tokens", json!({"user_id": "alice"})).await);
    let (_, blocked) = gate.login("mallory").await;
    gate.post("/v1/blocks", json!({"user_id": "mallory", "duration": 60})).await;
    for token in [&suspended, &ended, &revoked, &alone, &blocked] {
        assert_eq!(by_command(&gate, token, json!({})).await.problem(), refused);
        assert_eq!(by_api(&gate, token, json!({})).await.problem(), refused);
    }
    let none = gate.post("/v1/session-commands", json!({"command": {"kind": "elevate"}})).await;
    assert_eq!(none.problem(), refused);
    assert_eq!(by_command(&gate, "nonsense", json!({})).await.problem(), refused);
    assert_eq!(by_api(&gate, "nonsense", json!({})).await.problem(), problem(404, "not_found", &[]));
    let unknown = json!({"session_id": UNKNOWN_SESSION.rsplit('/').next().unwrap()});
    assert_eq!(gate.post("/v1/elevate", unknown).await.problem(), problem(404, "not_found", &[]));
    for (body, field) in [(json!({}), "session_id"), (json!({"session_id": id_of(&path), "token": "x"}), "token")] {
        assert_eq!(gate.post("/v1/elevate", body).await.problem(), problem(400, "invalid_request", &[field]));
    }
    // One whose token has expired while the user looked for the telephone.
    let (_, late) = gate.login("bob").await;
    gate.clock.advance(Duration::from_secs(7200));
    assert_eq!(by_command(&gate, &late, json!({})).await.status, StatusCode::OK);
}

fn token_in_of(answer: &Answer) -> String {
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_that_is_too_large_leaves_the_session_as_it_was() {
    let gate = Gate::new();
    let old = pending(&gate).await;
    let scopes: Vec<String> = (0..20).map(|number| format!("{number:0>100}")).collect();
    let amr: Vec<String> = (0..15).map(|number| format!("{number:0>64}")).collect();
    let large = json!({"scopes": scopes, "amr": amr});
    let refused = by_command(&gate, &old, large.clone()).await.problem();
    assert_eq!(refused, problem(400, "invalid_request", &["command.scopes"]));
    assert_eq!(by_api(&gate, &old, large).await.problem(), problem(400, "invalid_request", &["scopes"]));
    assert_eq!(session_of(&gate, &old).await["status"], "pending_2fa");
}

/// Of two at once one wins, whatever comes in between; and nobody is served under the old id meanwhile.
#[tokio::test(start_paused = true)]
async fn of_two_elevations_of_one_session_one_wins() {
    for step in ["append_feed", "rotate_session"] {
        let (gate, faults) = faulty(None);
        let old = pending(&gate).await;
        let request = json!({"command": {"kind": "elevate"}, "token": old}).to_string();
        let post = Request::post("/v1/session-commands").header(header::CONTENT_TYPE, "application/json");
        let (router, post) = (gate.router.clone(), post.body(Body::from(request)).unwrap());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        faults.interrupt(step, async move {
            sender.send(router.oneshot(post).await.unwrap().status().as_u16()).unwrap();
        });
        let outer = by_command(&gate, &old, json!({})).await.status.as_u16();
        let inner = receiver.await.unwrap();
        let mut both = [outer, inner];
        both.sort_unstable();
        assert_eq!(both, [200, 409], "{step}");
        assert!(!gate.is_active(&old).await);
        let left = gate.get("/v1/users/alice/sessions").await.json()["sessions"].as_array().unwrap().len();
        assert_eq!(left, 1, "{step}");
    }
}

/// Whoever asks about the old id while it is being replaced gets no, and does not end what is not known to have ended.
#[tokio::test(start_paused = true)]
async fn a_check_in_between_is_refused_and_hinders_nothing() {
    let (gate, faults) = faulty(None);
    let (path, old) = gate.login("alice").await;
    let mut worker = Worker::start(&gate, "w").await;
    let credential = json!({"kind": "own", "user_id": "alice", "session_id": id_of(&path), "token_id": "t"});
    let check = Request::post("/v1/check").header(header::CONTENT_TYPE, "application/json");
    let check = check.body(Body::from(json!({ "credential": credential }).to_string())).unwrap();
    let router = gate.router.clone();
    faults.interrupt("rotate_session", async move {
        let response = router.oneshot(check).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["verdict"], "session_suspended");
        tokio::time::sleep(millis(50)).await;
    });
    let new = token_in(&by_command(&gate, &old, json!({})).await);
    assert!(gate.is_active(&new).await);
    tokio::time::sleep(millis(10)).await;
    let ended = worker.poll(&gate, 0).await.ended;
    let old_id = session_gate_protocol::Fingerprint::of_session(id_of(&path).as_str());
    assert!(ended.0.iter().any(|(ended, _)| *ended == old_id), "workers know by the time of the answer");
}

/// What has become of it is not known: the old id is dead, and nobody has the new one.
#[tokio::test(start_paused = true)]
async fn an_elevation_whose_answer_is_lost_leaves_nothing_that_anybody_could_use() {
    for is_done in [false, true] {
        let (gate, faults) = faulty(None);
        let old = pending(&gate).await;
        if is_done {
            faults.lose_answer("rotate_session");
        } else {
            faults.fail(Some("rotate_session"));
        }
        assert_eq!(by_command(&gate, &old, json!({})).await.problem(), problem(503, "store_unavailable", &[]));
        faults.fail(None);
        assert!(!gate.is_active(&old).await, "done: {is_done}");
        assert_eq!(by_command(&gate, &old, json!({})).await.problem(), problem(409, "state_conflict", &[]));
        assert_eq!(gate.get("/v1/users/alice/sessions").await.json()["sessions"], json!([]), "done: {is_done}");
    }
    // While nobody can be told, nothing is done.
    let (gate, faults) = faulty(None);
    let old = pending(&gate).await;
    faults.fail(Some("append_feed"));
    assert_eq!(by_command(&gate, &old, json!({})).await.status, StatusCode::SERVICE_UNAVAILABLE);
    faults.fail(None);
    assert_eq!(by_command(&gate, &old, json!({})).await.status, StatusCode::OK);
}

/// An operator is faster: the session stays as it is, for workers, too.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_suspended_meanwhile_stays_suspended_and_can_be_resumed() {
    let (gate, faults) = faulty(None);
    let (path, old) = gate.login("alice").await;
    let suspend = Request::patch(&path).header(header::CONTENT_TYPE, "application/json");
    let suspend = suspend.body(Body::from(json!({"status": "suspended"}).to_string())).unwrap();
    let router = gate.router.clone();
    faults.interrupt("rotate_session", async move {
        assert_eq!(router.oneshot(suspend).await.unwrap().status(), StatusCode::OK);
    });
    assert_eq!(by_command(&gate, &old, json!({})).await.problem(), problem(409, "state_conflict", &[]));
    assert_eq!(gate.get(&path).await.json()["status"], "suspended");
    gate.patch(&path, json!({"status": "active"})).await;
    assert!(gate.is_active(&old).await);
}

/// Whoever ends it is a moment too late to find it in the store, and not too late to have it ended.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_ended_meanwhile_does_not_go_on_under_a_new_id() {
    use session_gate_protocol::{CutOff, FeedChange};
    for is_cut_off in [false, true] {
        let (gate, faults) = faulty(None);
        let (path, old) = gate.login("alice").await;
        let change = if is_cut_off {
            let (user_id, before) = ("alice".parse().unwrap(), claims(&gate, &old).generation + 1);
            FeedChange::UserSessionsEnded(CutOff { user_id, before, issued_until: START, except: None })
        } else {
            FeedChange::SessionEnded { session_id: id_of(&path) }
        };
        let store = Arc::clone(&gate.store);
        faults.interrupt("rotate_session", async move {
            store.append_feed(&[NewFeedEntry { until: crate::store::UNLIMITED, change }]).await.unwrap();
        });
        assert_eq!(by_command(&gate, &old, json!({})).await.problem(), problem(409, "state_conflict", &[]));
        assert!(!gate.is_active(&old).await);
        assert_eq!(gate.get("/v1/users/alice/sessions").await.json()["sessions"], json!([]), "cut off: {is_cut_off}");
    }
}

/// A store that has lost what the session was allowed last gives it no more than that.
#[tokio::test(start_paused = true)]
async fn what_the_store_has_lost_of_the_session_holds_under_the_new_id() {
    use session_gate_protocol::FeedChange;
    let (gate, faults) = faulty(None);
    let login = json!({"user_id": "alice", "session_scopes": ["read", "write"]});
    let old = token_in(&gate.post("/v1/login", login).await);
    let session_id = claims(&gate, &old).sid.unwrap();
    let scopes = Some(session_gate_protocol::Scopes::parse_list("read").unwrap());
    let change = FeedChange::SessionScopes { session_id, version: 2, scopes };
    gate.store.append_feed(&[NewFeedEntry { until: crate::store::UNLIMITED, change }]).await.unwrap();
    tokio::time::sleep(millis(20)).await;
    faults.fail(Some("restore_version"));
    let failed = by_command(&gate, &old, json!({})).await;
    assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]), "it must take that again first");
    faults.fail(None);
    let new = claims(&gate, &token_in(&by_command(&gate, &old, json!({})).await));
    assert_eq!(new.scope, "read");
}
