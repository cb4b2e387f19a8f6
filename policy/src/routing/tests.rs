use serde_json::json;

use session_gate_protocol::{DenyReason, Scopes};

use super::*;
use crate::{
    config::Config,
    http::{
        headers::Headers,
        interpretations::{RequestInterpretations, Unroutable},
        upstream_interpretations::Interpretation,
    },
    testing::request,
};

fn table() -> serde_json::Value {
    json!({
        "issuers": [{"issuer": "i", "jwks": {"inline": {"keys": [session_gate_jose::testing::jwk(1, "k")]}}}],
        "routes": [
            {"name": "admin", "match": {"path": {"prefix": "/admin"}}, "scopes": {"all": ["admin"]}},
            {"name": "api", "match": {"hosts": ["api.example", "*.api.example"], "path": {"prefix": "/v1/"}}},
            {"name": "user", "match": {"path": {"template": "/users/{id}/orders"}}},
            {"name": "file", "match": {"path": {"regex": "/files/[0-9]+"}}},
            {"name": "delete", "match": {"methods": ["DELETE"]}},
            {"name": "cafe", "match": {"path": {"exact": "/café"}}},
            {"name": "get", "match": {"methods": ["GET"], "path": {"exact": "/get"}}},
            {"name": "home", "match": {"path": {"exact": "/home"}}, "authentication": "public"},
            {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
        ],
    })
}

fn find_in(
    config: serde_json::Value,
    method: &str,
    authority: &str,
    path: &str,
    extra: &[(&str, &str)],
) -> Result<String, Unroutable> {
    let request: Headers = request(method, path, extra)
        .iter()
        .map(|(name, value)| (name, if name == ":authority" { authority.as_bytes().to_vec() } else { value.to_vec() }))
        .collect();
    let config = Config::from_value(config).unwrap();
    RequestInterpretations::of(&request, config.interpretations)
        .and_then(|readings| config.routes.find(&readings).map(|route| route.name.to_string()))
}

fn find(method: &str, authority: &str, path: &str, extra: &[(&str, &str)]) -> Result<String, DenyReason> {
    find_in(table(), method, authority, path, extra).map_err(|unroutable| unroutable.reason)
}

fn at(path: &str) -> Result<String, DenyReason> {
    find("GET", "x.example", path, &[])
}

fn named(name: &str) -> Result<String, DenyReason> {
    Ok(name.to_owned())
}

#[test]
fn the_first_rule_that_matches_counts() {
    assert_eq!(at("/admin"), named("admin"));
    assert_eq!(at("/admin/x?y"), named("admin"));
    assert_eq!(at("/administrator"), named("default"));
    assert_eq!(at("/home"), named("home"));
    assert_eq!(at("/home/"), named("home"));
    assert_eq!(at("/home/x"), named("default"));
    assert_eq!(at("/users/7/orders"), named("user"));
    assert_eq!(at("/users/7/orders/"), named("user"));
    assert_eq!(at("/users//orders"), named("default"));
    assert_eq!(at("/users/7/8/orders"), named("default"));
    assert_eq!(at("/files/12"), named("file"));
    assert_eq!(at("/files/12/"), named("file"), "a slash at the end makes no difference");
    assert_eq!(at("/files/12x"), named("default"));
    assert_eq!(at("/x/files/12"), named("default"));
    assert_eq!(find("DELETE", "x.example", "/home", &[]), named("delete"));
    assert_eq!(at("/caf%C3%A9"), named("cafe"));
    assert_eq!(at("/%61dmin"), named("admin"), "an escape that means nothing");
}

#[test]
fn hosts_are_compared_without_port_dot_and_case() {
    for authority in ["api.example", "API.example:8443", "api.example.", "a.b.api.example"] {
        assert_eq!(find("GET", authority, "/v1/x", &[]), named("api"), "{authority}");
    }
    for authority in ["xapi.example", "api.example.evil", ".api.example", "[::1]:80"] {
        assert_eq!(find("GET", authority, "/v1/x", &[]), named("default"), "{authority}");
    }
}

#[test]
fn a_path_that_upstreams_may_read_differently_is_refused_where_the_rules_differ() {
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..;/admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/public/..\\admin",
        "/public/%5c../admin",
        "/public/..%5cadmin",
        "/public/..%255cadmin",
        "/public/..%252fadmin",
        "/public;/../admin",
        "/public/x/..;a=b/../admin",
        "/public/./../admin",
        "/public//../../admin",
        "/ADMIN",
        "/Admin/x",
        "/%41dmin",
        "/admin.",
        "/admin%20",
        "/admin%20./x",
        "/public/..%20/admin",
        "/FILES/12",
        "/USERS/7/orders",
        "/x/../files/12/",
        "/HOME",
        "/home%2e",
        "/CAF%C3%89",
    ] {
        assert_eq!(at(path), Err(DenyReason::PathAmbiguous), "{path}");
    }
    for path in ["//admin", "/%61dmin", "/admin;x=1", "/./admin", "/admin%2f", "/%2561dmin"] {
        let found = at(path);
        assert!(found == named("admin") || found == Err(DenyReason::PathAmbiguous), "{path}: {found:?}");
    }
    assert_eq!(at("/public/a%20b;v=1/c%2Fd"), named("public"), "all readings meet the same rule");
    assert_eq!(at("/public/%00"), Err(DenyReason::PathInvalid));
}

#[test]
fn headers_that_ask_a_framework_for_another_request_are_another_reading() {
    let with = |name: &str, value: &str| find("POST", "x.example", "/home", &[(name, value)]);
    assert_eq!(with("x-http-method-override", "delete"), Err(DenyReason::PathAmbiguous));
    for list in ["DELETE, POST", "DELETE,", "post,delete", " ,\tDelete "] {
        assert_eq!(with("x-http-method-override", list), Err(DenyReason::PathAmbiguous), "{list}");
    }
    assert_eq!(with("x-method-override", "PUT"), named("home"));
    assert_eq!(with("x-original-url", "/admin"), Err(DenyReason::PathAmbiguous));
    assert_eq!(with("x-rewrite-url", "/home?x"), named("home"));
    assert_eq!(with("x-rewrite-url", "home"), Err(DenyReason::PathInvalid));
}

#[test]
fn what_upstreams_may_combine_is_combined() {
    let with = |method: &str, extra: &[(&str, &str)]| find(method, "x.example", "/home", extra);
    let both = [("x-http-method-override", "DELETE"), ("x-rewrite-url", "/admin/1")];
    assert_eq!(with("POST", &both), Err(DenyReason::PathAmbiguous));
    // Over HTTP/2 the method comes in any case.
    assert_eq!(with("delete", &[]), Err(DenyReason::PathAmbiguous));
    assert_eq!(with("HEAD", &[]), named("home"));
    assert_eq!(find("HEAD", "x.example", "/get", &[]), named("get"), "HEAD is GET without the body");
    // The spellings that CGI takes for the same.
    assert_eq!(with("POST", &[("x_http_method_override", "DELETE")]), Err(DenyReason::PathAmbiguous));
    assert_eq!(with("POST", &[("x.original.url", "/admin")]), Err(DenyReason::PathAmbiguous));
}

#[test]
fn a_host_that_a_header_names_is_a_reading_too() {
    let at_v1 = |name: &str, value: &str| find("GET", "x.example", "/v1/x", &[(name, value)]);
    assert_eq!(at_v1("x-forwarded-host", "api.example:443"), Err(DenyReason::PathAmbiguous));
    assert_eq!(at_v1("forwarded", "for=1.2.3.4;host=\"api.example\""), Err(DenyReason::PathAmbiguous));
    assert_eq!(at_v1("x-forwarded-host", "other.example"), named("default"));
}

#[test]
fn the_work_for_one_request_is_bounded() {
    let many: Vec<String> = (0..90).map(|i| format!("M{i}")).collect();
    let headers: Vec<(&str, &str)> = many.iter().map(|value| ("x-http-method", value.as_str())).collect();
    assert_eq!(find("GET", "x.example", "/home", &headers), Err(DenyReason::PathAmbiguous));
    let same = [("x-http-method", "GET"); 90];
    assert_eq!(find("GET", "x.example", "/home", &same[..10]), named("home"));
    assert_eq!(
        find("GET", "x.example", "/home", &same),
        Err(DenyReason::PathAmbiguous),
        "no honest request repeats it"
    );
    assert_eq!(at(&format!("/{}", "a".repeat(9000))), Err(DenyReason::PathInvalid));
}

#[test]
fn scope_rules() {
    let scopes = |text: &str| Scopes::parse_list(text).unwrap();
    let all = ScopeRule::All(scopes("read write"));
    let any = ScopeRule::Any(scopes("read write"));
    assert!(all.is_met_by(&scopes("read write admin")) && !all.is_met_by(&scopes("read")));
    assert!(any.is_met_by(&scopes("write")) && !any.is_met_by(&scopes("admin")) && !any.is_met_by(&scopes("")));
}

/// What each interpretation does, and that it can be switched off: a request that steps around a rule at an upstream that
/// reads it so.
#[test]
fn every_interpretation_is_switchable_and_does_what_it_says() {
    use Interpretation as I;
    type Case = (Interpretation, &'static str, &'static str, &'static [(&'static str, &'static str)]);
    let cases: &[Case] = &[
        (I::BackslashesAsSlashes, "GET", "/api\\admin", &[]),
        (I::CaseInsensitiveMethods, "delete", "/orders", &[]),
        (I::CaseInsensitivePaths, "GET", "/API/Admin", &[]),
        (I::DecodedQueryDelimiters, "GET", "/api/admin%3fx", &[]),
        (I::DotSegments, "GET", "/x/../api/admin", &[]),
        (I::FormatSuffixes, "GET", "/api/admin.json", &[]),
        (I::ForwardedHostHeaders, "GET", "/", &[("x-forwarded-host", "admin.example")]),
        (I::ForwardedPathHeaders, "GET", "/", &[("x-forwarded-uri", "/api/admin")]),
        (I::MergedSlashes, "GET", "//api/admin", &[]),
        (I::MethodOverrideHeaders, "POST", "/orders", &[("x-http-method-override", "DELETE")]),
        (I::MethodOverrideQuery, "POST", "/orders?_method=DELETE", &[]),
        (I::NtfsStreams, "GET", "/api/admin::$DATA", &[]),
        (I::PathOverrideHeaders, "GET", "/", &[("x-original-url", "/api/admin")]),
        (I::PathParameters, "GET", "/api;v=1/admin", &[]),
        (I::PercentDecoding, "GET", "/api%2fadmin", &[]),
        (I::TrailingDotsAndSpaces, "GET", "/api./admin%20", &[]),
    ];
    assert_eq!(cases.iter().map(|case| case.0).collect::<Vec<_>>(), I::ALL, "each in its order");
    for &(interpretation, method, path, headers) in cases {
        let with = |on: bool| {
            let config = json!({
                "routes": [
                    {"name": "host", "match": {"hosts": ["admin.example"]}, "authentication": "public"},
                    {"name": "admin", "match": {"path": {"exact": "/api/admin"}}, "authentication": "public"},
                    {"name": "delete", "match": {"methods": ["DELETE"]}, "authentication": "public"},
                    {"name": "open", "authentication": "public"},
                ],
                "upstream_interpretations": {interpretation.name(): on},
            });
            find_in(config, method, "x.example", path, headers)
        };
        let refused = with(true).unwrap_err();
        assert_eq!(refused.reason, DenyReason::PathAmbiguous, "{}", interpretation.name());
        let by = refused.by.unwrap();
        assert_eq!((by.interpretation, by.header), (interpretation, headers.first().map(|header| header.0)));
        let detail = refused.detail().unwrap();
        assert!(detail.contains(interpretation.name()), "{detail}");
        assert!(headers.iter().all(|(header, _)| detail.contains(header)), "{detail}");
        assert_eq!(with(false), Ok("open".to_owned()), "{}", interpretation.name());
    }
}

/// Each reading but the one to the letter of RFC 3986 is public.
#[test]
fn dots_after_empty_segments_are_resolved_to_the_letter() {
    let config = json!({
        "routes": [
            {"name": "admin", "match": {"path": {"prefix": "/api/admin"}}, "authentication": "public"},
            {"name": "open", "authentication": "public"},
        ],
    });
    for path in ["/api//../admin", "/api/%2f../admin", "/api/x/..//../admin", "/api/%252f%252e./admin"] {
        let found = find_in(config.clone(), "GET", "x.example", path, &[]).map_err(|refused| refused.reason);
        assert_eq!(found, Err(DenyReason::PathAmbiguous), "{path}");
    }
}

#[test]
fn a_query_cannot_ask_for_the_method_of_another_rule() {
    for query in [
        "_method=DELETE",
        "a=1&_method=delete",
        "%5Fmethod=DELETE",
        "_method=GET&_method=DELETE",
        "_method=DELETE&_method=GET",
        "+_method=DELETE",
        "%20_method=DELETE",
        "_method%00=DELETE",
        "_method[]=DELETE",
        "_method[0]=DELETE",
        "a;_method=DELETE,POST",
    ] {
        let found = find("POST", "x.example", &format!("/home?{query}"), &[]);
        assert_eq!(found, Err(DenyReason::PathAmbiguous), "{query}");
    }
    assert_eq!(find("POST", "x.example", "/home?_method=PUT", &[]), named("home"));
}

#[test]
fn what_differs_in_case_only_is_served_where_the_rule_is_the_same() {
    assert_eq!(at("/public/IMG_0001.JPG"), named("public"));
    assert_eq!(at("/admin/Users/7"), named("admin"));
    assert_eq!(at("/users/AbC/orders"), named("user"));
    let mut config = table();
    config["routes"] = json!([
        {"name": "upper", "match": {"path": {"exact": "/Login"}}, "authentication": "public"},
        {"name": "rest", "match": {"path": {"template": "/{id}"}}, "authentication": "public"},
    ]);
    let find = |path: &str| find_in(config.clone(), "GET", "x.example", path, &[]).map_err(|refused| refused.reason);
    assert_eq!(find("/Login"), named("upper"));
    assert_eq!(find("/login"), Err(DenyReason::PathAmbiguous), "the rule's own case counts as little");
    assert_eq!(find("/other"), named("rest"));
}

#[test]
fn what_no_rule_matches_is_judged_by_the_default_rule() {
    let with = |rule: &str, path: &str| {
        let mut config = table();
        config["default_rule"] = json!(rule);
        find_in(config, "GET", "x.example", path, &[]).map_err(|refused| refused.reason)
    };
    assert_eq!(with("authenticated", "/nowhere"), named("default"));
    assert_eq!(with("deny", "/nowhere"), Err(DenyReason::NoRule));
    assert_eq!(with("deny", "/home"), named("home"));
    assert_eq!(with("deny", "/HOME"), Err(DenyReason::PathAmbiguous));
}
