//! Opaque tokens, from their making to their end.

use serde_json::json;
use session_gate_protocol::{OPAQUE_PREFIX, OpaqueToken};

use super::{feed::id_of, *};

/// Logs in with an opaque token: the session's path, the token, and its id.
async fn login(gate: &Gate, user: &str) -> (String, String, Value) {
    let answer = gate.post("/v1/login", json!({"user_id": user, "scopes": ["read"], "opaque": true})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    let path = format!("/v1/sessions/{}", json["session"]["session_id"].as_str().unwrap());
    (path, json["token"]["token"].as_str().unwrap().to_owned(), json["token"]["token_id"].clone())
}

async fn check(gate: &Gate, token: &str) -> Answer {
    gate.post("/v1/check", json!({"credential": {"kind": "opaque", "token": token}})).await
}

#[tokio::test(start_paused = true)]
async fn an_opaque_token_says_nothing_and_stands_for_claims() {
    let gate = Gate::new();
    let (path, token, jti) = login(&gate, "alice").await;
    assert!(token.starts_with(OPAQUE_PREFIX) && OpaqueToken::parse(&token).is_ok());
    let answer = check(&gate, &token).await;
    let json = answer.json();
    let id = id_of(&path);
    let expected = json!({
        "verdict": "live",
        "claims": {
            "iss": "session-gate", "sub": "alice", "aud": "api", "iat": START.0, "nbf": START.0 - 300, "exp": START.0 + 3600,
            "jti": jti, "sid": id, "scope": "read", "auth_time": START.0,
            "gen": START.0 * 1_000_000, "session_exp": START.0 + 86_400,
        },
        "session": {"session_id": id, "expires_at": START.0 + 86_400, "version": 1},
    });
    assert_eq!(json, expected);
    assert!(gate.is_active(&token).await);
    let introspected = gate.form("/v1/tokens/introspect", format!("token={token}")).await.json();
    assert_eq!((&introspected["jti"], &introspected["scope"]), (&jti, &json!("read")));
    assert!(gate.get("/metrics").await.text.contains("session_gate_opaque_tokens_issued_total 1\n"));
}

#[tokio::test(start_paused = true)]
async fn it_is_minted_for_a_session_or_a_user_alone() {
    let gate = Gate::new();
    let (path, ..) = login(&gate, "alice").await;
    let of_session = json!({"session_id": id_of(&path), "opaque": true, "duration": 60});
    for body in [of_session, json!({"user_id": "bob", "opaque": true, "duration": 60, "metadata": {"plan": "pro"}})] {
        let data = gate.post("/v1/tokens", &body).await.json();
        let token = data["token"].as_str().unwrap();
        let answer = check(&gate, token).await.json();
        assert_eq!((&answer["verdict"], &answer["claims"]["exp"]), (&json!("live"), &json!(START.0 + 60)));
        assert_eq!(answer["claims"].get("metadata"), body.get("metadata"));
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_by_revocation_with_its_session_and_in_time() {
    let gate = Gate::new();
    let (path, token, _) = login(&gate, "alice").await;
    let other = gate.post("/v1/tokens", json!({"session_id": id_of(&path), "opaque": true})).await.json();
    let other = other["token"].as_str().unwrap();
    assert_eq!(gate.form("/v1/tokens/revoke", format!("token={token}")).await.status, StatusCode::OK);
    let answer = check(&gate, &token).await;
    assert_eq!((verdict(&answer), answer.json().get("session")), ("token_revoked".to_owned(), None));
    assert!(!gate.is_active(&token).await && gate.is_active(other).await);
    gate.delete(&path).await;
    assert_eq!(verdict(&check(&gate, other).await), "session_terminated");
    let (_, token, _) = login(&gate, "alice").await;
    gate.clock.advance(Duration::from_secs(3_600));
    for gone in
        [token.as_str(), "sgt_K9gGyX.short", "nonsense", OpaqueToken::new(&"a".parse().unwrap(), &[1; 32]).expose()]
    {
        let answer = check(&gate, gone).await;
        assert_eq!(answer.json(), json!({"verdict": "credential_unknown"}), "{gone}");
        assert_eq!(gate.form("/v1/tokens/introspect", format!("token={gone}")).await.text, r#"{"active":false}"#);
        assert_eq!(gate.form("/v1/tokens/revoke", format!("token={gone}")).await.status, StatusCode::OK);
    }
}

/// A worker may accept it for as long as its leeway, and serve it by what it knows.
#[tokio::test(start_paused = true)]
async fn one_that_has_just_expired_is_revoked_for_those_who_still_accept_it() {
    let gate = Gate::new();
    let (_, token, id) = login(&gate, "alice").await;
    gate.clock.advance(Duration::from_secs(3_600));
    assert_eq!(verdict(&check(&gate, &token).await), "credential_unknown");
    assert_eq!(gate.form("/v1/tokens/revoke", format!("token={token}")).await.status, StatusCode::OK);
    let own = json!({"credential": {"kind": "own", "user_id": "alice", "token_id": id}});
    assert_eq!(verdict(&gate.post("/v1/check", own).await), "token_revoked");
}

#[tokio::test(start_paused = true)]
async fn it_logs_out() {
    let gate = Gate::new();
    let (path, token, _) = login(&gate, "alice").await;
    assert_eq!(gate.post("/v1/logout", json!({"token": token})).await.json(), json!({"terminated": 1}));
    assert_eq!(gate.get(&path).await.json()["status"], "terminated");
    assert_eq!(verdict(&check(&gate, &token).await), "token_revoked");
    let (_, token, _) = login(&gate, "alice").await;
    login(&gate, "alice").await;
    assert_eq!(gate.post("/v1/logout", json!({"token": token, "all": true})).await.json(), json!({"terminated": 2}));
    let unknown = OpaqueToken::new(&"a".parse().unwrap(), &[1; 32]);
    let answer = gate.post("/v1/logout", json!({"token": unknown.expose()})).await;
    assert_eq!(answer.problem(), problem(404, "not_found", &[]));
    assert!(!answer.text.contains(OPAQUE_PREFIX));
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_token_cannot_be_stored_leaves_no_session() {
    let (gate, faults) = faulty(None);
    faults.fail(Some("put_opaque"));
    let answer = gate.post("/v1/login", json!({"user_id": "alice", "opaque": true})).await;
    assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
    assert_eq!(gate.get("/v1/users/alice/sessions").await.json(), json!({"sessions": []}));
}

#[tokio::test(start_paused = true)]
async fn its_session_has_the_scopes_in_force() {
    let gate = Gate::new();
    let (path, token, _) = login(&gate, "alice").await;
    gate.patch(&path, json!({"scopes": ["admin"]})).await;
    let answer = check(&gate, &token).await.json();
    assert_eq!((&answer["claims"]["scope"], &answer["session"]["scopes"]), (&json!("read"), &json!(["admin"])));
    let introspected = gate.form("/v1/tokens/introspect", format!("token={token}")).await.json();
    assert_eq!(introspected["scope"], "admin");
}
