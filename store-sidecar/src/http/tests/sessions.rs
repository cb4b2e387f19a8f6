use serde_json::json;

use super::*;

#[tokio::test]
async fn a_session_is_created_read_changed_and_ended() {
    let gate = Gate::new();
    let new = json!({
        "user_id": "alice", "ip_address": "192.0.2.1", "user_agent": "curl", "device_type": "laptop",
        "location": "CH", "metadata": {"theme": "dark"}, "duration": 600,
    });
    let created = gate.post("/v1/sessions", new).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!((created.header("etag"), created.header("cache-control")), ("\"1\"", "no-store"));
    let session = created.json();
    let path = created.header("location").to_owned();
    assert_eq!(path, format!("/v1/sessions/{}", session["session_id"].as_str().unwrap()));
    let expected = json!({
        "session_id": session["session_id"], "user_id": "alice", "ip_address": "192.0.2.1", "user_agent": "curl",
        "device_type": "laptop", "location": "CH", "created_at": START.0, "last_activity": START.0,
        "expires_at": START.0 + 600, "idle_timeout": null, "status": "active", "metadata": {"theme": "dark"},
        "scopes": null, "class": null, "persistent": false, "version": 1,
    });
    assert_eq!(session, expected);
    let read = gate.get(&path).await;
    assert_eq!((read.status, read.json(), read.header("etag")), (StatusCode::OK, session, "\"1\""));

    let changed = gate.patch(&path, json!({"location": null, "metadata": {"theme": null, "lang": "de"}})).await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"2\""));
    assert_eq!(changed.json()["metadata"], json!({"lang": "de"}));
    assert_eq!(changed.json()["location"], Value::Null);

    let ended = gate.delete(&path).await;
    assert_eq!((ended.status, ended.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(gate.delete(&path).await.status, StatusCode::NO_CONTENT, "it stays ended");
    assert_eq!(gate.get(&path).await.json()["status"], "terminated");
    assert_eq!(gate.patch(&path, json!({})).await.problem(), problem(409, "state_conflict", &[]));
}

#[tokio::test]
async fn a_change_may_ask_for_a_version() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let patch = async |etag: &str| {
        let request = Request::patch(&path)
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .header(header::IF_MATCH, etag)
            .body(Body::from(r#"{"device_type": "tv"}"#));
        gate.send(request.unwrap()).await
    };
    assert_eq!(patch("\"1\"").await.status, StatusCode::OK);
    let refused = patch("\"1\"").await;
    assert_eq!(refused.problem(), problem(412, "version_mismatch", &[]));
    assert_eq!(refused.json()["detail"], "its ETag is \"2\" now");
    assert_eq!(patch("*").await.status, StatusCode::OK);
    for bad in ["1", "W/\"3\"", "\"3\", \"4\"", ""] {
        assert_eq!(patch(bad).await.problem(), problem(400, "invalid_request", &[]), "{bad}");
    }
}

#[tokio::test]
async fn a_status_changes_only_where_it_may() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    assert_eq!(gate.patch(&path, json!({"status": "suspended"})).await.json()["status"], "suspended");
    assert!(!gate.is_active(&token).await);
    assert_eq!(gate.patch(&path, json!({"status": "active"})).await.status, StatusCode::OK);
    assert!(gate.is_active(&token).await);
    let refused = gate.patch(&path, json!({"status": "expired"})).await;
    assert_eq!(refused.problem(), problem(409, "state_conflict", &[]));
    assert_eq!(refused.json()["detail"], "a session that is active cannot become expired");
    assert_eq!(gate.patch(&path, json!({"status": "terminated"})).await.status, StatusCode::OK);
    assert!(!gate.is_active(&token).await);
}

#[tokio::test]
async fn all_sessions_of_a_user_are_listed_and_ended_together() {
    let gate = Gate::new();
    // A user id with everything that a path could misread.
    let user = "a/b ü?#%2F";
    let path = "/v1/users/a%2Fb%20%C3%BC%3F%23%252F/sessions";
    let (_, first) = gate.login(user).await;
    gate.clock.advance(Duration::from_secs(1));
    let (second_path, second) = gate.login(user).await;
    let (_, other) = gate.login("bob").await;
    let listed = gate.get(path).await.json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    assert!(second_path.ends_with(listed["sessions"][0]["session_id"].as_str().unwrap()), "newest first");
    assert_eq!(gate.delete(path).await.json(), json!({"terminated": 2}));
    gate.settle().await;
    assert_eq!(gate.delete(path).await.json(), json!({"terminated": 0}));
    assert_eq!(gate.get(path).await.json(), json!({"sessions": []}));
    assert!(!gate.is_active(&first).await && !gate.is_active(&second).await && gate.is_active(&other).await);
}

#[tokio::test]
async fn sessions_expire_at_their_time_and_when_idle() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(600)), ..Setup::default() });
    let (path, token) = gate.login("alice").await;
    gate.clock.advance(Duration::from_secs(599));
    let used = gate.form("/v1/tokens/introspect", format!("token={token}&count_as_use=true")).await;
    assert_eq!(used.json()["active"], true);
    gate.clock.advance(Duration::from_secs(599));
    assert_eq!(gate.get(&path).await.json()["status"], "active");
    gate.clock.advance(Duration::from_secs(1));
    assert_eq!(gate.get(&path).await.json()["status"], "expired");
    assert_eq!(gate.patch(&path, json!({})).await.problem(), problem(409, "state_conflict", &[]));
}

#[tokio::test]
async fn what_is_wrong_with_a_new_session_is_named_field_by_field() {
    let gate = Gate::new();
    for (body, fields) in [
        (json!({}), vec!["user_id"]),
        (json!({"user_id": ""}), vec!["user_id"]),
        (json!({"user_id": 7, "device_type": 7, "extra": 1}), vec!["device_type", "extra", "user_id"]),
        (
            json!({"user_id": "a", "ip_address": "here", "duration": 0, "location": "x".repeat(2049),
                "metadata": {"x": "y".repeat(5000)}}),
            vec!["ip_address", "location", "metadata", "duration"],
        ),
        (json!({"user_id": "a", "duration": 86_401}), vec!["duration"]),
        (json!({"user_id": "a", "duration": -1}), vec!["duration"]),
        (json!({"user_id": "a", "metadata": []}), vec!["metadata"]),
    ] {
        let answer = gate.post("/v1/sessions", &body).await;
        assert_eq!(answer.problem(), problem(400, "invalid_request", &fields), "{body}");
    }
    let (path, _) = gate.login("alice").await;
    let patched = gate.patch(&path, json!({"user_id": "mallory"})).await;
    assert_eq!(patched.problem(), problem(400, "invalid_request", &["user_id"]));
    let patched = gate.patch(&path, json!({"metadata": {"x": "y".repeat(5000)}})).await;
    assert_eq!(patched.problem(), problem(400, "invalid_request", &["metadata"]));
    let patched = gate.patch(&path, json!({"ip_address": "here"})).await;
    assert_eq!(patched.problem(), problem(400, "invalid_request", &["ip_address"]));
    let listed = gate.get("/v1/users/%0A/sessions").await;
    assert_eq!(listed.problem(), problem(400, "invalid_request", &["user_id"]));
    assert_eq!(gate.get("/v1/users/%FF/sessions").await.problem(), problem(400, "invalid_request", &[]));
}

#[tokio::test]
async fn a_session_that_is_not_there_is_not_found() {
    let gate = Gate::new();
    for path in [UNKNOWN_SESSION, "/v1/sessions/nonsense"] {
        assert_eq!(gate.get(path).await.problem(), problem(404, "not_found", &[]));
        assert_eq!(gate.delete(path).await.problem(), problem(404, "not_found", &[]));
        assert_eq!(gate.patch(path, json!({})).await.problem(), problem(404, "not_found", &[]));
    }
}
