use serde_json::json;

use super::{
    idempotency::{KEY, send},
    *,
};
use crate::golden::{assert_golden, assert_golden_part};

/// The body of each kind of problem, as it is answered: others match on these.
#[tokio::test]
async fn the_bodies_of_problems_are_those_of_the_file() {
    let mut credentials = Credentials::default();
    credentials.add(Role::Monitor, "monitor-credential-0123456789abcde").unwrap();
    credentials.add(Role::Filter, "filter-credential-0123456789abcdef").unwrap();
    let closed = Gate::with(Setup { credentials, ..Setup::default() });
    let as_filter = Request::get("/v1/policy").header("authorization", "Bearer filter-credential-0123456789abcdef");
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let stale = Request::patch(&path).header("content-type", "application/json").header("if-match", "\"9\"");
    let stale = gate.send(stale.body(Body::from("{}")).unwrap()).await;
    gate.delete(&path).await;
    let large = json!({"user_id": "a", "metadata": {"x": "y".repeat(MAX_BODY_BYTES)}});
    let full = json!({"user_id": "bob", "max_sessions": 1, "when_full": "deny"});
    assert_eq!(gate.post("/v1/login", &full).await.status, StatusCode::CREATED);
    for _ in 0..5 {
        gate.post("/v1/logins/failed", json!({"account": "bob"})).await;
    }
    let locked = gate.post("/v1/login", json!({"user_id": "bob", "lockout": true})).await;
    let login = json!({"user_id": "carol"});
    let (hasty, faults) = faulty(None);
    faults.fail(Some("settle_idempotency"));
    for gate in [&hasty, &gate] {
        assert_eq!(send(gate, "/v1/login", KEY, &login, None).await.status, StatusCode::CREATED);
    }
    let answers = [
        Gate::broken(StoreErrorKind::Conflict).get(UNKNOWN_SESSION).await,
        closed.get("/v1/policy").await,
        closed.send(as_filter.body(Body::empty()).unwrap()).await,
        send(&hasty, "/v1/login", KEY, &login, None).await,
        send(&gate, "/v1/login", KEY, &json!({"user_id": "dave"}), None).await,
        Gate::broken(StoreErrorKind::Corrupt).get(UNKNOWN_SESSION).await,
        gate.post("/v1/login", json!({"user_id": "", "scopes": ["a b"], "extra": 1})).await,
        gate.post("/v1/login", "nonsense").await,
        locked,
        gate.get("/v1/login").await,
        gate.get(UNKNOWN_SESSION).await,
        gate.post("/v1/login", large).await,
        gate.post("/v1/login", full).await,
        gate.patch(&path, json!({})).await,
        Gate::broken(StoreErrorKind::Timeout).get(UNKNOWN_SESSION).await,
        gate.form("/v1/login", "user_id=a").await,
        stale,
    ];
    let mut codes: Vec<String> = answers.iter().map(|answer| answer.problem().1).collect();
    codes.dedup();
    assert_eq!(codes, ProblemCode::ALL.map(|code| code.as_str().to_owned()), "one of each kind");
    let bodies: Vec<Value> = answers.iter().map(Answer::json).collect();
    let text = format!("{}\n", serde_json::to_string_pretty(&bodies).unwrap());
    assert_golden("store-sidecar/src/http/tests/problems.json", &text);
}

#[test]
fn the_documentation_has_every_kind_of_problem() {
    let mut table = String::from("| Status | `code` | |\n|---|---|---|\n");
    for code in ProblemCode::ALL {
        table.push_str(&format!("| {} | `{}` | {} |\n", code.status(), code.as_str(), code.title()));
    }
    assert_golden_part("docs/api.md", "problems", &table);
}

/// Reads the example that follows `<!-- {name} -->` in the documentation.
fn example<T: serde::de::DeserializeOwned>(name: &str) {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let (_, rest) = text.split_once(&format!("<!-- {name} -->\n```json\n")).unwrap();
    serde_json::from_str::<T>(rest.split_once("```").unwrap().0).unwrap();
}

#[test]
fn the_examples_in_the_documentation_are_good() {
    use session_gate_protocol::{
        ElevateRequest, LeaseRequest, LoginRequest, LogoutRequest, NewBlock, NewLimitOverride, NewRevocation, NewToken,
        SessionCommandReply, SessionCommandRequest,
    };
    example::<LoginRequest>("LoginRequest");
    example::<LoginRequest>("LoginRequest takeover");
    example::<SessionPatch>("SessionPatch");
    example::<SessionPatch>("SessionPatch scopes");
    example::<LogoutRequest>("LogoutRequest");
    example::<ElevateRequest>("ElevateRequest");
    example::<SessionCommandRequest>("SessionCommandRequest");
    example::<SessionCommandReply>("SessionCommandReply");
    example::<NewBlock>("NewBlock");
    example::<NewRevocation>("NewRevocation");
    example::<NewLimitOverride>("NewLimitOverride");
    example::<LeaseRequest>("LeaseRequest");
    example::<NewToken>("NewToken");
    example::<CheckRequest>("CheckRequest");
}
