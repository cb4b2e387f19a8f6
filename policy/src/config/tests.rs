use serde_json::json;

use super::*;
use crate::{http::interpretations::RequestInterpretations, testing::config};

fn problems(document: Value) -> Vec<String> {
    let mut problems: Vec<String> =
        Config::from_value(document).err().unwrap_or_default().into_iter().map(|problem| problem.path).collect();
    problems.sort();
    problems
}

#[test]
fn a_right_configuration_is_read() {
    assert_eq!(problems(config()), Vec::<String>::new());
    assert_eq!(problems(json!({"routes": [{"name": "all", "authentication": "public"}]})), Vec::<String>::new());
}

#[test]
fn every_wrong_field_is_named_with_its_path() {
    let mut document = config();
    document["sidecar"]["timeout"] = json!("soon");
    document["issuers"][0]["leeway"] = json!("1h");
    document["issuers"][0]["algorithms"] = json!(["none"]);
    document["routes"][2]["scopes"] = json!({"all": ["read", "re ad"]});
    document["routes"][3]["match"]["path"] = json!({"exact": "/a", "prefix": "/b"});
    document["routes"][4]["failure_mode"] = json!("open");
    document["routes"][5]["name"] = json!("public");
    document["routes"][6]["match"]["methods"] = json!(["get"]);
    document["routes"][7]["cors"]["allow_origins"] = json!(["app.example"]);
    document["security_headers"] = json!({"x_frame_options": "DENY\r\nx: y", "referrer_policy": true});
    document["limits"] = json!({"max_token_bytes": 7, "cache_entries": -1});
    document["colour"] = json!("blue");
    assert_eq!(
        problems(document),
        [
            "colour",
            "issuers[0].algorithms[0]",
            "issuers[0].leeway",
            "limits.cache_entries",
            "limits.max_token_bytes",
            "routes[2].scopes.all[1]",
            "routes[3].match.path",
            "routes[4].failure_mode",
            "routes[5].name",
            "routes[6].match.methods[0]",
            "routes[7].cors.allow_origins[0]",
            "security_headers.referrer_policy",
            "security_headers.x_frame_options",
            "sidecar.timeout",
        ]
    );
}

#[test]
fn what_is_required_is_missed() {
    assert_eq!(problems(json!({})), ["issuers"]);
    let issuer = json!({"issuers": [{}]});
    assert_eq!(problems(issuer), ["issuers[0].issuer", "issuers[0].jwks"]);
    assert_eq!(problems(json!({"issuers": [{"issuer": "a", "jwks": "sidecar"}]})), ["sidecar"]);
    assert_eq!(
        problems(json!({"sidecar": {}, "routes": [{"authentication": "public"}]})),
        ["routes[0].name", "sidecar.cluster"]
    );
}

#[test]
fn inline_keys_are_judged_one_by_one() {
    let mut key = session_gate_jose::testing::jwk(1, "a");
    key["alg"] = json!("ES384");
    let set = |keys: Value| json!({"issuers": [{"issuer": "a", "jwks": {"inline": {"keys": keys}}}]});
    assert_eq!(
        problems(set(json!([session_gate_jose::testing::jwk(1, "a"), key]))),
        ["issuers[0].jwks.inline.keys[1].alg"]
    );
    assert_eq!(problems(set(json!([]))), ["issuers[0].jwks.inline.keys"]);
    // A key for encryption stands in the set that an issuer publishes; alone it is of no use.
    key["use"] = json!("enc");
    assert_eq!(problems(set(json!([session_gate_jose::testing::jwk(1, "a"), key]))), Vec::<String>::new());
    assert_eq!(problems(set(json!([key]))), ["issuers[0].jwks.inline.keys"]);
}

#[test]
fn rules_that_contradict_themselves_or_could_never_match_are_refused() {
    let with = |route: Value| {
        let mut document = config();
        document["routes"] = json!([route]);
        problems(document)
    };
    assert_eq!(
        with(json!({"name": "a", "authentication": "public", "require_session": true})),
        ["routes[0].authentication"]
    );
    for path in ["admin", "/a%20b", "/a//b", "/a/../b", "/a;b", "/a?b", "/a\\b", "/a#b"] {
        assert_eq!(
            with(json!({"name": "a", "match": {"path": {"prefix": path}}})),
            ["routes[0].match.path.prefix"],
            "{path}"
        );
    }
    assert_eq!(
        with(json!({"name": "a", "match": {"path": {"template": "/a{id}"}}})),
        ["routes[0].match.path.template"]
    );
    assert_eq!(with(json!({"name": "a", "match": {"path": {"regex": "("}}})), ["routes[0].match.path.regex"]);
    assert_eq!(with(json!({"name": "a", "scopes": {}})), ["routes[0].scopes"]);
    assert_eq!(with(json!({"name": "default"})), ["routes[0].name"]);
}

#[test]
fn hosts_templates_and_patterns_that_could_never_match_are_refused() {
    let matching = |matcher: Value| {
        let mut document = config();
        document["routes"] = json!([{"name": "a", "match": matcher}]);
        problems(document)
    };
    for host in ["api.example.com:8080", "https://api.example.com", "*", "*.", "[::1", "::1"] {
        assert_eq!(matching(json!({"hosts": [host]})), ["routes[0].match.hosts[0]"], "{host}");
    }
    assert!(matching(json!({"hosts": ["api.example.com", "*.example.com", "[::1]"]})).is_empty());
    for template in ["a/{id}", "/a/../{id}", "/{id}/%20", "/a;x/{id}", "/a{id}", "/{}", "/a//{id}"] {
        assert_eq!(matching(json!({"path": {"template": template}})), ["routes[0].match.path.template"], "{template}");
    }
    assert_eq!(matching(json!({"path": {"regex": "a)|(?:b"}})), ["routes[0].match.path.regex"]);
    assert!(matching(json!({"path": {"exact": "/café au lait"}})).is_empty());
}

#[test]
fn a_member_given_twice_is_a_mistake() {
    let twice = br#"{"routes":[{"name":"a","authentication":"required","authentication":"public"}]}"#;
    assert_eq!(Config::from_json(twice).unwrap_err().len(), 1);
}

#[test]
fn origins_that_no_browser_sends_are_refused() {
    for origin in [
        "https://app.example:443",
        "http://a:80",
        "https://App.example",
        "https://u@h",
        "https://a,b",
        "https://a/",
        "https://",
    ] {
        let mut document = config();
        document["csrf"] = json!({"allowed_origins": [origin]});
        assert_eq!(problems(document), ["csrf.allowed_origins[0]"], "{origin}");
    }
    for origin in ["https://app.example", "http://localhost:3000", "https://[::1]:8443"] {
        let mut document = config();
        document["csrf"] = json!({"allowed_origins": [origin]});
        assert!(problems(document).is_empty(), "{origin}");
    }
}

#[test]
fn trusted_header_names_cannot_be_ones_that_mean_something_else() {
    for name in ["authorization", "x-forwarded-for", "x-envoy-original-path", ":path", "x user", "host"] {
        let mut document = config();
        document["upstream_headers"] = json!({"user_id": name});
        assert_eq!(problems(document), ["upstream_headers.user_id"], "{name}");
    }
}

#[test]
fn a_route_overrides_single_security_headers() {
    let mut document = config();
    document["security_headers"] = json!({"permissions_policy": {"value": "camera=()", "mode": "set_if_missing"}});
    document["routes"][0]["security_headers"] =
        json!({"x_frame_options": "SAMEORIGIN", "content_security_policy": false});
    let config = Config::from_value(document).unwrap();
    let request = crate::testing::request("GET", "/public", &[]);
    let headers =
        &config.routes.find(&RequestInterpretations::of(&request).unwrap()).unwrap().policy.security_headers.set;
    let value = |name: &str| headers.iter().find(|header| header.name == name).map(|header| header.value.as_str());
    assert_eq!(value("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(value("content-security-policy"), None);
    assert_eq!(value("permissions-policy"), Some("camera=()"));
    assert_eq!(value("x-content-type-options"), Some("nosniff"));
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    assert_eq!(Config::from_json(b"{").unwrap_err().first().unwrap().path, ".");
    assert_eq!(Config::from_json(b"[]").unwrap_err().len(), 1);
}

#[test]
fn every_mistake_in_a_limit_is_named() {
    let mut document = config();
    document["rate_limits"] = json!({
        "a b": {"requests": 1},
        "both": {"requests": 1, "in_flight": 1},
        "burst": {"requests": 1, "burst": 2},
        "cost": {"requests": 1, "cost": 0},
        "dear": {"requests": 5, "cost": 6},
        "dearer": {
            "windows": [{"requests": 9, "window": 1}, {"requests": 9, "window": 1, "algorithm": "token_bucket", "burst": 3}],
            "cost": {"response_header": "x-cost", "reserve": 4},
        },
        "flight": {"in_flight": 0},
        "from": {"windows": [{"requests": 1, "window": 1}, {"window": "2min"}], "requests_from": {}},
        "header": {"requests": 1, "cost": {"response_header": "a b", "reserve": 0}},
        "key": {"requests": 1, "key": ["user", "user", {"header": "a b"}, {"claim": ""}, "colour"]},
        "none": {},
        "window": {"requests": 2_000_000_000, "window": "1ms"},
    });
    document["routes"][0]["rate_limit"] = json!(["none", "unknown", "cost", "cost"]);
    document["limits"] = json!({"rate_limit_keys": 1});
    assert_eq!(
        problems(document),
        [
            "limits.rate_limit_keys",
            "rate_limits.a b",
            "rate_limits.both",
            "rate_limits.burst.burst",
            "rate_limits.cost.cost",
            "rate_limits.dear.cost",
            "rate_limits.dearer.cost.reserve",
            "rate_limits.flight.in_flight",
            "rate_limits.from.requests_from",
            "rate_limits.from.requests_from.claim",
            "rate_limits.from.windows[1].requests",
            "rate_limits.header.cost.reserve",
            "rate_limits.header.cost.response_header",
            "rate_limits.key.key[1]",
            "rate_limits.key.key[2]",
            "rate_limits.key.key[3]",
            "rate_limits.key.key[4]",
            "rate_limits.none.requests",
            "rate_limits.window.requests",
            "rate_limits.window.window",
            "routes[0].rate_limit[1]",
            "routes[0].rate_limit[3]",
        ]
    );
    let alone = json!({"routes": [{"name": "all", "authentication": "public"}], "rate_limits": {"default": {}}});
    assert_eq!(problems(alone), ["sidecar"], "limits are counted there");
    let none = json!({"routes": [{"name": "all", "authentication": "public"}], "rate_limits": {}});
    assert_eq!(problems(none), Vec::<String>::new(), "no limit appears that nobody has named");
    let off = json!({
        "routes": [{"name": "all", "authentication": "public"}],
        "rate_limits": {"default": null, "authenticated": null},
    });
    assert_eq!(problems(off), Vec::<String>::new());
}
