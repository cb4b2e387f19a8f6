//! Other limits for single keys.

use serde_json::json;

use super::*;
use crate::clock::Clock as _;

const KEY: &str = "/v1/limits/overrides/api:issuer=session-gate&user=alice";

async fn put(gate: &Gate, path: &str, body: Value) -> Answer {
    let request = Request::put(path).header(header::CONTENT_TYPE, "application/json");
    gate.send(request.body(Body::from(body.to_string())).unwrap()).await
}

/// The overrides, and what the feed says of them.
async fn overrides(gate: &Gate) -> Vec<(String, Value)> {
    let page = gate.get("/v1/limits/overrides").await.json();
    let of = |one: &Value| (one["key"].as_str().unwrap().to_owned(), one["requests"].clone());
    page["overrides"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_has_one_override_which_the_next_replaces() {
    let gate = Gate::new();
    let first = put(&gate, KEY, json!({"requests": [50], "duration": 60, "note": "launch day"})).await;
    assert_eq!((first.status, first.header("cache-control")), (StatusCode::OK, "no-store"), "{}", first.text);
    let said = first.json();
    assert_eq!(said["key"], "api:issuer=session-gate&user=alice");
    assert_eq!((&said["expires_at"], &said["note"]), (&json!(gate.clock.now().0 + 60), &json!("launch day")));
    // The same key, however it is written.
    let other = "/v1/limits/overrides/api:user=alice&issuer=session%2Dgate";
    assert_eq!(put(&gate, other, json!({"requests": [70, 5]})).await.status, StatusCode::OK);
    let key = "api:issuer=session-gate&user=alice".to_owned();
    assert_eq!(overrides(&gate).await, [(key, json!([70, 5]))]);
    assert_eq!(gate.get(KEY).await.json()["requests"], json!([70, 5]));
    assert_eq!(gate.get("/v1/blocks").await.json()["blocks"], json!([]), "it blocks nobody");
    assert_eq!(gate.delete(KEY).await.status, StatusCode::NO_CONTENT);
    assert_eq!(gate.get(KEY).await.problem().0, 404);
    assert_eq!(gate.delete(KEY).await.status, StatusCode::NO_CONTENT, "as good as taken back");
    assert!(overrides(&gate).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_override_ends_with_its_time() {
    let gate = Gate::new();
    put(&gate, KEY, json!({"requests": [50], "duration": 60})).await;
    gate.clock.advance(Duration::from_secs(59));
    assert_eq!(overrides(&gate).await.len(), 1);
    gate.clock.advance(Duration::from_secs(1));
    assert!(overrides(&gate).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn overrides_come_in_pages() {
    let gate = Gate::new();
    for user in ["a", "b", "c"] {
        put(&gate, &format!("/v1/limits/overrides/api:issuer=i&user={user}"), json!({"requests": [5]})).await;
    }
    let page = gate.get("/v1/limits/overrides?limit=2").await.json();
    let keys: Vec<&Value> = page["overrides"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(
        (keys, &page["more"]),
        (vec![&json!("api:issuer=i&user=a"), &json!("api:issuer=i&user=b")], &json!(true))
    );
    let rest = gate.get("/v1/limits/overrides?limit=2&after=api:issuer%3Di%26user%3Db").await.json();
    assert_eq!((&rest["overrides"][0]["key"], &rest["more"]), (&json!("api:issuer=i&user=c"), &json!(false)));
}

#[tokio::test]
async fn what_is_no_override_is_refused() {
    let gate = Gate::new();
    for (body, field) in [
        (json!({}), "requests"),
        (json!({"requests": []}), "requests"),
        (json!({"requests": [0]}), "requests[0]"),
        (json!({"requests": [1, 2_000_000_000]}), "requests[1]"),
        (json!({"requests": [1], "duration": 0}), "duration"),
        (json!({"requests": [1], "note": "x".repeat(257)}), "note"),
        (json!({"requests": [1], "colour": "blue"}), "colour"),
    ] {
        assert_eq!(put(&gate, KEY, body.clone()).await.problem().2, [field], "{body}");
    }
    assert_eq!(put(&gate, "/v1/limits/overrides/none", json!({"requests": [1]})).await.problem().2, ["key"]);
    // They would count nobody.
    for (key, fields) in [
        ("api:user=bob", vec!["key.user"]),
        ("api:address=10.0.0.1%2F8&colour=blue", vec!["key.address", "key.colour"]),
    ] {
        let refused = put(&gate, &format!("/v1/limits/overrides/{key}"), json!({"requests": [1]})).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &fields), "{}", refused.text);
    }
    assert!(overrides(&gate).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_address_is_kept_as_limits_count_it() {
    let gate = Gate::new();
    for (address, counted) in
        [("%253A%253A1", "%3A%3A%2F64"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8::9", "2001%3Adb8%3A%3A%2F64")]
    {
        let path = format!("/v1/limits/overrides/addr:address={address}");
        let key = json!(format!("addr:address={counted}"));
        assert_eq!(put(&gate, &path, json!({"requests": [1]})).await.json()["key"], key);
        assert_eq!(gate.get(&path).await.json()["key"], key);
        assert_eq!(gate.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert!(overrides(&gate).await.is_empty(), "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_override_refuses_nobody_and_is_removed_by_its_key_alone() {
    let gate = Gate::new();
    put(&gate, KEY, json!({"requests": [1]})).await;
    put(&gate, "/v1/limits/overrides/api:address=192.0.2.7", json!({"requests": [1]})).await;
    let credential = json!({"kind": "foreign", "claims": {"iss": "i", "sub": "alice"}, "require_session": false});
    let question = json!({"credential": credential, "address": "192.0.2.7", "user_agent": "x"});
    assert_eq!(verdict(&gate.post("/v1/check", question).await), "live");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(gate.get("/v1/revocations").await.json()["entries"], json!([]));
    let rule = session_gate_protocol::Rule::Limit {
        key: "api:issuer=session-gate&user=alice".to_owned(),
        requests: Vec::new(),
    };
    for kind in ["blocks", "revocations"] {
        assert_eq!(gate.delete(&format!("/v1/{kind}/{}", rule.id())).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(gate.get(KEY).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_an_override_can_be_waited_for() {
    let gate = Gate::new();
    let all = json!({"applied": true, "pending": []});
    let made = put(&gate, &format!("{KEY}?wait=applied"), json!({"requests": [1]})).await;
    assert_eq!(made.json()["receipt"], all);
    let removed = gate.delete_and_wait(KEY).await;
    assert_eq!((removed.status, removed.json()), (StatusCode::OK, all));
}

#[tokio::test(start_paused = true)]
async fn keys_are_encoded_in_the_path_once_more() {
    let gate = Gate::new();
    for key in ["a:address=2001%253Adb8%253A%253A%252F64", "a:claim.name=%C3%BC%2526"] {
        assert_eq!(put(&gate, &format!("/v1/limits/overrides/{key}"), json!({"requests": [1]})).await.status, 200);
    }
    let keys: Vec<String> = overrides(&gate).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a:address=2001%3Adb8%3A%3A%2F64", "a:claim.name=%C3%BC%26"]);
}
