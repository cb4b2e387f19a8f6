use std::{path::Path, sync::atomic::Ordering};

use serde_json::json;

use super::*;
use crate::{
    golden::{assert_golden, assert_golden_part},
    metrics::Described,
};

#[tokio::test]
async fn it_says_how_it_is() {
    let gate = Gate::new();
    assert_eq!(gate.get("/healthz").await.text, r#"{"status":"healthy"}"#);
    let ready = gate.get("/readyz").await;
    assert_eq!((ready.status, ready.json()), (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "starting"})));
    gate.get("/v1/feed?worker=w&max_staleness_ms=1000").await;
    let ready = gate.get("/readyz").await;
    assert_eq!((ready.status, ready.json()), (StatusCode::OK, json!({"status": "ready"})));
    let mut verbose = gate.get("/readyz?verbose").await.json();
    assert!(verbose["store"]["looked_ms"].take().is_u64() && verbose["feed"]["age_ms"].take().is_u64());
    let store = json!({"state": "ok", "backend": "memory", "looked_ms": null});
    let feed = json!({"age_ms": null, "workers": 1, "registers": true});
    assert_eq!(verbose, json!({"status": "ready", "store": store, "feed": feed}));
    assert_eq!(gate.get("/readyz?probe=1&probe=2").await.status, StatusCode::OK, "whatever a prober sends");
    let policy = gate.get("/v1/policy").await.json();
    assert_eq!(policy["min_password_length"], 12);
}

/// All replicas share it, and go on with what they can do without it.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_no_replica_unready_that_has_read_the_feed() {
    let (gate, faults) = faulty(None);
    let fresh = gate.get("/readyz").await;
    assert_eq!((fresh.status, fresh.json()), (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "starting"})));
    gate.get("/v1/feed?worker=w&max_staleness_ms=1000").await;
    faults.hangs.store(true, Ordering::Relaxed);
    faults.fail(Some("health"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(gate.get("/readyz").await.status, StatusCode::OK);
    for path in ["/.well-known/jwks.json", "/v1/keys", "/v1/policy"] {
        assert_eq!(gate.get(path).await.status, StatusCode::OK, "{path}");
    }
    let verbose = gate.get("/readyz?verbose").await.json();
    assert_eq!(verbose["store"]["state"], "unavailable");
    assert!(verbose["feed"]["age_ms"].as_u64() >= Some(20_000), "{verbose}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_unfit_or_a_process_that_stops_makes_it_unready() {
    let gate = Gate::broken(StoreErrorKind::Unfit);
    let api = Arc::clone(&gate.api);
    tokio::spawn(async move { api.service.watch_store().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let unready = async |gate: &Gate, why: &str| {
        let answer = gate.get("/readyz").await;
        assert_eq!((answer.status, answer.json()), (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": why })));
    };
    unready(&gate, "store_unfit").await;
    let gate = Gate::new();
    gate.get("/v1/feed?worker=w&max_staleness_ms=1000").await;
    assert!(!gate.get("/healthz").await.headers.contains_key(header::CONNECTION));
    gate.api.service.stop();
    unready(&gate, "stopping").await;
    let answer = gate.get("/healthz").await;
    assert_eq!((answer.status, answer.headers[header::CONNECTION].as_bytes()), (StatusCode::OK, &b"close"[..]));
}

/// No probe costs the store anything.
#[tokio::test(start_paused = true)]
async fn the_store_is_looked_at_in_the_background() {
    let (gate, faults) = faulty(None);
    let api = Arc::clone(&gate.api);
    tokio::spawn(async move { api.service.watch_store().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    faults.asked();
    for _ in 0..10 {
        gate.get("/readyz?verbose").await;
        gate.get("/metrics").await;
    }
    assert_eq!(faults.asked(), Vec::<&str>::new());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(faults.asked(), ["health", "health"]);
}

/// It reads the feed no more, and nothing else would say so.
#[tokio::test(start_paused = true)]
async fn a_process_whose_reading_is_stuck_is_not_alive() {
    let (gate, faults) = faulty(None);
    tokio::time::sleep(Duration::from_millis(100)).await;
    faults.hangs.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let answer = gate.get("/healthz").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "stuck"})));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_said_to_be_on_every_path_that_needs_it() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Timeout] {
        let gate = Gate::broken(kind);
        let id = UNKNOWN_SESSION.rsplit('/').next().unwrap();
        let token = ring().mint(&claims()).unwrap();
        for answer in [
            gate.post("/v1/sessions", json!({"user_id": "a"})).await,
            gate.get(UNKNOWN_SESSION).await,
            gate.patch(UNKNOWN_SESSION, json!({})).await,
            gate.delete(UNKNOWN_SESSION).await,
            gate.get("/v1/users/a/sessions").await,
            gate.delete("/v1/users/a/sessions").await,
            gate.post("/v1/tokens", json!({"session_id": id})).await,
            gate.form("/v1/tokens/introspect", format!("token={token}")).await,
            gate.form("/v1/tokens/revoke", format!("token={token}")).await,
            gate.post("/v1/login", json!({"user_id": "a"})).await,
            gate.post("/v1/logout", json!({"session_id": id})).await,
            gate.post("/v1/logout", json!({"token": token})).await,
            gate.check(&json!({"user_id": "a", "token_id": "t"})).await,
            gate.post("/v1/check", json!({"credential": {"kind": "opaque", "token": opaque()}})).await,
            gate.post("/v1/check", json!({"credential": {"kind": "foreign", "claims": {}, "require_session": false}}))
                .await,
            gate.post("/v1/tokens", json!({"user_id": "a", "opaque": true})).await,
            gate.form("/v1/tokens/introspect", format!("token={}", opaque())).await,
            gate.form("/v1/tokens/revoke", format!("token={}", opaque())).await,
            gate.post("/v1/logout", json!({"token": opaque()})).await,
            gate.post("/v1/blocks", json!({"user_id": "a"})).await,
            gate.get("/v1/blocks").await,
            gate.delete("/v1/blocks/AAAAAAAAAAAAAAAA").await,
            gate.post("/v1/revocations", json!({"iss": "i", "jti": "t", "duration": 1})).await,
            gate.delete("/v1/revocations/AAAAAAAAAAAAAAAA").await,
            gate.post("/v1/activity", json!({"sessions": [id]})).await,
            gate.get("/v1/feed?worker=w&max_staleness_ms=1000").await,
            gate.get("/v1/revocations").await,
            gate.get("/v1/workers").await,
        ] {
            assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]));
            assert_eq!(answer.header("retry-after"), "1");
            assert!(!answer.text.contains("what only the log may know"));
        }
        assert_eq!(gate.get("/healthz").await.status, StatusCode::OK, "the process lives");
        let metrics = gate.get("/metrics").await.text;
        assert!(metrics.contains("session_gate_store_up 0\n"), "{metrics}");
        assert!(metrics.contains("session_gate_feed_age_seconds inf\n"), "{metrics}");
        assert!(!metrics.contains("NaN") && !metrics.contains("\nsession_gate_active_sessions "), "{metrics}");
    }
}

#[tokio::test]
async fn a_store_that_is_out_of_order_is_our_own_failure() {
    let answer = Gate::broken(StoreErrorKind::Corrupt).get(UNKNOWN_SESSION).await;
    assert_eq!(answer.problem(), problem(500, "internal", &[]));
    assert!(!answer.text.contains("what only the log may know"));
}

fn opaque() -> String {
    session_gate_protocol::OpaqueToken::new(&"a".parse().unwrap(), &[7; 32]).expose().to_owned()
}

fn claims() -> session_gate_protocol::Claims {
    serde_json::from_value(json!({
        "iss": "session-gate", "sub": "a", "aud": "api", "exp": START.0 + 60, "nbf": START.0, "iat": START.0, "jti": "t",
        "sid": UNKNOWN_SESSION.rsplit('/').next().unwrap(),
    }))
    .unwrap()
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem_too() {
    let gate = Gate::new();
    assert_eq!(gate.get("/").await.problem(), problem(404, "not_found", &[]));
    assert_eq!(gate.get("/v1/login").await.problem(), problem(405, "method_not_allowed", &[]));
    assert_eq!(gate.get("/v1/login").await.header("allow"), "POST");
    assert_eq!(gate.delete("/healthz").await.problem(), problem(405, "method_not_allowed", &[]));
    let off = Gate::with(Setup { no_metrics: true, ..Setup::default() });
    assert_eq!(off.get("/metrics").await.problem(), problem(404, "not_found", &[]));
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let gate = Gate::new();
    let post = async |content_type: &str, body: String| {
        let request = Request::post("/v1/login").header(header::CONTENT_TYPE, content_type);
        gate.send(request.body(Body::from(body)).unwrap()).await
    };
    let good = json!({"user_id": "a"}).to_string();
    for media_type in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(post(media_type, good.clone()).await.status, StatusCode::CREATED, "{media_type}");
    }
    for media_type in ["", "text/plain", "application/jsonp", "application/merge-patch+json"] {
        assert_eq!(post(media_type, good.clone()).await.problem(), problem(415, "unsupported_media_type", &[]));
    }
    let large = json!({"user_id": "a", "metadata": {"x": "y".repeat(MAX_BODY_BYTES)}}).to_string();
    assert_eq!(post("application/json", large).await.problem(), problem(413, "payload_too_large", &[]));
    for bad in ["", "{", "nonsense", "{\"user_id\":\"a\"} x", "{\"user_id\":\"a\",}"] {
        let answer = post("application/json", bad.to_owned()).await;
        assert_eq!(answer.problem(), problem(400, "invalid_request", &[]), "{bad}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("the body is not JSON"), "{bad}");
    }
    let twice = post("application/json", r#"{"user_id":"a","user_id":"b"}"#.to_owned()).await;
    assert_eq!(twice.problem(), problem(400, "invalid_request", &[]));
    assert!(twice.json()["detail"].as_str().unwrap().starts_with("a member is given twice"));
    let many = json!({"user_id": "a", "scopes": vec![1; 10_000]}).to_string();
    assert_eq!(post("application/json", many).await.problem().2.len(), 50, "the work is bounded");
}

#[tokio::test]
async fn requests_have_an_id() {
    let gate = Gate::new();
    let get = async |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id).body(Body::empty()).unwrap();
        gate.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(get("abc-123").await, "abc-123");
    let made = get("no blanks").await;
    assert!(made.len() == 32 && made != get(&"x".repeat(129)).await);
}

#[tokio::test]
async fn keys_are_published_to_those_who_may_have_them() {
    let gate = Gate::new();
    let public = gate.get("/.well-known/jwks.json").await;
    assert_eq!(public.header("content-type"), "application/jwk-set+json");
    assert_eq!(public.header("cache-control"), "public, max-age=300");
    assert_eq!(public.json(), json!({"keys": []}), "never a shared secret");
    let all = gate.get("/v1/keys").await;
    assert_eq!((all.header("cache-control"), &all.json()["keys"][0]["kty"]), ("no-store", &json!("oct")));
    assert_eq!(all.json()["policy"], gate.get("/v1/policy").await.json(), "what is in force comes with them");
    let reply: session_gate_protocol::KeysReply = serde_json::from_str(&all.text).unwrap();
    assert_eq!(reply.policy, Some(policy()));
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keys/testdata/p256.pem");
    let source = KeySource {
        signing: Signing::Files { files: vec![keys], algorithm: None },
        previous_secret: Some(SecretString::from(SECRET)),
    };
    gate.keys.replace(source.load(&SeededRandom::default()).unwrap());
    let public = gate.get("/.well-known/jwks.json").await.json();
    let expected = json!({"keys": [{
        "kty": "EC", "kid": public["keys"][0]["kid"], "alg": "ES256", "use": "sig", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }]});
    assert_eq!(public, expected, "nothing of the private key");
    let all = gate.get("/v1/keys").await.json()["keys"].as_array().unwrap().len();
    assert_eq!(all, 3, "the key, and the secret under its id and its former one");
}

#[tokio::test]
async fn what_happens_is_counted() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    let (other, _) = gate.login("alice").await;
    gate.clock.advance(Duration::from_secs(90));
    gate.is_active(&token).await;
    gate.is_active("nonsense").await;
    gate.check(&json!({"user_id": "a", "token_id": "t"})).await;
    gate.post("/v1/logout", json!({"token": token})).await;
    gate.delete(&path).await;
    gate.delete(&other).await;
    gate.get("/nowhere").await;
    let text = gate.get("/metrics").await.text;
    for line in [
        "session_gate_sessions_created_total 2",
        "session_gate_sessions_terminated_total{reason=\"logout\"} 1",
        "session_gate_sessions_terminated_total{reason=\"deleted\"} 1",
        "session_gate_active_sessions 0.0",
        "session_gate_session_duration_seconds_sum 180.0",
        "session_gate_session_duration_seconds_count 2",
        "session_gate_tokens_issued_total 2",
        "session_gate_tokens_introspected_total{outcome=\"live\"} 1",
        "session_gate_tokens_introspected_total{outcome=\"token_invalid\"} 1",
        "session_gate_tokens_revoked_total 1",
        "session_gate_logins_total 2",
        "session_gate_logouts_total 1",
        "session_gate_checks_total{verdict=\"live\"} 1",
        "session_gate_http_requests_total{route=\"/v1/sessions/{session_id}\",method=\"DELETE\",status=\"204\"} 2",
        "session_gate_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 1",
        "session_gate_store_requests_total{op=\"create_session\",outcome=\"ok\"} 2",
        "session_gate_store_up 1",
        "session_gate_feed_appends_total{kind=\"session_ended\"} 3",
        "session_gate_feed_appends_total{kind=\"token_revoked\"} 1",
        "session_gate_feed_workers 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
    }
}

/// The names, kinds and texts of all metrics are what the documentation says.
#[test]
fn the_documentation_has_every_metric() {
    let metrics = Metrics::default();
    let mut table = String::from("| Metric | Kind | What it is |\n|---|---|---|\n");
    for Described { name, kind, help } in metrics.described() {
        table.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
    }
    assert_golden_part("docs/metrics.md", "sidecar metrics", &table);
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let gate = Gate::new();
    let get = async |accept: &str| {
        gate.send(Request::get("/metrics").header(header::ACCEPT, accept).body(Body::empty()).unwrap()).await
    };
    let open = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let build = format!("session_gate_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(open.text.contains(&build), "{}", open.text);
    assert!(open.text.ends_with("# EOF\n") && open.text.contains("# TYPE session_gate_logins counter\n"));
    let text = gate.get("/metrics").await;
    assert!(text.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(!text.text.contains("# EOF") && text.text.contains("# TYPE session_gate_logins_total counter\n"));
}

#[tokio::test]
async fn the_openapi_document_is_the_published_one() {
    assert_golden("docs/openapi.json", &openapi());
    assert_eq!(Gate::new().get("/openapi.json").await.text, openapi());
}
