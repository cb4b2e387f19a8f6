use serde_json::json;
use session_gate_protocol::Fingerprint;

use super::{
    feed::{Worker, millis},
    *,
};

#[tokio::test]
async fn login_call_logout_refused() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    let verified = gate.keys.get().verify(&token, "session-gate", "api").unwrap();
    let check = json!({
        "user_id": "alice", "session_id": path.rsplit('/').next().unwrap(), "token_id": verified.claims().jti,
    });
    assert_eq!(verdict(&gate.check(&check).await), "live");
    let out = gate.post("/v1/logout", json!({"token": token})).await;
    assert_eq!((out.status, out.json()), (StatusCode::OK, json!({"terminated": 1})));
    assert_eq!(verdict(&gate.check(&check).await), "token_revoked");
    let other_token = json!({"user_id": "alice", "session_id": check["session_id"], "token_id": "other"});
    assert_eq!(verdict(&gate.check(&other_token).await), "session_terminated");
    assert_eq!(gate.post("/v1/logout", json!({"token": token})).await.json(), json!({"terminated": 0}), "again");
}

#[tokio::test]
async fn each_login_has_a_session_id_of_its_own() {
    let gate = Gate::new();
    let (first, _) = gate.login("alice").await;
    let (second, _) = gate.login("alice").await;
    assert_ne!(first, second);
    let chosen = json!({"user_id": "alice", "session_id": first.rsplit('/').next().unwrap()});
    assert_eq!(gate.post("/v1/login", chosen).await.problem(), problem(400, "invalid_request", &["session_id"]));
}

#[tokio::test]
async fn a_logout_names_its_session_by_id_or_token_and_may_end_all() {
    let gate = Gate::new();
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let (first, first_token) = gate.login("alice").await;
    assert_eq!(gate.post("/v1/logout", json!({"session_id": id(&first)})).await.json(), json!({"terminated": 1}));
    assert!(!gate.is_active(&first_token).await);
    gate.settle().await;
    let (_, second_token) = gate.login("alice").await;
    gate.login("alice").await;
    let (_, bob) = gate.login("bob").await;
    let all = gate.post("/v1/logout", json!({"token": second_token, "all": true})).await;
    assert_eq!(all.json(), json!({"terminated": 2}));
    gate.settle().await;
    let (third, third_token) = gate.login("alice").await;
    gate.login("alice").await;
    let all = gate.post("/v1/logout", json!({"session_id": id(&third), "all": true})).await;
    assert_eq!(all.json(), json!({"terminated": 2}));
    assert!(!gate.is_active(&third_token).await && gate.is_active(&bob).await);
}

#[tokio::test]
async fn an_expired_token_still_logs_out() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    gate.clock.advance(Duration::from_secs(7200));
    assert_eq!(gate.post("/v1/logout", json!({"token": token})).await.json(), json!({"terminated": 1}));
    assert_eq!(gate.get(&path).await.json()["status"], "terminated");
}

#[tokio::test(start_paused = true)]
async fn a_logout_tells_of_a_session_that_the_store_has_lost() {
    let (path, token) = Gate::new().login("alice").await;
    let session = Fingerprint::of_session(path.rsplit('/').next().unwrap());
    // The same keys, and a store that knows nothing.
    let gate = Gate::new();
    let mut worker = Worker::start(&gate, "w").await;
    for expected in [vec![session], Vec::new()] {
        let out = gate.post("/v1/logout", json!({"token": token})).await;
        assert_eq!((out.status, out.json()), (StatusCode::OK, json!({"terminated": 0})));
        tokio::time::sleep(millis(10)).await;
        let ended = worker.poll(&gate, 0).await.ended.0.into_iter().map(|(ended, _)| ended);
        let sessions: Vec<_> = ended.filter(|ended| *ended == session).collect();
        assert_eq!(sessions, expected, "once is enough");
    }
}

#[tokio::test]
async fn a_token_without_a_session_is_revoked_by_a_logout() {
    let gate = Gate::new();
    let data = gate.post("/v1/tokens", json!({"user_id": "alice"})).await.json();
    let token = data["token"].as_str().unwrap();
    assert_eq!(gate.post("/v1/logout", json!({"token": token})).await.json(), json!({"terminated": 0}));
    assert!(!gate.is_active(token).await);
}

#[tokio::test]
async fn a_logout_says_which_session_and_only_once() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    let id = path.rsplit('/').next().unwrap();
    for (body, fields) in [
        (json!({}), vec!["session_id"]),
        (json!({"all": true}), vec!["session_id"]),
        (json!({"session_id": id, "token": token}), vec!["token"]),
        (json!({"session_id": "nonsense"}), vec!["session_id"]),
    ] {
        assert_eq!(gate.post("/v1/logout", &body).await.problem(), problem(400, "invalid_request", &fields), "{body}");
    }
    assert!(gate.is_active(&token).await);
    let unknown = UNKNOWN_SESSION.rsplit('/').next().unwrap();
    for body in
        [json!({"session_id": unknown}), json!({"session_id": unknown, "all": true}), json!({"token": "nonsense"})]
    {
        assert_eq!(gate.post("/v1/logout", body).await.problem(), problem(404, "not_found", &[]));
    }
}

#[tokio::test]
async fn every_mistake_of_a_login_is_named() {
    let gate = Gate::new();
    let body = json!({"user_id": "a", "ip_address": "here", "amr": [""], "duration": 0});
    assert_eq!(
        gate.post("/v1/login", body).await.problem(),
        problem(400, "invalid_request", &["amr[0]", "ip_address", "duration"])
    );
}

#[tokio::test]
async fn a_check_of_another_users_session_knows_none() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let check = json!({"user_id": "bob", "session_id": path.rsplit('/').next().unwrap(), "token_id": "t"});
    assert_eq!(verdict(&gate.check(&check).await), "session_unknown");
    let check = json!({"user_id": "bob", "token_id": "t"});
    let answer = gate.check(&check).await;
    assert_eq!((answer.json(), answer.header("cache-control")), (json!({"verdict": "live"}), "no-store"));
}

/// It would count among its user's sessions, and nobody could end it but by a call.
#[tokio::test(start_paused = true)]
async fn a_session_whose_caller_has_gone_before_the_answer_ends() {
    let command = |kind: Value| json!({"command": kind});
    let (gate, faults) = faulty(None);
    let (_, elevated) = gate.login("carol").await;
    for (user, step, path, body) in [
        ("alice", "create_session", "/v1/login", json!({"user_id": "alice"})),
        ("alice", "create_session", "/v1/sessions", json!({"user_id": "alice"})),
        ("alice", "create_session", "/v1/session-commands", command(json!({"kind": "login", "user_id": "alice"}))),
        ("carol", "rotate_session", "/v1/elevate", json!({"token": elevated, "amr": ["otp"]})),
    ] {
        let (reach, reached) = tokio::sync::oneshot::channel();
        let (go_on, gone) = tokio::sync::oneshot::channel::<()>();
        faults.interrupt(step, async move {
            reach.send(()).unwrap();
            gone.await.unwrap();
        });
        tokio::select! {
            _ = gate.post(path, body) => panic!("{path} waits"),
            reached = reached => reached.unwrap(),
        }
        go_on.send(()).unwrap();
        // Virtual: until what goes on in the background is over.
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        let listed = gate.get(&format!("/v1/users/{user}/sessions")).await.json();
        let live = listed["sessions"].as_array().unwrap().iter().filter(|session| session["status"] == "active");
        assert_eq!(live.count(), 0, "{path}: {listed}");
    }
    let (_, token) = gate.login("alice").await;
    assert!(gate.is_active(&token).await, "who is there keeps it");
}
