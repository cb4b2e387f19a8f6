//! What a request costs whose headers are as long as Envoy lets them be and made to be dear: no more than one with a
//! forged token. In allocations, counted: whatever is done for each value of a long list shows here.

use std::time::Duration;

use serde_json::json;
use session_gate_jose::{
    NoHostCrypto,
    testing::{jwk, sign},
};
use session_gate_policy::{
    config::Config,
    http::headers::Headers,
    request::{Effect, Event},
    time::Now,
    vm::Vm,
    worker::Worker,
};
use session_gate_protocol::UnixSeconds;

const NOW: Now = Now { wall: UnixSeconds(1_800_000_000), monotonic: Duration::from_secs(100) };
/// Beside the other headers it fits into what Envoy takes by default: 60 KiB.
const HOSTILE_BYTES: usize = 55 * 1024;

fn worker() -> Option<Worker> {
    let config = json!({
        "issuers": [{"issuer": "issuer", "audiences": ["api"], "jwks": {"inline": {"keys": [jwk(1, "k1")]}}}],
        "routes": [
            {"name": "admin", "match": {"hosts": ["*.admin.example"], "methods": ["DELETE"], "path": {"prefix": "/admin"}}},
            {"name": "orders", "match": {"path": {"template": "/orders/{id}"}}, "token_query_parameter": "token"},
        ],
    });
    Some(Worker::new(Config::from_json(config.to_string().as_bytes()).ok()?, "worker", &mut Vm::default()))
}

/// Checking a signature costs more time than that many allocations.
const SIGNATURE: u64 = 64;

/// The allocations of one request, which must be refused.
fn allocations(headers: &[(&str, String)]) -> Option<u64> {
    let mut worker = worker()?;
    let base = [(":method", "POST"), (":authority", "app.example"), (":path", "/orders/7"), (":scheme", "https")];
    let base = base.into_iter().filter(|(name, _)| headers.iter().all(|(given, _)| given != name));
    let base = base.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request: Headers =
        base.chain(headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))).collect();
    let counted = allocation_counter::measure(|| {
        let effects = worker.on_request(1, Event::Request(request), NOW, &NoHostCrypto);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply(_))), "{effects:?}");
    });
    Some(counted.count_total)
}

fn forged() -> String {
    let claims = json!({"iss": "issuer", "sub": "alice", "aud": "api", "exp": NOW.wall.0 + 60, "scope": "read write"});
    sign(2, &json!({"alg": "ES256", "kid": "k1"}), &claims)
}

fn filled(with: &str) -> String {
    with.repeat(HOSTILE_BYTES / with.len())
}

#[test]
fn a_hostile_request_costs_no_more_than_a_forged_token() {
    let forged = allocations(&[("authorization", format!("Bearer {}", forged()))]).unwrap();
    let mut dear = Vec::new();
    for (name, with) in [
        ("x-forwarded-host", "a,"),
        ("x-forwarded-host", ","),
        ("x-forwarded-host", "app.example,"),
        ("x-original-host", "app.example, "),
        ("forwarded", "host=a;"),
        ("forwarded", "for=1;"),
        ("forwarded", ";"),
        ("x-http-method-override", "POST,"),
        ("x-http-method-override", ","),
        ("x-method-override", "a "),
        ("x-original-url", "/a"),
        ("x-forwarded-proto", "https,"),
        ("connection", "x-user-id,"),
        ("connection", "a,"),
        ("cookie", "__Host-session-gate=a;"),
        ("cookie", "a=b; "),
        ("authorization", "Bearer "),
        ("user-agent", "\u{e9}"),
        ("accept", "text/html,"),
    ] {
        dear.push((allocations(&[(name, filled(with))]).unwrap(), format!("{name}: {with}")));
    }
    for with in [
        "_method=POST&",
        "_method=%50OST;",
        "_method=+POST&",
        "_method=a,b&",
        "_method[]=&",
        "token=a&",
        "%20",
        "a=&",
        "&",
    ] {
        dear.push((
            allocations(&[(":path", format!("/orders/7?{}", filled(with)))]).unwrap(),
            format!("/orders/7?{with}"),
        ));
    }
    for with in ["a;b/", "%2f", "/", "..;/", "%252e/", "a./"] {
        let path = format!("/{}", with.repeat(8_000 / with.len()));
        dear.push((allocations(&[(":path", path)]).unwrap(), format!("/{with}")));
    }
    let many = (0..80).map(|_| ("x-forwarded-host", "a,".repeat(350))).collect::<Vec<_>>();
    dear.push((allocations(&many).unwrap(), "eighty lines of x-forwarded-host".to_owned()));
    dear.retain(|(counted, _)| *counted > forged + SIGNATURE);
    assert!(dear.is_empty(), "a forged token: {forged}, and these: {dear:?}");
}
