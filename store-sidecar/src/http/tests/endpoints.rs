//! What clients ask of the gate itself.

use serde_json::json;

use super::*;

const SESSION: &str = "/.session-gate/session";
const TOKEN: &str = "/.session-gate/token";

async fn ask(gate: &Gate, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(SESSION);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gate.send(request.body(Body::empty()).unwrap()).await
}

async fn ask_as(gate: &Gate, token: &str) -> Answer {
    ask(gate, &[("authorization", &format!("Bearer {token}"))]).await
}

async fn log_in(gate: &Gate, more: Value) -> Value {
    let mut login = json!({"user_id": "alice", "scopes": ["read"], "amr": ["pwd"]});
    login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = gate.post("/v1/login", login).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()
}

fn token_of(login: &Value) -> &str {
    login["token"]["token"].as_str().unwrap()
}

/// A gate whose API asks for credentials, as everywhere but on a developer's machine.
fn guarded() -> Gate {
    let mut credentials = Credentials::default();
    credentials.add(Role::App, "app-credential-0123456789abcdef012").unwrap();
    Gate::with(Setup { credentials, ..Setup::default() })
}

#[tokio::test]
async fn a_token_tells_of_its_session_and_that_is_no_use_of_it() {
    let gate = Gate::new();
    let login = log_in(&gate, json!({"class": "browser"})).await;
    gate.clock.advance(Duration::from_secs(600));
    let answer = ask_as(&gate, token_of(&login)).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text);
    let expected = json!({
        "user_id": "alice", "status": "active", "second_factor_missing": false, "amr": ["pwd"], "scopes": ["read"],
        "expires_at": START.0 + 86_400, "idle_ends_at": START.0 + 1_800,
    });
    assert_eq!(answer.json(), expected);
    gate.clock.advance(Duration::from_secs(1_199));
    assert_eq!(ask_as(&gate, token_of(&login)).await.status, StatusCode::OK);
    gate.clock.advance(Duration::from_secs(1));
    assert_eq!(ask_as(&gate, token_of(&login)).await.problem(), problem(401, "credential_invalid", &[]));
}

#[tokio::test]
async fn a_missing_second_factor_and_changed_scopes_are_told() {
    let gate = Gate::new();
    let login = log_in(&gate, json!({"pending_2fa": true})).await;
    let told = ask_as(&gate, token_of(&login)).await.json();
    assert_eq!((&told["status"], &told["second_factor_missing"]), (&json!("pending_2fa"), &json!(true)));
    assert_eq!(told.get("idle_ends_at"), None);
    let login = log_in(&gate, json!({})).await;
    let path = format!("/v1/sessions/{}", login["session"]["session_id"].as_str().unwrap());
    gate.patch(&path, json!({"scopes": ["read", "write"]})).await;
    assert_eq!(ask_as(&gate, token_of(&login)).await.json()["scopes"], json!(["read", "write"]));
}

#[tokio::test]
async fn nothing_but_a_token_of_a_session_that_lives_counts() {
    let gate = guarded();
    let unauthorized = problem(401, "credential_invalid", &[]);
    let forged = [("x-user-id", "alice"), ("x-session-id", UNKNOWN_SESSION), ("x-session-status", "active")];
    assert_eq!(ask(&gate, &forged).await.problem(), unauthorized);
    // The API's own credentials are no tokens.
    assert_eq!(ask_as(&gate, "app-credential-0123456789abcdef012").await.problem(), unauthorized);
    assert_eq!(ask_as(&gate, "x.y.z").await.problem(), unauthorized);

    let gate = Gate::new();
    let login = log_in(&gate, json!({})).await;
    let twice = format!("Bearer {}", token_of(&login));
    assert_eq!(ask(&gate, &[("authorization", &twice), ("authorization", &twice)]).await.problem(), unauthorized);
    let cookie = format!("__Host-session-gate={}", token_of(&login));
    assert_eq!(ask(&gate, &[("cookie", &cookie)]).await.problem(), unauthorized);
    let alone = gate.post("/v1/tokens", json!({"user_id": "alice"})).await.json();
    assert_eq!(ask_as(&gate, alone["token"].as_str().unwrap()).await.problem(), unauthorized, "it has no session");
    let path = format!("/v1/sessions/{}", login["session"]["session_id"].as_str().unwrap());
    gate.patch(&path, json!({"status": "suspended"})).await;
    assert_eq!(ask_as(&gate, token_of(&login)).await.problem(), unauthorized);
    gate.patch(&path, json!({"status": "active"})).await;
    assert_eq!(ask_as(&gate, token_of(&login)).await.status, StatusCode::OK);
    gate.delete(&path).await;
    assert_eq!(ask_as(&gate, token_of(&login)).await.problem(), unauthorized);
}

#[tokio::test]
async fn a_refresh_token_is_its_own_credential() {
    let gate = Gate::new();
    let login = log_in(&gate, json!({"refresh_token": true})).await;
    let refresh = login["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&client_id=app&refresh_token={refresh}");
    for path in ["/.session-gate/token?grant_type=refresh_token", &format!("{TOKEN}?refresh_token={refresh}")] {
        for body in ["grant_type=refresh_token", &form] {
            let refused = gate.form(path, body).await;
            assert_eq!(
                (refused.status, &refused.json()["error"]),
                (StatusCode::BAD_REQUEST, &json!("invalid_request"))
            );
        }
    }
    let answer = gate.form(TOKEN, &form).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text);
    assert!(gate.is_active(answer.json()["access_token"].as_str().unwrap()).await);
    // With credentials configured it asks for none, and the API's own path does.
    let gate = guarded();
    assert_eq!(gate.form(TOKEN, &form).await.json()["error"], "invalid_grant");
    assert_eq!(gate.form("/v1/tokens/refresh", &form).await.problem(), problem(401, "credential_invalid", &[]));
}

#[tokio::test]
async fn a_slash_at_the_end_makes_no_difference_and_other_paths_and_methods_are_none() {
    let gate = Gate::new();
    assert_eq!(gate.get("/.session-gate/session/").await.problem(), problem(401, "credential_invalid", &[]));
    assert_eq!(gate.form("/.session-gate/token/", "").await.json()["error"], "invalid_request");
    assert_eq!(gate.get(TOKEN).await.problem(), problem(405, "method_not_allowed", &[]));
    assert_eq!(gate.post(SESSION, "{}").await.problem(), problem(405, "method_not_allowed", &[]));
    for path in ["/.session-gate", "/.session-gate/v1/keys", "/.session-gate/../v1/keys", "/.SESSION-GATE/session"] {
        assert_eq!(gate.get(path).await.problem(), problem(404, "not_found", &[]), "{path}");
    }
}
