//! What the sidecar publishes with its keys is in force.

use serde_json::{Value, json};
use session_gate_jose::NoHostCrypto;

use session_gate_protocol::UnixSeconds;

use super::*;
use crate::testing::{CLOCKS, NOW, at, config, due, give, jwk, new_worker, request, step};

#[test]
fn https_is_required_where_the_sidecar_says_so_and_no_configuration_says_otherwise() {
    let mut document = config();
    document["routes"].as_array_mut().unwrap().push(
        json!({"name": "plain", "match": {"path": {"exact": "/plain"}}, "authentication": "public", "require_https": false}),
    );
    let keys = |policy: Value| {
        let mut body = json!({"keys": [jwk(1, "k1")]});
        if !policy.is_null() {
            body["policy"] = policy;
        }
        CallReply { status: Some(200), body: body.to_string().into_bytes() }
    };
    let refuses = |worker: &mut Worker, path: &str| {
        let by_http = request("GET", path, &[("x-forwarded-proto", "http")]);
        let outcome = step(worker, 1, Event::Request(by_http));
        worker.forget(1, CLOCKS);
        outcome.code().as_deref() == Some("https_required")
    };
    let publish = |worker: &mut Worker, policy: Value, now: UnixSeconds| {
        assert!(due(worker, Callout::Keys, at(now)).is_some(), "the keys are fetched");
        worker.on_reply_to(Callout::Keys, &keys(policy), at(now), &NoHostCrypto);
    };
    let mut worker = new_worker(document.clone());
    assert!(!refuses(&mut worker, "/public"), "nothing is published yet");
    let mut now = NOW;
    for (policy, expected) in [
        (Value::Null, false),
        (json!({"require_https": true, "min_password_length": 12, "of_a_later_version": {}}), true),
        (json!({"require_https": "yes"}), true),
        (json!({"require_https": false}), false),
        (json!({"require_https": true}), true),
        (json!({}), false),
    ] {
        publish(&mut worker, policy.clone(), now);
        now = now.after(Duration::from_secs(3600));
        assert_eq!(refuses(&mut worker, "/public"), expected, "{policy}");
        assert!(!refuses(&mut worker, "/plain"), "{policy}");
    }
    document["require_https"] = json!(false);
    let mut worker = new_worker(document);
    publish(&mut worker, json!({"require_https": true}), NOW);
    assert!(!refuses(&mut worker, "/public"), "the configuration says otherwise");
}

#[test]
fn what_the_sidecar_publishes_holds_where_no_issuer_takes_its_keys_from_it() {
    let mut worker = new_worker(json!({
        "sidecar": {"cluster": "sidecar"},
        "issuers": [{"issuer": "idp", "audiences": ["app"], "jwks": {"inline": {"keys": [jwk(4, "idp-1")]}}}],
    }));
    assert!(due(&mut worker, Callout::Keys, at(NOW)).is_some());
    let body = json!({"keys": [jwk(1, "k1")], "policy": {"require_https": true}}).to_string().into_bytes();
    give(&mut worker, Callout::Keys, &CallReply { status: Some(200), body }, at(NOW));
    let by_http = request("GET", "/", &[("x-forwarded-proto", "http")]);
    assert_eq!(step(&mut worker, 1, Event::Request(by_http)).code().as_deref(), Some("https_required"));
}
