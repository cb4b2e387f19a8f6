//! What a decision costs once its token is known: allocations, counted. A change that makes it dearer has to change the
//! number here, and so is seen.

use std::time::Duration;

use serde_json::{Value, json};
use session_gate_jose::{
    NoHostCrypto,
    testing::{jwk, sign},
};
use session_gate_policy::{
    config::Config,
    http::headers::Headers,
    ids::{Callout, RequestId},
    request::{Effect, Event},
    sidecar::client::CallReply,
    time::Now,
    vm::Vm,
    worker::Worker,
};
use session_gate_protocol::UnixSeconds;

const NOW: Now = Now { wall: UnixSeconds(1_800_000_000), monotonic: Duration::from_secs(100) };
const SESSION: &str = "K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// The full job: a bearer token of the sidecar's, its session, one leased limit, security headers, limit headers.
fn configuration() -> Value {
    json!({
        "sidecar": {"cluster": "sidecar"},
        "issuers": [{"issuer": "session-gate", "audiences": ["session-gate"], "jwks": "sidecar"}],
        "rate_limits": {"authenticated": {"requests": 1_000_000, "window": "1h"}},
        "default_rule": "deny",
        "routes": [
            {"name": "health", "match": {"path": {"exact": "/healthz"}}, "authentication": "public", "rate_limit": []},
            {"name": "orders", "match": {"path": {"prefix": "/orders"}}, "require_session": true},
        ],
    })
}

fn token() -> String {
    let claims = json!({
        "iss": "session-gate", "sub": "alice", "aud": "session-gate", "jti": "t1", "sid": SESSION, "gen": 1,
        "iat": NOW.wall.0, "exp": NOW.wall.0 + 3600, "session_exp": NOW.wall.0 + 86_400, "scope": "read write",
    });
    sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims)
}

fn ok(body: &Value) -> CallReply {
    CallReply { status: Some(200), body: body.to_string().into_bytes() }
}

/// A worker that knows its keys and the feed.
fn worker() -> Option<Worker> {
    let config = Config::from_json(configuration().to_string().as_bytes()).ok()?;
    let mut worker = Worker::new(config, "worker", &mut Vm::default());
    for (callout, _) in worker.due(NOW) {
        let reply = match callout {
            Callout::Keys => ok(&json!({"keys": [jwk(1, "k1")]})),
            Callout::Feed(_) => ok(&json!({
                "epoch": {"id": "e1", "since": NOW.wall.0 - 100}, "cursor": "1-0", "age_ms": 0, "more": false,
                "entries": [], "ended": "",
            })),
            _ => CallReply::failed(),
        };
        worker.on_reply_to(callout, &reply, NOW, &NoHostCrypto);
    }
    Some(worker)
}

fn request(path: &str, token: Option<&str>) -> Headers {
    let bearer = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}")));
    let ordinary = [
        (":authority", "app.example"),
        (":method", "GET"),
        (":path", path),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
        ("cache-control", "no-cache"),
        ("dnt", "1"),
        ("origin", "https://app.example"),
        ("referer", "https://app.example/"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
        ("user-agent", "Mozilla/5.0"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "4f5c"),
    ];
    ordinary.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(bearer).collect()
}

fn answer() -> Headers {
    [
        (":status", "200"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("date", "x"),
        ("server", "envoy"),
        ("x-envoy-upstream-service-time", "1"),
    ]
    .into_iter()
    .collect()
}

/// Serves a request, and grants whatever it asks for.
fn serve(worker: &mut Worker, id: RequestId, request: Headers) {
    let mut effects = worker.on_request(id, Event::Request(request), NOW, &NoHostCrypto);
    let lease = json!({"lease": {
        "granted": 100_000, "lifetime_ms": 10_000, "outstanding": 0, "retry_ms": 0, "again_ms": 0,
        "quotas": [{"remaining": 900_000, "reset_ms": 1_000}],
    }});
    while let Some(Effect::Call(callout, _)) = effects.iter().find(|effect| matches!(effect, Effect::Call(..))) {
        let reply = ok(&json!({"workers": 1, "grants": [lease]}));
        let outcome = worker.on_reply_to(*callout, &reply, NOW, &NoHostCrypto);
        effects = outcome.requests.into_iter().flat_map(|(_, effects)| effects).collect();
    }
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Forward(..))), "{effects:?}");
}

/// Allocations of one request from its headers to its end, after it was served a few times.
fn allocations(path: &str, token: Option<&str>) -> Option<u64> {
    let mut worker = worker()?;
    for id in 1..4 {
        serve(&mut worker, id, request(path, token));
        worker.on_request(id, Event::Answer(answer()), NOW, &NoHostCrypto);
        worker.forget(id, NOW);
    }
    let (request, answer) = (request(path, token), answer());
    let counted = allocation_counter::measure(|| {
        let effects = worker.on_request(9, Event::Request(request), NOW, &NoHostCrypto);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Forward(..))));
        worker.on_request(9, Event::Answer(answer), NOW, &NoHostCrypto);
        worker.forget(9, NOW);
    });
    Some(counted.count_total)
}

#[test]
fn a_warm_request_allocates_no_more_than_it_did() {
    let counted = allocations("/orders/7", Some(&token())).unwrap();
    assert!(counted <= 85, "{counted}");
}

#[test]
fn a_public_request_allocates_no_more_than_it_did() {
    let counted = allocations("/healthz", None).unwrap();
    assert!(counted <= 29, "{counted}");
}
