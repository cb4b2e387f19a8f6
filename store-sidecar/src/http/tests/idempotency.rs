//! Requests that are done once, however often they come.

use serde_json::json;

use super::*;

pub(super) const KEY: &str = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";
const APP: &str = "app-credential-0123456789abcdef012";
const OTHER: &str = "another-credential-0123456789abcde";

pub(super) async fn send(gate: &Gate, path: &str, key: &str, body: &Value, credential: Option<&str>) -> Answer {
    let mut request =
        Request::post(path).header(header::CONTENT_TYPE, "application/json").header("idempotency-key", key);
    if let Some(credential) = credential {
        request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
    }
    gate.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn log_in(gate: &Gate, key: &str) -> Answer {
    send(gate, "/v1/login", key, &json!({"user_id": "alice"}), None).await
}

async fn sessions(gate: &Gate) -> usize {
    gate.get("/v1/users/alice/sessions").await.json()["sessions"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_request_has_the_same_answer_and_is_done_once() {
    let gate = Gate::new();
    let first = log_in(&gate, KEY).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    gate.clock.advance(Duration::from_secs(599));
    let again = log_in(&gate, KEY).await;
    assert_eq!((again.status, &again.text), (StatusCode::CREATED, &first.text));
    assert_eq!((again.header("cache-control"), again.header("content-type")), ("no-store", "application/json"));
    assert_eq!(sessions(&gate).await, 1);
    // Without a key, with another one, or later it is another login.
    gate.login("alice").await;
    assert_ne!(log_in(&gate, "\"another key of the same caller\"").await.text, first.text);
    gate.clock.advance(Duration::from_secs(1));
    assert_ne!(log_in(&gate, KEY).await.text, first.text);
    assert_eq!(sessions(&gate).await, 4);
}

#[tokio::test]
async fn everything_that_makes_something_takes_a_key() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let id = path.rsplit('/').next().unwrap();
    for (path, body) in [
        ("/v1/sessions", json!({"user_id": "alice"})),
        ("/v1/tokens", json!({"session_id": id})),
        ("/v1/login", json!({"user_id": "alice", "refresh_token": true})),
        ("/v1/elevate", json!({"session_id": id, "amr": ["otp"]})),
    ] {
        let first = send(&gate, path, KEY, &body, None).await;
        assert_eq!(first.status, StatusCode::CREATED, "{path}: {}", first.text);
        let again = send(&gate, path, KEY, &body, None).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
        for name in ["content-type", "cache-control", "location", "etag"] {
            assert_eq!(again.header(name), first.header(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn another_body_is_refused_and_another_caller_has_keys_of_its_own() {
    let mut credentials = Credentials::default();
    for credential in [APP, OTHER] {
        credentials.add(Role::App, credential).unwrap();
    }
    let gate = Gate::with(Setup { credentials, ..Setup::default() });
    let (alice, bob) = (json!({"user_id": "alice"}), json!({"user_id": "bob"}));
    let first = send(&gate, "/v1/login", KEY, &alice, Some(APP)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let reused = send(&gate, "/v1/login", KEY, &bob, Some(APP)).await;
    assert_eq!(reused.problem(), problem(422, "idempotency_key_reused", &[]));
    let other = send(&gate, "/v1/login", KEY, &alice, Some(OTHER)).await;
    assert_eq!(other.status, StatusCode::CREATED);
    assert_ne!(other.text, first.text);
    // Who may not ask finds no answer either.
    let nobody = send(&gate, "/v1/login", KEY, &alice, Some("unknown")).await;
    assert_eq!(nobody.problem(), problem(401, "credential_invalid", &[]));
    assert_eq!(send(&gate, "/v1/login", KEY, &alice, Some(APP)).await.text, first.text);
}

#[tokio::test]
async fn what_has_failed_may_be_asked_for_again() {
    let (gate, faults) = faulty(None);
    let wrong = json!({"user_id": ""});
    assert_eq!(send(&gate, "/v1/login", KEY, &wrong, None).await.status, StatusCode::BAD_REQUEST);
    faults.fail(Some("create_session"));
    assert_eq!(log_in(&gate, KEY).await.problem(), problem(503, "store_unavailable", &[]));
    faults.fail(None);
    let made = log_in(&gate, KEY).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    // Where nobody can tell whether it was done before, nothing is done.
    faults.fail(Some("claim_idempotency"));
    assert_eq!(log_in(&gate, KEY).await.problem(), problem(503, "store_unavailable", &[]));
    faults.fail(None);
    assert_eq!(log_in(&gate, KEY).await.text, made.text);
    assert_eq!(sessions(&gate).await, 1);
    // A claim whose answer was lost is given up.
    let other = "\"another key of the same caller\"";
    faults.lose_answer("claim_idempotency");
    assert_eq!(log_in(&gate, other).await.problem(), problem(503, "store_unavailable", &[]));
    assert_eq!(log_in(&gate, other).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_answer_that_could_not_be_kept_is_given_and_the_request_not_done_again() {
    let (gate, faults) = faulty(None);
    faults.fail(Some("settle_idempotency"));
    assert_eq!(log_in(&gate, KEY).await.status, StatusCode::CREATED);
    faults.fail(None);
    let again = log_in(&gate, KEY).await;
    assert_eq!(again.problem(), problem(409, "idempotency_in_progress", &[]));
    assert_eq!(again.header("retry-after"), "1");
    assert_eq!(sessions(&gate).await, 1);
    gate.clock.advance(Duration::from_secs(60));
    assert_eq!(log_in(&gate, KEY).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn of_many_at_once_one_is_done_and_the_others_have_its_answer_or_come_again() {
    let gate = Arc::new(Gate::new());
    let logins = (0..50).map(|_| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { log_in(&gate, KEY).await })
    });
    let logins: Vec<_> = logins.collect();
    let mut made = std::collections::BTreeSet::new();
    for login in logins {
        let answer = login.await.unwrap();
        if answer.status == StatusCode::CREATED {
            made.insert(answer.text);
        } else {
            assert_eq!(answer.problem(), problem(409, "idempotency_in_progress", &[]));
        }
    }
    assert_eq!((made.len(), sessions(&gate).await), (1, 1));
}

#[tokio::test]
async fn a_key_is_one_string_of_some_length() {
    let gate = Gate::new();
    let long = format!("\"{}\"", "x".repeat(256));
    for key in [
        "8e03978e-40d5-43e8-bc93-6894a57f9324",
        "\"too short\"",
        &long,
        "\"sixteen characters",
        "",
        "12345678901234567",
        "\"sixteen characters\";a=1",
        "\"sixteen characters\", \"sixteen characters\"",
    ] {
        let refused = log_in(&gate, key).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &[]), "{key}");
    }
    let twice = Request::post("/v1/login").header(header::CONTENT_TYPE, "application/json");
    let twice = twice.header("idempotency-key", KEY).header("idempotency-key", KEY);
    let refused = gate.send(twice.body(Body::from(json!({"user_id": "alice"}).to_string())).unwrap()).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(sessions(&gate).await, 0);
    let large = json!({"user_id": "alice", "metadata": {"x": "x".repeat(70_000)}});
    let refused = send(&gate, "/v1/login", KEY, &large, None).await;
    assert_eq!(refused.problem(), problem(413, "payload_too_large", &[]));
}
