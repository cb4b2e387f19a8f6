//! The gate's own endpoints.

use serde_json::{Value, json};
use session_gate_jose::{HostCrypto, HostSignature};
use session_gate_protocol::CheckVerdict;

use crate::{
    host::RequestAttributes,
    http::headers::HeaderChange,
    ids::RequestId,
    request::Event,
    testing::{CLOCKS, Outcome, bearer, config, request, token, verdict, worker_with},
    worker::Worker,
};

/// An Envoy whose route leads to that cluster.
struct Routed(&'static str);

impl HostCrypto for Routed {
    fn verify(&self, _job: &HostSignature<'_>) -> Option<bool> {
        None
    }
}

impl RequestAttributes for Routed {
    fn address(&self, _request: RequestId) -> Option<std::net::IpAddr> {
        None
    }

    fn cluster(&self, _request: RequestId) -> Option<Vec<u8>> {
        Some(self.0.as_bytes().to_vec()).filter(|name| !name.is_empty())
    }
}

const TO_SIDECAR: Routed = Routed("sidecar");
const SESSION: &str = "/.session-gate/session";
const TOKEN: &str = "/.session-gate/token";

fn with_endpoints() -> Value {
    let mut document = config();
    let cors = json!({"allow_origins": ["https://spa.example"], "allow_credentials": true});
    document["endpoints"] = json!({"session": {"cors": cors}, "token": {}});
    document
}

fn worker() -> Worker {
    worker_with(with_endpoints())
}

fn send(worker: &mut Worker, host: &Routed, method: &str, path: &str, headers: &[(&str, &str)]) -> Outcome {
    worker.forget(1, CLOCKS);
    worker.on_request(1, Event::Request(request(method, path, headers)), CLOCKS, host).into()
}

/// A request that is let pass once the sidecar has said that its session lives.
fn served(worker: &mut Worker, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<HeaderChange> {
    let mut outcome = send(worker, &TO_SIDECAR, method, path, headers);
    if outcome.call.is_some() {
        outcome = worker.on_request(1, verdict(CheckVerdict::SessionPending2fa), CLOCKS, &TO_SIDECAR).into();
    }
    outcome.forwarded.expect("it is let pass")
}

fn last<'a>(changes: &'a [HeaderChange], name: &str) -> Option<&'a HeaderChange> {
    changes.iter().rev().find(|change| match change {
        HeaderChange::Add(changed, _) | HeaderChange::Remove(changed) | HeaderChange::Set(changed, _) => {
            changed == name
        }
    })
}

#[test]
fn the_sidecar_is_shown_the_token_however_it_came_and_nothing_else_of_the_callers() {
    let token = token();
    let cookie = format!("theme=dark; __Host-session-gate={token}");
    let (name, authorization) = bearer(&token);
    let by_cookie = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    for headers in [&by_cookie[..], &[(name, authorization.as_str()), ("cookie", "theme=dark")]] {
        let mut worker = worker();
        let changes = served(&mut worker, "GET", SESSION, headers);
        let expected = HeaderChange::set("authorization", authorization.as_str());
        assert_eq!(last(&changes, "authorization"), Some(&expected));
        assert_eq!(last(&changes, "cookie"), Some(&HeaderChange::Remove("cookie".to_owned())));
    }
}

#[test]
fn a_token_request_takes_no_credential_along() {
    let mut worker = worker();
    let dead = [("cookie", "__Host-session-gate=dead"), ("authorization", "Bearer the-credential-of-somebody")];
    let changes = served(&mut worker, "POST", TOKEN, &dead);
    for name in ["authorization", "cookie"] {
        assert_eq!(last(&changes, name), Some(&HeaderChange::Remove(name.to_owned())));
    }
    assert_eq!(last(&changes, "x-user-id"), None);
}

#[test]
fn nothing_goes_anywhere_but_to_the_sidecar() {
    let token = token();
    let (name, authorization) = bearer(&token);
    for host in [Routed("app"), Routed("")] {
        let mut worker = worker();
        let session = send(&mut worker, &host, "GET", SESSION, &[(name, authorization.as_str())]);
        assert_eq!(session.code().as_deref(), Some("endpoint_unrouted"));
        let token = send(&mut worker, &host, "POST", TOKEN, &[]);
        assert_eq!(token.code().as_deref(), Some("endpoint_unrouted"));
    }
}

#[test]
fn without_a_login_it_is_401_and_all_else_below_the_prefix_is_404() {
    let mut worker = worker();
    let missing = send(&mut worker, &TO_SIDECAR, "GET", SESSION, &[]);
    assert_eq!((missing.reply.as_ref().unwrap().status, missing.code().as_deref()), (401, Some("credential_missing")));
    let (name, authorization) = bearer(&token());
    for (method, path) in
        [("GET", "/.session-gate/devices"), ("POST", SESSION), ("GET", TOKEN), ("GET", "/.session-gate/v1/keys")]
    {
        let other = send(&mut worker, &TO_SIDECAR, method, path, &[(name, authorization.as_str())]);
        assert_eq!(other.code().as_deref(), Some("no_rule"), "{method} {path}");
    }
    // Off: as without the section.
    let mut off = with_endpoints();
    off["endpoints"].as_object_mut().unwrap().remove("token");
    let token = send(&mut worker_with(off), &TO_SIDECAR, "POST", TOKEN, &[]);
    assert_eq!(token.code().as_deref(), Some("no_rule"));
}

#[test]
fn a_page_of_an_allowed_origin_may_read_the_answer() {
    let token = token();
    let (name, authorization) = bearer(&token);
    let answered = |origin: &str| {
        let mut worker = worker();
        served(&mut worker, "GET", SESSION, &[(name, authorization.as_str()), ("origin", origin)]);
        let answer = [(":status", "200"), ("cache-control", "no-store")].into_iter().collect();
        let outcome: Outcome = worker.on_request(1, Event::Answer(answer), CLOCKS, &TO_SIDECAR).into();
        outcome.answer.unwrap()
    };
    let allowed = answered("https://spa.example");
    let expected = HeaderChange::set("access-control-allow-origin", "https://spa.example");
    assert_eq!(last(&allowed, "access-control-allow-origin"), Some(&expected));
    assert!(allowed.contains(&HeaderChange::add("vary", "Origin")));
    assert_eq!(last(&answered("https://evil.example"), "access-control-allow-origin"), None);
}
