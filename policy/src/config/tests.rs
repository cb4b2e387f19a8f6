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
fn a_cookie_that_browsers_would_refuse_is_refused_here() {
    let with = |cookie: Value| {
        let mut document = config();
        document["cookie"] = cookie;
        problems(document)
    };
    for good in [
        json!({"domain": "example.com", "name": "gate"}),
        json!({"partitioned": true}),
        json!({"same_site": "strict"}),
        json!({"partitioned": true, "same_site": "none"}),
    ] {
        assert_eq!(with(good.clone()), Vec::<String>::new(), "{good}");
    }
    for bad in ["com", ".example.com", "Example.com", "example.com.", "a..b", "127.0.0.1", "example.com; Path=/x", ""] {
        assert_eq!(with(json!({"domain": bad, "name": "gate"})), ["cookie.domain"], "{bad}");
    }
    assert_eq!(with(json!({"domain": "example.com"})), ["cookie.domain"], "__Host-");
    assert_eq!(with(json!({"domain": "example.com", "name": "__host-x"})), ["cookie.domain"]);
    assert_eq!(with(json!({"partitioned": true, "same_site": "lax"})), ["cookie.same_site"]);
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
    document["bounds"] = json!({"max_token_bytes": 7, "cache_entries": -1});
    document["colour"] = json!("blue");
    assert_eq!(
        problems(document),
        [
            "bounds.cache_entries",
            "bounds.max_token_bytes",
            "colour",
            "issuers[0].algorithms[0]",
            "issuers[0].leeway",
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
    let set_of = |keys: Value| {
        let mut document = set(keys);
        document["issuers"][0]["revocation"] = json!("none");
        document
    };
    assert_eq!(
        problems(set(json!([session_gate_jose::testing::jwk(1, "a"), key]))),
        ["issuers[0].jwks.inline.keys[1].alg"]
    );
    assert_eq!(problems(set(json!([]))), ["issuers[0].jwks.inline.keys"]);
    // Of a kind that is not supported: passed over, as long as another is left.
    let other = |change: Value| {
        let mut other = session_gate_jose::testing::jwk(2, "other");
        other.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        other
    };
    for (change, member) in [
        (json!({"crv": "P-521"}), "crv"),
        (json!({"crv": "secp256k1", "alg": "ES256K"}), "crv"),
        (json!({"kty": "AKP"}), "kty"),
        (json!({"kty": "OKP", "crv": "Ed448"}), "crv"),
        (json!({"alg": "ES512"}), "alg"),
    ] {
        let both = Config::from_value(set_of(json!([session_gate_jose::testing::jwk(1, "a"), other(change.clone())])));
        let warnings = both.unwrap().warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let field = format!("issuers[0].jwks.inline.keys[1].{member}: must be ");
        assert!(warnings.contains(&field) && warnings.contains("this key is passed over"), "{change}: {warnings}");
        assert_eq!(problems(set(json!([other(change)]))), [format!("issuers[0].jwks.inline.keys[0].{member}")]);
    }
    let private = other(json!({"d": "AAAA"}));
    let broken = other(json!({"x": "AAAA"}));
    let wrong = set(json!([session_gate_jose::testing::jwk(1, "a"), private, broken]));
    assert_eq!(problems(wrong), ["issuers[0].jwks.inline.keys[1].d", "issuers[0].jwks.inline.keys[2].x"]);
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
    for authentication in ["public", "optional"] {
        for demand in [
            json!({"accept_pending_2fa": true}),
            json!({"require_session": true}),
            json!({"scopes": {"any": ["read"]}}),
        ] {
            let mut route = json!({"name": "a", "authentication": authentication});
            route.as_object_mut().unwrap().extend(demand.as_object().unwrap().clone());
            let mut document = config();
            document["routes"] = json!([route]);
            let problems = Config::from_value(document).unwrap_err();
            let problem = problems.first().unwrap().to_string();
            assert!(problem.starts_with("routes[0].authentication: must be \"required\" beside `"), "{problem}");
            assert!(demand.as_object().unwrap().keys().all(|field| problem.contains(field.as_str())), "{problem}");
        }
    }
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
    for (shape, path) in [
        ("exact", "/a."),
        ("exact", "/a /b"),
        ("prefix", "/a."),
        ("prefix", "/a/b.. "),
        ("template", "/{id}/a."),
        ("exact", "/a:$b"),
    ] {
        assert_eq!(matching(json!({"path": {shape: path}})), [format!("routes[0].match.path.{shape}")], "{path}");
    }
    for (shape, path) in
        [("exact", "/a.b/caf\u{e9} x"), ("prefix", "/.well-known"), ("template", "/a/{id}.x/{b}"), ("exact", "/")]
    {
        let expected = if path.contains("}.x") { 1 } else { 0 };
        assert_eq!(matching(json!({"path": {shape: path}})).len(), expected, "{path}");
    }
    let switched = |on: bool| {
        let mut document = config();
        document["upstream_interpretations"] = json!({"trailing_dots_and_spaces": on});
        document["routes"] = json!([{"name": "a", "match": {"path": {"exact": "/a."}}}]);
        Config::from_value(document).map(|_| ()).map_err(|problems| problems.first().unwrap().to_string())
    };
    assert!(switched(false).is_ok());
    let message = switched(true).unwrap_err();
    assert!(message.contains("\"/a\"") && message.contains("trailing_dots_and_spaces: false"), "{message}");
    for template in ["a/{id}", "/a/../{id}", "/{id}/%20", "/a;x/{id}", "/a{id}", "/{}", "/a//{id}"] {
        assert_eq!(matching(json!({"path": {"template": template}})), ["routes[0].match.path.template"], "{template}");
    }
    assert_eq!(matching(json!({"path": {"regex": "a)|(?:b"}})), ["routes[0].match.path.regex"]);
    assert!(matching(json!({"path": {"exact": "/café au lait"}})).is_empty());
}

#[test]
fn a_member_given_twice_is_a_mistake() {
    let twice = br#"{"routes":[{"name":"a","authentication":"required","authentication":"public"}]}"#;
    let problems = Config::from_json(twice).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("duplicate member \"authentication\""), "{problems:?}");
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
        "Capacitor://localhost",
        "capacitor://",
        "capacitor:localhost",
        "://localhost",
        "null",
    ] {
        let mut document = config();
        document["csrf"] = json!({"allowed_origins": [origin]});
        assert_eq!(problems(document), ["csrf.allowed_origins[0]"], "{origin}");
    }
    for origin in [
        "https://app.example",
        "http://localhost:3000",
        "https://[::1]:8443",
        "capacitor://localhost",
        "ionic://localhost",
        "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
    ] {
        let mut document = config();
        document["csrf"] = json!({"allowed_origins": [origin]});
        document["routes"][7]["cors"] = json!({"allow_origins": [origin]});
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
    let headers = &config
        .routes
        .find(&RequestInterpretations::of(&request, Default::default()).unwrap())
        .unwrap()
        .policy
        .security_headers
        .set;
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
        "plan": {"requests": 9, "cost": 6, "requests_from": {"claim": "plan", "values": {"free": 5, "pro": 6}}},
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
        "early": {"requests": 1, "key": ["address", {"header": "x-tenant"}]},
        "late": {"requests": 1},
    });
    document["rate_limit_before_authentication"] = json!(["early", "late", "missing"]);
    document["routes"][1]["rate_limit_before_authentication"] = json!(["early", "early"]);
    document["routes"][0]["rate_limit"] = json!(["none", "unknown", "cost", "cost"]);
    document["bounds"] = json!({"rate_limit_keys": 1});
    assert_eq!(
        problems(document),
        [
            "bounds.rate_limit_keys",
            "rate_limit_before_authentication",
            "rate_limit_before_authentication[2]",
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
            "rate_limits.plan.requests_from.values.free",
            "rate_limits.window.requests",
            "rate_limits.window.window",
            "routes[0].rate_limit[1]",
            "routes[0].rate_limit[3]",
            "routes[1].rate_limit_before_authentication[1]",
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

#[test]
fn a_default_rule_that_is_not_set_is_a_warning_at_every_load() {
    let warnings = |document: Value| {
        let config = Config::from_value(document).unwrap();
        config.warnings().iter().map(|warning| warning.path.clone()).collect::<Vec<_>>()
    };
    let mut document = config();
    assert_eq!(warnings(document.clone()), ["default_rule"]);
    for rule in ["deny", "authenticated"] {
        document["default_rule"] = json!(rule);
        assert_eq!(warnings(document.clone()), Vec::<String>::new());
    }
    document["default_rule"] = json!("public");
    assert_eq!(problems(document), ["default_rule"]);
}

#[test]
fn every_mistake_in_cors_and_the_interpretations_is_named() {
    let mut document = config();
    document["upstream_interpretations"] = json!({"case_insensitive_paths": "no", "colours": true});
    document["routes"][7]["cors"] = json!({
        "allow_origins": ["*"], "allow_credentials": true, "allow_methods": ["GET", "P OST"],
        "allow_headers": ["x\r\ny"], "max_age": "2days",
    });
    assert_eq!(
        problems(document),
        [
            "routes[7].cors.allow_credentials",
            "routes[7].cors.allow_headers[0]",
            "routes[7].cors.allow_methods[1]",
            "routes[7].cors.max_age",
            "upstream_interpretations.case_insensitive_paths",
            "upstream_interpretations.colours",
        ]
    );
}

#[test]
fn a_rule_that_is_never_reached_is_a_warning() {
    let warned = |matches: &[Value]| {
        let mut document = config();
        document["default_rule"] = json!("deny");
        let route = |(place, rule): (usize, &Value)| json!({"name": format!("r{place}"), "match": rule});
        document["routes"] = matches.iter().enumerate().map(route).collect();
        let config = Config::from_value(document).unwrap();
        config.warnings().iter().map(|warning| warning.path.clone()).collect::<Vec<_>>()
    };
    let prefix = |path: &str| json!({"path": {"prefix": path}});
    let template = |path: &str| json!({"path": {"template": path}});
    let exact = |path: &str| json!({"path": {"exact": path}});
    for (earlier, later) in [
        (json!({}), prefix("/a")),
        (prefix("/me"), prefix("/me/admin")),
        (prefix("/me"), exact("/me/")),
        (prefix("/a"), template("/a/{id}")),
        (template("/a/{id}"), exact("/a/b")),
        (template("/{x}/{y}"), template("/a/{id}")),
        (json!({"path": {"regex": "/[a-z]+"}}), exact("/abc")),
        (json!({"methods": ["GET", "POST"]}), json!({"methods": ["HEAD"], "path": {"prefix": "/"}})),
        (json!({"hosts": ["*.example"]}), json!({"hosts": ["a.example", "*.b.example"]})),
    ] {
        assert_eq!(warned(&[earlier.clone(), later.clone()]), ["routes[1]"], "{earlier} before {later}");
        assert!(warned(&[later.clone(), earlier.clone()]).is_empty(), "{later} before {earlier}");
    }
    for (earlier, later) in [
        (prefix("/me"), prefix("/metrics")),
        (exact("/a"), prefix("/a")),
        (template("/a/{id}"), prefix("/a/b")),
        (prefix("/a/b"), template("/a/{id}")),
        (json!({"path": {"regex": "/.*"}}), prefix("/a")),
        (json!({"methods": ["GET"]}), json!({})),
        (json!({"hosts": ["a.example"]}), json!({"hosts": ["a.example", "b.example"]})),
        (json!({"hosts": ["a.example"]}), json!({"hosts": ["*.example"]})),
    ] {
        assert!(warned(&[earlier.clone(), later.clone()]).is_empty(), "{earlier} before {later}");
    }
}

#[test]
fn a_limit_that_no_rule_uses_is_a_warning() {
    let mut document = config();
    document["default_rule"] = json!("deny");
    document["rate_limits"] =
        json!({"default": {}, "authenticated": {}, "used": {"requests": 1}, "lost": {"requests": 1}});
    document["routes"][0]["rate_limit"] = json!(["used"]);
    let config = Config::from_value(document).unwrap();
    let warned: Vec<_> = config.warnings().iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, ["rate_limits.lost"]);
}

#[test]
fn durations_have_the_usual_units_alone() {
    let with = |window: &str| {
        let mut document = config();
        document["rate_limits"] = json!({"default": {"requests": 1, "window": window}});
        Config::from_value(document)
    };
    for window in ["1s", "10 sec", "1m", "5min", "1h 30m", "2days", "31days"] {
        assert!(with(window).is_ok(), "{window}");
    }
    for window in ["1M", "1month", "1y", "1week", "5", "1 fortnight"] {
        let problems = with(window).unwrap_err();
        assert_eq!(problems[0].path, "rate_limits.default.window", "{window}");
        assert!(
            problems[0].message.contains("ms, s, min, h or days") && problems[0].message.ends_with("1s to 31days"),
            "{}",
            problems[0].message
        );
    }
}

#[test]
fn a_claim_that_looks_nested_is_a_warning() {
    let mut document = config();
    document["default_rule"] = json!("deny");
    document["routes"][0]["rate_limit"] = json!(["nested", "name", "top"]);
    let limit = |claim: &str| json!({"requests": 1, "key": [{"claim": claim}], "requests_from": {"claim": claim}});
    document["rate_limits"] =
        json!({"nested": limit("org.id"), "name": limit("https://example.com/org.id"), "top": limit("org_id")});
    let config = Config::from_value(document).unwrap();
    let warned: Vec<_> = config.warnings().iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, ["rate_limits.nested.key[0]", "rate_limits.nested.requests_from.claim"]);
}

#[test]
fn a_setting_under_its_old_name_is_read_with_a_warning() {
    let document = json!({
        "sidecar": {"cluster": "sidecar"},
        "issuers": [{"issuer": "session-gate", "jwks": "sidecar", "revocation": "check"}],
        "limits": {"max_held_requests": 7},
        "rate_limits": {"default": {"requests": 1, "store_away": "allow"}},
        "default_rule": "deny",
    });
    let config = Config::from_value(document.clone()).unwrap();
    assert_eq!(config.max_held_requests, 7);
    let warned: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    let expected = [
        "limits: is called `bounds` now",
        "rate_limits.default.store_away: is called `on_store_unavailable` now",
        "issuers[0].revocation: `check` is called `sessions` now",
    ];
    assert_eq!(warned, expected);
    let mut both = document;
    both["bounds"] = json!({});
    assert_eq!(problems(both), ["limits"]);
}

#[test]
fn the_sidecar_must_answer_before_knowledge_is_stale() {
    let mut document = config();
    document["sidecar"] = json!({"cluster": "sidecar", "credential": "c", "timeout": "2s", "max_staleness": "1s"});
    assert_eq!(problems(document.clone()), ["sidecar.timeout"]);
    document["sidecar"]["max_staleness"] = json!("2s");
    assert_eq!(problems(document), Vec::<String>::new());
}

/// The warnings of a configuration with that login page, as `path: message`.
fn warnings_of_login(login: Value, routes: Value) -> Vec<String> {
    let mut document = config();
    document["default_rule"] = json!("deny");
    document["login"] = login;
    document["routes"] = routes;
    let config = Config::from_value(document).unwrap();
    config.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn a_login_page_is_a_path_or_an_absolute_https_url_of_the_configuration() {
    let with = |login: Value| {
        let mut document = config();
        document["login"] = login;
        problems(document)
    };
    for url in [
        "/",
        "/login",
        "/login/?app=1&x",
        "https://id.example",
        "https://id.example:8443/realms/a/login?client_id=x",
        "https://[::1]/login",
    ] {
        assert_eq!(with(json!({"url": url, "second_factor_url": url})), Vec::<String>::new(), "{url}");
    }
    for url in [
        "",
        "login",
        "//evil.example/login",
        "/\\evil.example",
        "/a//b",
        "/a/../b",
        "/%6cogin",
        "/log in",
        "/login#x",
        "/caf\u{e9}",
        "/\"",
        "http://id.example/login",
        "https://",
        "https:///login",
        "https://user@id.example/login",
        "https://id.example/a/./b",
        "javascript:alert(1)",
        "/login?next=/",
    ] {
        assert_eq!(with(json!({"url": url})), ["login.url"], "{url}");
    }
    assert_eq!(with(json!({"url": "/a", "second_factor_url": "b"})), ["login.second_factor_url"]);
    assert_eq!(with(json!({"url": "/a", "next_parameter": "a=b"})), ["login.next_parameter"]);
    assert_eq!(with(json!({})), ["login.url"]);
    assert_eq!(with(json!({"url": "/a", "colour": "blue"})), ["login.colour"]);
    let mut document = config();
    document["routes"][0]["login"] = json!(true);
    document["routes"][1]["login"] = json!({"url": "b"});
    document["routes"][2]["login"] = json!(false);
    assert_eq!(problems(document), ["routes[0].login", "routes[1].login.url"]);
}

#[test]
fn a_login_page_that_needs_a_login_is_warned_of() {
    let login = json!({"name": "login", "match": {"path": {"prefix": "/login"}}, "authentication": "optional"});
    let second = json!({"name": "second", "match": {"path": {"exact": "/2fa"}}, "accept_pending_2fa": true});
    let app = json!({"name": "app", "match": {"path": {"prefix": "/"}}});
    let of = |login: &Value, routes: &[&Value]| warnings_of_login(login.clone(), json!(routes));
    let both = json!({"url": "/login/?app=1", "second_factor_url": "/2fa"});
    assert_eq!(of(&both, &[&login, &second, &app]), Vec::<String>::new());
    assert_eq!(
        of(&both, &[&app]),
        [
            "login.url: meets the rule `app`, which asks for a login: nobody can log in there",
            "login.second_factor_url: meets the rule `app`, which does not serve sessions that wait for it: \
             `accept_pending_2fa`",
        ]
    );
    let at_login = json!({"url": "/login", "second_factor_url": "/login"});
    assert_eq!(of(&at_login, &[&login, &app]).len(), 1, "optional does not serve who lacks the second factor");
    let other = json!({"name": "other", "match": {"path": {"prefix": "/other"}}});
    assert_eq!(of(&json!({"url": "/login"}), &[&other]), ["login.url: meets no rule: it is refused"]);
    assert_eq!(of(&json!({"url": "https://id.example/login"}), &[&app]), Vec::<String>::new(), "another host's");
}

#[test]
fn a_login_page_is_looked_for_on_the_hosts_of_the_rules_that_send_there() {
    let on = |host: &str, name: &str, path: &str, more: Value| {
        let mut route = json!({"name": name, "match": {"hosts": [host], "path": {"prefix": path}}});
        route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        route
    };
    let routes = json!([
        on("a.example", "a-login", "/login", json!({"authentication": "public"})),
        on("a.example", "a", "/", json!({})),
        on("*.b.example", "b", "/", json!({"login": {"url": "/in"}})),
        on("c.example", "c", "/", json!({"login": false})),
    ]);
    assert_eq!(
        warnings_of_login(json!({"url": "/login"}), routes),
        ["routes[2].login.url: meets the rule `b`, which asks for a login: nobody can log in there"]
    );
}

#[test]
fn a_strict_cookie_beside_a_login_page_is_warned_of() {
    let mut document = config();
    document["default_rule"] = json!("deny");
    document["cookie"] = json!({"same_site": "strict"});
    let paths = |document: &Value| -> Vec<String> {
        Config::from_value(document.clone()).unwrap().warnings().iter().map(|warning| warning.path.clone()).collect()
    };
    assert_eq!(paths(&document), Vec::<String>::new());
    document["login"] = json!({"url": "/public/login"});
    assert_eq!(paths(&document), ["cookie.same_site"]);
}

#[test]
fn an_error_page_has_known_placeholders_and_a_bounded_length() {
    let of = |page: String| {
        let mut document = config();
        document["error_page"] = json!(page);
        Config::from_value(document).err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of("{{status}}{{title}}{{code}}{{retry_after}}{{advice}}".to_owned()), Vec::<String>::new());
    assert_eq!(
        of("<p>{{colour}}".to_owned()),
        [
            "error_page: unknown placeholder {{colour}}; expected {{status}}, {{title}}, {{code}}, {{retry_after}} or {{advice}}"
        ]
    );
    assert_eq!(of("a".repeat(65_536)), Vec::<String>::new());
    assert_eq!(of("a".repeat(65_537)), ["error_page: must have at most 64 KiB"]);
}
