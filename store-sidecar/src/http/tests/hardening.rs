//! What a mistake, or a caller that means no good, could do: each refused or harmless.

use serde_json::json;
use session_gate_protocol::{FeedChange, Rule};

use super::*;
use crate::service::MAX_RULES;

async fn entries(gate: &Gate) -> usize {
    gate.store.read_feed(None, 1_000).await.unwrap().entries.len()
}

/// Long enough for the feed to be read.
async fn has_been_read() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_done_already_is_not_told_again() {
    let gate = Gate::new();
    let (session, _) = gate.login("alice").await;
    let token = gate.token_of(&session).await;
    for _ in 0..3 {
        let answer = gate.form("/v1/tokens/revoke", format!("token={token}")).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({})));
        has_been_read().await;
    }
    assert_eq!(entries(&gate).await, 1, "one revocation");
    for _ in 0..3 {
        assert_eq!(gate.delete(&session).await.status, StatusCode::NO_CONTENT);
        has_been_read().await;
    }
    assert_eq!(gate.patch(&session, json!({"status": "terminated"})).await.problem().0, 409);
    assert_eq!(gate.delete_and_wait(&session).await.json(), json!({"applied": true, "pending": []}));
    assert_eq!(entries(&gate).await, 2, "and one end");
    for number in 0..20 {
        for kind in ["blocks", "revocations"] {
            let unknown = format!("/v1/{kind}/AAAAAAAAAAAAAA{number:02}");
            assert_eq!(gate.delete(&unknown).await.status, StatusCode::NO_CONTENT);
        }
        let unknown = format!("/v1/limits/overrides/api:user=u{number}");
        assert_eq!(gate.delete(&unknown).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(entries(&gate).await, 2, "and no removal of what is not there");
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_removed_only_as_what_it_is() {
    let gate = Gate::new();
    let block = gate.post("/v1/blocks", json!({"user_id": "mallory"})).await.json();
    let revocation = gate.post("/v1/revocations", json!({"iss": "i", "sub": "a", "duration": 60})).await.json();
    let path = |kind: &str, rule: &Value| format!("/v1/{kind}/{}", rule["rule_id"].as_str().unwrap());
    for (wrong, right, rule) in [("revocations", "blocks", &block), ("blocks", "revocations", &revocation)] {
        let refused = gate.delete(&path(wrong, rule)).await;
        assert_eq!(refused.problem(), problem(404, "not_found", &[]));
        assert!(refused.text.contains(&format!("/v1/{right}")), "{}", refused.text);
    }
    assert_eq!(entries(&gate).await, 2, "both are in force");
    for (right, rule) in [("blocks", &block), ("revocations", &revocation)] {
        assert_eq!(gate.delete(&path(right, rule)).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(gate.get("/v1/blocks").await.json()["blocks"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn whoever_would_block_a_large_part_of_all_clients_must_mean_it() {
    let gate = Gate::new();
    for (body, field) in [
        (json!({"address": "0.0.0.0/0"}), "address"),
        (json!({"address": "128.0.0.0/7"}), "address"),
        (json!({"address": "::/0"}), "address"),
        (json!({"address": "2000::/15"}), "address"),
        (json!({"user_agent": "Moz"}), "user_agent"),
        (json!({"user_agent": "     "}), "user_agent"),
        (json!({"user_agent": "         "}), "user_agent"),
        (json!({"user_agent": "Mozilla/5.0 ("}), "user_agent"),
        (json!({"user_agent": "Firefox/"}), "user_agent"),
        (json!({"user_agent": "AppleWebKit"}), "user_agent"),
        (json!({"user_agent": "iPhone"}), "user_agent"),
        (json!({"user_agent": "iPad; CPU OS"}), "user_agent"),
        (json!({"user_agent": "CriOS/"}), "user_agent"),
        (json!({"user_agent": "Mobile/15E148"}), "user_agent"),
        (json!({"user_agent": "Chrome/99.1"}), "user_agent"),
    ] {
        let mut body = body;
        let refused = gate.post("/v1/blocks", &body).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &[field]), "{body}");
        assert!(refused.text.contains("force"), "{}", refused.text);
        body["force"] = json!(true);
        assert_eq!(gate.post("/v1/blocks", &body).await.status, StatusCode::CREATED, "{body}");
    }
    for body in [
        json!({"address": "10.0.0.0/8"}),
        json!({"address": "2001::/16"}),
        json!({"user_agent": "BadBot"}),
        json!({"user_agent": "python-requests/2"}),
    ] {
        assert_eq!(gate.post("/v1/blocks", &body).await.status, StatusCode::CREATED, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_rules_is_bounded_however_short_they_are() {
    let gate = Gate::new();
    let rule = |number: usize| {
        let rule: Rule = serde_json::from_value(json!({"kind": "user", "user_id": format!("u{number}")})).unwrap();
        let change = FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None };
        NewFeedEntry { until: START.after(Duration::from_secs(60)), change }
    };
    let all: Vec<_> = (0..MAX_RULES).map(rule).collect();
    gate.store.append_feed(&all).await.unwrap();
    has_been_read().await;
    let refused = gate.post("/v1/blocks", json!({"user_id": "one more", "duration": 60})).await;
    assert_eq!(refused.problem(), problem(409, "state_conflict", &[]));
    assert!(refused.text.contains("Rule limit (20000)"), "{}", refused.text);
    let replaced = gate.post("/v1/blocks", json!({"user_id": "u1", "duration": 90})).await;
    assert_eq!(replaced.status, StatusCode::CREATED, "one that is there already");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_token_is_no_use_of_its_session_unless_it_is_said_to_be() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(600)), ..Setup::default() });
    let (session, token) = gate.login("alice").await;
    let last_activity = async || gate.get(&session).await.json()["last_activity"].as_u64().unwrap();
    gate.clock.advance(Duration::from_secs(500));
    assert!(gate.is_active(&token).await);
    assert_eq!(last_activity().await, START.0);
    let used = gate.form("/v1/tokens/introspect", format!("token={token}&count_as_use=true")).await;
    assert_eq!((used.json()["active"].as_bool(), last_activity().await), (Some(true), START.0 + 500));
    let wrong = gate.form("/v1/tokens/introspect", format!("token={token}&count_as_use=yes")).await;
    assert_eq!(wrong.problem(), problem(400, "invalid_request", &["count_as_use"]));
    // It sees all the same what a use would see.
    gate.patch(&session, json!({"status": "suspended"})).await;
    assert!(!gate.is_active(&token).await);
    gate.patch(&session, json!({"status": "active"})).await;
    assert!(gate.is_active(&token).await);
    gate.form("/v1/tokens/revoke", format!("token={token}")).await;
    assert!(!gate.is_active(&token).await);
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_says_nothing_of_its_user_any_more() {
    let gate = Gate::new();
    let new = json!({
        "user_id": "alice", "ip_address": "192.0.2.1", "user_agent": "agent", "device_type": "tv", "location": "CH",
        "metadata": {"plan": "pro"}, "duration": 600,
    });
    let path = async || {
        let made = gate.post("/v1/sessions", &new).await.json();
        format!("/v1/sessions/{}", made["session_id"].as_str().unwrap())
    };
    let (deleted, patched, of_user, expired) = (path().await, path().await, path().await, path().await);
    gate.delete(&deleted).await;
    gate.patch(&patched, json!({"status": "terminated"})).await;
    let known = gate.get(&expired).await.json();
    assert_eq!((&known["ip_address"], &known["metadata"]), (&json!("192.0.2.1"), &json!({"plan": "pro"})));
    gate.clock.advance(Duration::from_secs(599));
    gate.delete("/v1/users/alice/sessions").await;
    gate.clock.advance(Duration::from_secs(1));
    for path in [deleted, patched, of_user, expired] {
        let known = gate.get(&path).await.json();
        for member in ["ip_address", "user_agent", "device_type", "location"] {
            assert_eq!(known[member], Value::Null, "{member}");
        }
        assert_eq!((&known["metadata"], &known["user_id"]), (&json!({}), &json!("alice")));
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_comes_back_as_it_went_in() {
    let gate = Gate::new();
    let metadata = r#"{"zebra":123456789012345678901234567890,"ape":0.10,"é":[1E+2,{"b":1,"a":2}]}"#;
    let new = format!(r#"{{"user_id":"alice","metadata":{metadata},"token_metadata":{metadata}}}"#);
    let answer = gate.post("/v1/login", new).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.text.matches(metadata).count(), 2, "{}", answer.text);
    let path = format!("/v1/sessions/{}", answer.json()["session"]["session_id"].as_str().unwrap());
    assert!(gate.get(&path).await.text.contains(metadata));
    let patched = gate.patch(&path, r#"{"metadata":{"ape":null,"new":2.50}}"#).await;
    let expected = r#"{"zebra":123456789012345678901234567890,"é":[1E+2,{"b":1,"a":2}],"new":2.50}"#;
    assert!(patched.text.contains(expected), "{}", patched.text);
    for twice in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":2}}"#] {
        let refused = gate.post("/v1/sessions", format!(r#"{{"user_id":"alice","metadata":{twice}}}"#)).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &[]), "{twice}");
        assert!(refused.text.contains("twice"), "{}", refused.text);
    }
    let refused = gate.patch(&path, json!({"status": null})).await;
    assert_eq!(refused.problem(), problem(400, "invalid_request", &["status"]));
}

/// JSON of which no value can be made: the body is not empty, and the field is known.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_metadata_is_named_whatever_it_is() {
    let gate = Gate::new();
    let deep = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    for metadata in [r#"{"n":1e400}"#, deep.as_str(), r#"{"a":[1,{"n":-1e999}]}"#] {
        let refused = gate.post("/v1/sessions", format!(r#"{{"user_id":"a","metadata":{metadata}}}"#)).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &["metadata"]), "{}", refused.text);
        assert!(refused.text.contains("127 levels"), "{}", refused.text);
        let body = format!(r#"{{"user_id":"a","ip_address":7,"metadata":{metadata}}}"#);
        let refused = gate.post("/v1/sessions", body).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &["ip_address"]), "{}", refused.text);
    }
    for body in ["[]", "null", "7", r#""a""#] {
        let refused = gate.post("/v1/sessions", body).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &[]), "{body}");
        assert!(refused.text.contains("the body is "), "{}", refused.text);
    }
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_page_is_a_number_in_bounds() {
    let gate = Gate::new();
    for path in ["/v1/users/alice/sessions", "/v1/blocks", "/v1/revocations", "/v1/limits/overrides"] {
        assert_eq!(gate.get(&format!("{path}?limit=1000")).await.status, StatusCode::OK, "{path}");
        for limit in ["-1", "x", "1.5", "+5", "0", "1001", "99999999999999999999", ""] {
            let refused = gate.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(refused.problem(), problem(400, "invalid_request", &["limit"]), "{path} {limit}");
            assert!(refused.text.contains("must be a number of 1 to 1000"), "{}", refused.text);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_with_a_wrong_escape_names_nobody() {
    let gate = Gate::new();
    for user in ["a%zz", "%", "a%4", "%25%", "a%2%35", "%ff", "a%C2%85b"] {
        let path = format!("/v1/users/{user}/sessions");
        assert_eq!(gate.get(&path).await.status, StatusCode::BAD_REQUEST, "{user}");
        assert_eq!(gate.delete(&path).await.status, StatusCode::BAD_REQUEST, "{user}");
    }
    for user in ["a%25zz", "%C3%BC"] {
        assert_eq!(gate.get(&format!("/v1/users/{user}/sessions")).await.status, StatusCode::OK, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_in_the_store_is_to_be_tried_again() {
    let gate = Gate::broken(StoreErrorKind::Conflict);
    let answer = gate.post("/v1/sessions", json!({"user_id": "a"})).await;
    assert_eq!((answer.problem(), answer.header("retry-after")), (problem(503, "contended", &[]), "1"));
}

#[tokio::test(start_paused = true)]
async fn only_utf_8_is_read() {
    let gate = Gate::new();
    let send = async |content_type: &str| {
        let request = Request::post("/v1/sessions").header(header::CONTENT_TYPE, content_type);
        gate.send(request.body(Body::from(r#"{"user_id":"a"}"#)).unwrap()).await
    };
    for good in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"; x=y"] {
        assert_eq!(send(good).await.status, StatusCode::CREATED, "{good}");
    }
    for bad in ["application/json; charset=iso-8859-1", "application/json;charset=utf-16", "application/json; charset="]
    {
        assert_eq!(send(bad).await.problem(), problem(415, "unsupported_media_type", &[]), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_credentials_no_web_page_of_others_may_call() {
    let send = async |gate: &Gate, name: &'static str, value: &'static str| {
        gate.send(Request::get("/v1/policy").header(name, value).body(Body::empty()).unwrap()).await
    };
    let open = Gate::new();
    for (name, value) in
        [("host", "evil.example"), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]
    {
        let refused = send(&open, name, value).await;
        assert_eq!(refused.problem(), problem(403, "credential_not_permitted", &[]), "{name}");
    }
    assert_eq!(send(&open, "host", "127.0.0.1:8081").await.status, StatusCode::OK);
    let mut credentials = Credentials::default();
    credentials.add(Role::App, &"a".repeat(32)).unwrap();
    let closed = Gate::with(Setup { credentials, ..Setup::default() });
    assert_eq!(send(&closed, "host", "gate.example").await.problem().0, 401, "there a credential says who may");
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_is_none_is_not_kept() {
    let gate = Gate::new();
    let long = "a".repeat(60_000);
    for epoch in ["x", long.as_str(), "0123456789ABCDEF0123456789ABCDEF", ""] {
        let query = format!("/v1/feed?worker=w&wait_ms=0&max_staleness_ms=1000&after=0-0&epoch={epoch}");
        assert_eq!(gate.get(&query).await.problem(), problem(400, "invalid_request", &["epoch"]));
    }
}

/// What was known last is told for as long as the store is away; a change needs the store.
#[tokio::test(start_paused = true)]
async fn rules_are_shown_while_the_store_is_away() {
    let (gate, faults) = faulty(None);
    let block = gate.post("/v1/blocks", json!({"user_id": "mallory"})).await.json();
    gate.send_json("PUT", "/v1/limits/overrides/api:issuer=i&user=u", json!({"requests": [5]})).await;
    has_been_read().await;
    let paths = ["/v1/blocks", "/v1/limits/overrides", "/v1/limits/overrides/api:issuer=i&user=u"];
    let mut before = Vec::new();
    for path in paths {
        before.push(gate.get(path).await.json());
    }
    assert_eq!(before[0]["blocks"][0]["rule_id"], block["rule_id"], "{}", before[0]);
    faults.fail(Some("read_feed"));
    has_been_read().await;
    for (path, before) in paths.into_iter().zip(before) {
        let answer = gate.get(path).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, before), "{path}");
    }
    let path = format!("/v1/blocks/{}", block["rule_id"].as_str().unwrap());
    assert_eq!(gate.delete(&path).await.problem().0, 503);
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_caller_an_error_and_nobody_else_anything() {
    let gate = Gate::new();
    let state = (Arc::clone(&gate.api), Arc::new(SeededRandom::default()) as Arc<dyn Random>);
    let router = axum::Router::new()
        .route("/", axum::routing::get(async || -> String { panic!("on purpose") }))
        .layer(axum::middleware::from_fn_with_state(state, crate::http::observe::observe));
    for _ in 0..2 {
        let response = router.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(r#""code":"internal""#), "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gate = Gate::new();
    let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/v1/login").header(header::CONTENT_TYPE, "application/json").body(never).unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(gate.send(request).await.problem().0, 400);
    assert_eq!(start.elapsed().as_secs(), 5);
}
