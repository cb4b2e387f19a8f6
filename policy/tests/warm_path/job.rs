//! The job whose cost is counted, here in allocations and in `tests/tests/instructions/` in instructions: a bearer token
//! of the sidecar's, its session, one leased limit, security headers, limit headers.

use serde_json::{Value, json};
use session_gate_jose::testing::{jwk, sign};

/// When it is, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

const SESSION: &str = "K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// The filter's configuration.
pub fn configuration() -> Value {
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

/// A token of alice's, the same each time.
pub fn token() -> String {
    let claims = json!({
        "iss": "session-gate", "sub": "alice", "aud": "session-gate", "jti": "t1", "sid": SESSION, "gen": 1,
        "iat": NOW, "exp": NOW + 3600, "session_exp": NOW + 86_400, "scope": "read write",
    });
    sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims)
}

/// The sidecar's reply about its keys.
pub fn keys() -> Value {
    json!({"keys": [jwk(1, "k1")]})
}

/// The sidecar's reply about what has changed: nothing.
pub fn feed() -> Value {
    json!({
        "epoch": {"id": "e1", "since": NOW - 100}, "cursor": "1-0", "age_ms": 0, "more": false, "entries": [],
        "ended": "",
    })
}

/// The sidecar's reply to a question for leases: far more than the requests need.
pub fn leases() -> Value {
    let lease = json!({"lease": {
        "granted": 100_000, "lifetime_ms": 10_000, "outstanding": 0, "retry_ms": 0, "again_ms": 0,
        "quotas": [{"remaining": 900_000, "reset_ms": 1_000}],
    }});
    json!({"workers": 1, "grants": [lease]})
}

/// The headers of a browser's request.
pub fn request(path: &str, token: Option<&str>) -> Vec<(String, String)> {
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

/// The headers of an upstream's response.
pub fn response() -> Vec<(String, String)> {
    [
        (":status", "200"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("date", "x"),
        ("server", "envoy"),
        ("x-envoy-upstream-service-time", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
