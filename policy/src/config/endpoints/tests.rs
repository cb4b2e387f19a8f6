use serde_json::{Value, json};

use crate::{
    config::Config,
    http::{
        headers::Headers,
        interpretations::RequestInterpretations,
        upstream_interpretations::{Interpretation, UpstreamInterpretations},
    },
    routing::Endpoint,
    testing::config,
};

fn with(endpoints: Value) -> Value {
    let mut document = config();
    document["endpoints"] = endpoints;
    document
}

fn problems(document: Value) -> Vec<String> {
    let problems = Config::from_value(document).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn what_cannot_work_is_refused() {
    for good in [json!({"session": {}}), json!({"token": {}}), json!({"session": {}, "token": {"rate_limit": []}})] {
        assert_eq!(problems(with(good)), [""; 0]);
    }
    assert_eq!(problems(with(json!({}))), ["endpoints"]);
    assert_eq!(problems(with(json!({"devices": {}}))), ["endpoints.devices"]);
    assert_eq!(problems(with(json!({"token": {"rate_limit": ["none"]}}))), ["endpoints.token.rate_limit[0]"]);
    let cors = json!({"session": {"cors": {"allow_origins": ["app.example"]}}});
    assert_eq!(problems(with(cors)), ["endpoints.session.cors.allow_origins[0]"]);
    let mut alone = with(json!({"token": {}}));
    alone.as_object_mut().unwrap().remove("sidecar");
    alone["issuers"] = json!([]);
    alone["routes"] = json!([{"name": "all", "authentication": "public"}]);
    alone["default_rule"] = json!("deny");
    assert_eq!(problems(alone), ["sidecar"]);
    let mut foreign = with(json!({"session": {}}));
    foreign["issuers"][0]["revocation"] = json!("feed");
    assert_eq!(problems(foreign), ["endpoints.session"]);
}

#[test]
fn a_rule_of_the_applications_below_the_prefix_is_warned_of() {
    let mut document = with(json!({"session": {}}));
    document["routes"][0]["match"] = json!({"path": {"exact": "/.session-gate/devices"}});
    let warnings = Config::from_value(document).unwrap();
    let paths: Vec<&str> = warnings.warnings().iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["routes[0]", "default_rule"]);
}

/// The endpoint that a request meets; none: it is refused, or meets a rule of the application's.
fn met(config: &Config, method: &str, path: &str) -> Option<Endpoint> {
    let request: Headers = [(":method", method), (":path", path), (":authority", "app.example")].into_iter().collect();
    let read = RequestInterpretations::of(&request, config.interpretations).ok()?;
    config.routes.find(&read).ok()?.policy.endpoint
}

#[test]
fn an_endpoint_is_met_by_its_path_and_method_whatever_upstreams_read() {
    let mut document = with(json!({"session": {}, "token": {}}));
    // As much as can be on: each reading must meet the same rule.
    document["upstream_interpretations"] = json!({"format_suffixes": true, "forwarded_path_headers": true});
    let config = Config::from_value(document).unwrap();
    assert_eq!(met(&config, "GET", "/.session-gate/session"), Some(Endpoint::Session));
    assert_eq!(met(&config, "HEAD", "/.session-gate/session?x=1"), Some(Endpoint::Session));
    assert_eq!(met(&config, "POST", "/.session-gate/token"), Some(Endpoint::Token));
    for (method, path) in [
        ("POST", "/.session-gate/session"),
        ("GET", "/.session-gate/token"),
        ("GET", "/.session-gate"),
        ("GET", "/.session-gate/"),
        ("GET", "/.session-gate/v1/keys"),
        ("GET", "/.session-gate/session/x"),
        ("GET", "/.session-gate/../admin"),
        ("GET", "/.session-gate/session/../../admin"),
        ("GET", "/.Session-Gate/session"),
        ("GET", "/x/../.session-gate/session"),
        ("GET", "/.session-gate/session;x=1"),
        ("GET", "/.session-gate//session"),
        ("GET", "/.session-gate/session%2f"),
        ("GET", "/.session-gate/session.json"),
        ("GET", "/.session-gate/session?_method=POST"),
        ("GET", "/.session-gatex/session"),
    ] {
        assert_eq!(met(&config, method, path), None, "{method} {path}");
    }
}

#[test]
fn what_means_the_same_encoded_meets_it_too() {
    let config = Config::from_value(with(json!({"session": {}}))).unwrap();
    for path in ["/%2esession-gate/session", "/.session-gate/%73ession", "/.session-gate/session/"] {
        assert_eq!(met(&config, "GET", path), Some(Endpoint::Session), "{path}");
    }
    assert!(UpstreamInterpretations::default().has(Interpretation::CaseInsensitivePaths));
}
