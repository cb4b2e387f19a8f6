//! What sessions and tokens permit, and who is told when that changes.

use serde_json::json;
use session_gate_protocol::{FeedChange, Scopes};

use super::{feed::id_of, *};

/// A session with these scopes: its path.
async fn create(gate: &Gate, scopes: Value) -> String {
    let created = gate.post("/v1/sessions", json!({"user_id": "alice", "scopes": scopes})).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    assert_eq!(created.json()["scopes"], scopes);
    created.header("location").to_owned()
}

async fn mint(gate: &Gate, path: &str, scopes: Value) -> Answer {
    gate.post("/v1/tokens", json!({"session_id": id_of(path), "scopes": scopes})).await
}

/// What such a token says, and whether it was narrowed.
async fn minted(gate: &Gate, path: &str, scopes: Value) -> (String, String, bool) {
    let answer = mint(gate, path, scopes).await.json();
    let token = answer["token"].as_str().unwrap().to_owned();
    let verified = gate.keys.get().verify(&token, "session-gate", "api").unwrap();
    let claims = verified.claims();
    let named: Scopes = serde_json::from_value(answer["scopes"].clone()).unwrap();
    assert_eq!(named.to_string(), claims.scope);
    (token, claims.scope.clone(), claims.narrowed)
}

/// The scopes that introspection answers.
async fn in_force(gate: &Gate, token: &str) -> Value {
    let answer = gate.form("/v1/tokens/introspect", format!("token={token}")).await.json();
    assert_eq!(answer["active"], true);
    answer["scope"].clone()
}

/// What the feed says of scopes: version and scopes.
async fn told(gate: &Gate) -> Vec<(u64, Option<String>)> {
    let entries = gate.store.read_feed(None, 1_000).await.unwrap().entries;
    let scopes = entries.into_iter().filter_map(|entry| match entry.change {
        FeedChange::SessionScopes { version, scopes, .. } => Some((version, scopes.map(|scopes| scopes.to_string()))),
        _ => None,
    });
    scopes.collect()
}

#[tokio::test(start_paused = true)]
async fn a_token_permits_what_its_session_does_or_less() {
    let gate = Gate::new();
    let path = create(&gate, json!(["read", "write"])).await;
    let all = ("read write".to_owned(), false);
    for scopes in [json!([]), json!(["write", "read"])] {
        let (_, scope, narrowed) = minted(&gate, &path, scopes).await;
        assert_eq!((scope, narrowed), all);
    }
    let (_, scope, narrowed) = minted(&gate, &path, json!(["read"])).await;
    assert_eq!((scope.as_str(), narrowed), ("read", true));
    let refused = mint(&gate, &path, json!(["read", "admin"])).await;
    assert_eq!(refused.problem(), problem(400, "invalid_request", &["scopes"]));
    assert!(refused.text.contains("allowed: read write"), "{}", refused.text);
    let none = create(&gate, json!([])).await;
    assert_eq!(mint(&gate, &none, json!(["read"])).await.problem(), problem(400, "invalid_request", &["scopes"]));
    let free = create(&gate, Value::Null).await;
    let (_, scope, narrowed) = minted(&gate, &free, json!(["any"])).await;
    assert_eq!((scope.as_str(), narrowed), ("any", false));
}

#[tokio::test(start_paused = true)]
async fn introspection_answers_the_scopes_in_force() {
    let gate = Gate::new();
    let path = create(&gate, json!(["read", "write"])).await;
    let (whole, ..) = minted(&gate, &path, json!([])).await;
    let (narrowed, ..) = minted(&gate, &path, json!(["write"])).await;
    assert_eq!(
        (in_force(&gate, &whole).await, in_force(&gate, &narrowed).await),
        (json!("read write"), json!("write"))
    );
    gate.patch(&path, json!({"scopes": ["read", "admin"]})).await;
    assert_eq!((in_force(&gate, &whole).await, in_force(&gate, &narrowed).await), (json!("admin read"), Value::Null));
    gate.patch(&path, json!({"scopes": null})).await;
    assert_eq!(
        (in_force(&gate, &whole).await, in_force(&gate, &narrowed).await),
        (json!("read write"), json!("write"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_scopes_is_told_after_it_was_made() {
    let (gate, faults) = faulty(None);
    let path = create(&gate, json!(["read", "write"])).await;
    assert_eq!(told(&gate).await, []);
    faults.asked();
    let answer = gate.patch(&format!("{path}?wait=applied"), json!({"scopes": ["read"]})).await;
    assert_eq!((&answer.json()["receipt"]["applied"], answer.header("etag")), (&json!(true), "\"2\""));
    assert_eq!(faults.asked(), ["update_session", "append_feed"]);
    gate.patch(&path, json!({"scopes": null})).await;
    gate.patch(&path, json!({"location": "CH"})).await;
    assert_eq!(told(&gate).await, [(2, Some("read".to_owned())), (3, None)]);
    let until = gate.store.read_feed(None, 1).await.unwrap().entries[0].until;
    assert_eq!(until, START.after(Duration::from_secs(3_900)), "as long as a token of it");
}

#[tokio::test(start_paused = true)]
async fn one_change_may_tell_of_status_and_scopes() {
    let gate = Gate::new();
    for status in ["suspended", "active", "terminated"] {
        let path = create(&gate, json!(["read", "write"])).await;
        let before = told(&gate).await.len();
        let answer = gate.patch(&path, json!({"status": status, "scopes": ["read"]})).await;
        assert_eq!((&answer.json()["status"], &answer.json()["scopes"]), (&json!(status), &json!(["read"])));
        assert_eq!(told(&gate).await[before..], [(2, Some("read".to_owned()))], "{status}");
        let entries = gate.store.read_feed(None, 1_000).await.unwrap().entries;
        let expected = match status {
            "suspended" => "session_suspended",
            "active" => "session_resumed",
            _ => "session_ended",
        };
        let kind =
            |entry: &session_gate_protocol::FeedEntry| serde_json::to_value(&entry.change).unwrap()["kind"].clone();
        assert_eq!(kind(&entries[entries.len() - 2]), expected, "the last word on its status");
    }
}

/// The feed may have them in the other order than the store: then the versions say so.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_overtaken_has_the_lesser_version() {
    let (gate, faults) = faulty(None);
    let path = create(&gate, json!(["read", "write"])).await;
    let (router, overtaking) = (gate.router.clone(), path.clone());
    faults.interrupt("append_feed", async move {
        let request = Request::patch(&overtaking).header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"scopes":[]}"#)).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::OK);
    });
    gate.patch(&path, json!({"scopes": ["read"]})).await;
    assert_eq!(gate.get(&path).await.json()["scopes"], json!([]));
    let told = told(&gate).await;
    assert_eq!(told[..], [(3, Some(String::new())), (2, Some("read".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_told_of_scopes_the_call_fails_and_may_be_repeated() {
    let (gate, faults) = faulty(None);
    let path = create(&gate, json!(["read", "write"])).await;
    faults.fail(Some("append_feed"));
    let failed = gate.patch(&path, json!({"scopes": ["read"]})).await;
    assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]));
    faults.fail(None);
    assert_eq!(gate.patch(&path, json!({"scopes": ["read"]})).await.status, StatusCode::OK);
    assert_eq!(told(&gate).await, [(3, Some("read".to_owned()))]);
}

/// The store has changed the session, and nobody was told: workers go on with what it permitted before.
#[tokio::test(start_paused = true)]
async fn a_repeated_change_of_scopes_is_told_though_the_store_has_another_version_by_now() {
    for patch in [json!({"scopes": ["read"]}), json!({"scopes": ["read"], "status": "suspended"})] {
        let (gate, faults) = faulty(None);
        let path = create(&gate, json!(["read", "write"])).await;
        let change = async || {
            let request = Request::patch(&path).header("content-type", "application/json").header("if-match", "\"1\"");
            gate.send(request.body(Body::from(patch.to_string())).unwrap()).await.problem()
        };
        // From then on: that a session is as good as suspended is told before.
        let failing = Arc::clone(&faults);
        faults.interrupt("update_session", async move { failing.fail(Some("append_feed")) });
        assert_eq!(change().await, problem(503, "store_unavailable", &[]));
        assert_eq!(gate.get(&path).await.json()["scopes"], json!(["read"]), "the store has it");
        assert_eq!(change().await, problem(503, "store_unavailable", &[]), "nobody can be told yet");
        assert_eq!(told(&gate).await, []);
        faults.fail(None);
        for _ in 0..3 {
            assert_eq!(change().await, problem(412, "version_mismatch", &[]));
            assert_eq!(told(&gate).await, [(2, Some("read".to_owned()))], "once");
            gate.settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_scopes_whose_answer_is_lost_is_told() {
    let (gate, faults) = faulty(None);
    let path = create(&gate, json!(["read", "write"])).await;
    faults.lose_answer("update_session");
    let failed = gate.patch(&path, json!({"scopes": ["read"]})).await;
    assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]));
    assert_eq!(told(&gate).await, [(2, Some("read".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_scopes_is_named() {
    let gate = Gate::new();
    let path = create(&gate, Value::Null).await;
    let many: Vec<String> = (0..300).map(|number| format!("scope-{number}")).collect();
    for (scopes, field) in [(json!(["a b"]), "scopes[0]"), (json!("read"), "scopes"), (json!(many), "scopes")] {
        let created = gate.post("/v1/sessions", json!({"user_id": "a", "scopes": scopes})).await;
        assert_eq!(created.problem(), problem(400, "invalid_request", &[field]), "{scopes}");
        let patched = gate.patch(&path, json!({"scopes": scopes})).await;
        assert_eq!(patched.problem(), problem(400, "invalid_request", &[field]), "{scopes}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_say_where_their_session_began_without_saying_it() {
    let gate = Gate::new();
    let minted = async |session: Value| {
        let session = gate.post("/v1/sessions", session).await.json();
        let token = gate.post("/v1/tokens", json!({"session_id": session["session_id"]})).await.json();
        let verified = gate.keys.get().verify(token["token"].as_str().unwrap(), "session-gate", "api").unwrap();
        let claims = verified.claims().clone();
        (claims.sid.unwrap(), claims.ip_hash, claims.ua_hash)
    };
    let (id, ip, ua) = minted(json!({"user_id": "a", "ip_address": "192.0.2.7", "user_agent": "curl"})).await;
    assert_eq!(ip, Some(Claims::bound_to(&id, "ip", "192.0.2.0/24")));
    assert_eq!(ua, Some(Claims::bound_to(&id, "ua", "curl")));
    let (id, ip, ua) = minted(json!({"user_id": "a", "ip_address": "2001:db8:1:2:3::4"})).await;
    assert_eq!((ip, ua), (Some(Claims::bound_to(&id, "ip", "2001:db8:1:2::/64")), None));
    let (_, ip, ua) = minted(json!({"user_id": "a"})).await;
    assert_eq!((ip, ua), (None, None));
}
