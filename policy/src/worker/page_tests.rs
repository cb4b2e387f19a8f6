//! What people get whose page load is refused, and which cookies their browser is told to forget.

use serde_json::{Value, json};
use session_gate_protocol::CheckVerdict;

use super::*;
use crate::{
    response::denial::Reply,
    testing::{
        NOW, Outcome, SESSION, at, claims, config, due, give, jwk, new_worker, request, sign, step, token, token_with,
        verdict, worker_with,
    },
};

const COOKIE: &str = "__Host-session-gate";
const PAGE: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
const FETCH: [(&str, &str); 2] = [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];

/// The routes of the tests, with a login page that leads back.
fn with_login() -> Value {
    let mut document = config();
    document["login"] = json!({"url": "/public/login", "second_factor_url": "/2fa"});
    document["routes"].as_array_mut().unwrap().extend([
        json!({"name": "no-login", "match": {"path": {"exact": "/no-login"}}, "login": false}),
        json!({"name": "own-login", "match": {"path": {"exact": "/own-login"}},
               "login": {"url": "https://id.example/in?app=1", "next_parameter": "return_to"}}),
    ]);
    document
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// How often the browser is told to forget the cookie.
fn removals(reply: &Reply) -> usize {
    let is_removal =
        |(name, value): &&(String, String)| name == "set-cookie" && value.starts_with("__Host-session-gate=;");
    assert!(
        reply.headers.iter().filter(|(name, _)| name == "set-cookie").all(|(_, value)| value.contains("Max-Age=0"))
    );
    reply.headers.iter().filter(is_removal).count()
}

/// Sends a request with these cookies; the sidecar says `verdict` if it is asked.
fn send(document: &Value, path: &str, cookies: &str, mode: &[(&str, &str)], said: Option<CheckVerdict>) -> Outcome {
    send_by("GET", document, path, cookies, mode, said)
}

fn send_by(
    method: &str,
    document: &Value,
    path: &str,
    cookies: &str,
    mode: &[(&str, &str)],
    said: Option<CheckVerdict>,
) -> Outcome {
    let mut worker = worker_with(document.clone());
    let cookie = (!cookies.is_empty()).then_some(("cookie", cookies));
    let headers: Vec<_> = mode.iter().copied().chain(cookie).collect();
    let first = step(&mut worker, 1, Event::Request(request(method, path, &headers)));
    if !first.is_held() {
        return first;
    }
    match said {
        Some(said) => step(&mut worker, 1, verdict(said)),
        None => step(&mut worker, 1, crate::testing::check_reply(None)),
    }
}

fn cookie(token: &str) -> String {
    format!("a=1; {COOKIE}={token}")
}

#[test]
fn a_page_load_is_sent_to_log_in_and_nothing_else_is() {
    let document = with_login();
    let page = send(&document, "/orders?x=1", "", &PAGE, None);
    assert_eq!(page.described, ["decision=deny reason=credential_missing rule=default"]);
    let reply = page.reply.unwrap();
    assert_eq!((reply.status, header(&reply, "location")), (302, Some("/public/login?next=%2Forders%3Fx%3D1")));
    assert_eq!((header(&reply, "cache-control"), header(&reply, "vary")), (Some("no-store"), Some("Cookie")));
    let own = send(&document, "/own-login", "", &PAGE, None).reply.unwrap();
    assert_eq!(header(&own, "location"), Some("https://id.example/in?app=1&return_to=%2Fown-login"));
    let none = send(&document, "/no-login", "", &PAGE, None).reply.unwrap();
    assert_eq!((none.status, header(&none, "content-type")), (401, Some("text/html; charset=utf-8")));
    let fetch = send(&document, "/orders", "", &FETCH, None);
    assert_eq!((fetch.code().as_deref(), fetch.reply.unwrap().status), (Some("credential_missing"), 401));
    let form = send_by("POST", &document, "/x", "", &PAGE, None).reply.unwrap();
    assert_eq!((form.status, header(&form, "content-type")), (401, Some("text/html; charset=utf-8")));
    let pending = send(&document, "/x", &cookie(&token()), &PAGE, Some(CheckVerdict::SessionPending2fa)).reply.unwrap();
    assert_eq!((header(&pending, "location"), removals(&pending)), (Some("/2fa?next=%2Fx"), 0));
}

#[test]
fn a_forged_host_is_in_no_location_and_a_token_of_the_query_goes_to_no_login_page() {
    let document = with_login();
    for host in ["evil.example", "app.example:8443"] {
        let mut worker = worker_with(document.clone());
        let headers = [(":method", "GET"), (":path", "/x"), (":authority", host), ("accept", "text/html")];
        let headers = headers.into_iter().chain([("x-forwarded-host", "app.example"), (":scheme", "https")]).collect();
        let reply = step(&mut worker, 1, Event::Request(headers)).reply.unwrap();
        assert_eq!(header(&reply, "location"), Some("/public/login?next=%2Fx"));
    }
    let expired = token_with(|claims| claims["exp"] = json!(NOW.0));
    let reply = send(&document, &format!("/query?a=1&access_token={expired}"), "", &PAGE, None).reply.unwrap();
    assert_eq!(header(&reply, "location"), Some("/public/login?next=%2Fquery%3Fa%3D1"));
    assert_eq!(removals(&reply), 0, "the cookie was not the credential");
}

#[test]
fn a_dead_cookie_is_removed_with_a_page_load_alone() {
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"});
    let dead = [
        ("token_expired", token_with(|claims| claims["exp"] = json!(NOW.0)), None),
        ("token_malformed", "garbage".to_owned(), None),
        ("token_malformed", String::new(), None),
        ("token_too_large", "a".repeat(9_000), None),
        ("token_signature_invalid", sign(2, &header, &claims()), None),
        ("token_issuer_unknown", token_with(|claims| claims["iss"] = json!("other")), None),
        ("token_audience_refused", token_with(|claims| claims["aud"] = json!("other")), None),
        ("token_algorithm_refused", sign(1, &json!({"alg": "HS256", "kid": "k1"}), &claims()), None),
        ("session_expired", token(), Some(CheckVerdict::SessionExpired)),
        ("session_terminated", token(), Some(CheckVerdict::SessionTerminated)),
        ("session_unknown", token(), Some(CheckVerdict::SessionUnknown)),
        ("token_revoked", token(), Some(CheckVerdict::TokenRevoked)),
    ];
    for (reason, token, said) in dead {
        let sent = |path, mode| send(&with_login(), path, &cookie(&token), mode, said);
        let page = sent("/orders", &PAGE);
        assert_eq!(page.described, [format!("decision=deny reason={reason} rule=default")]);
        let page = page.reply.unwrap();
        assert_eq!((page.status, removals(&page)), (302, 2), "{reason}: partitioned and not");
        let own = sent("/no-login", &PAGE).reply.unwrap();
        assert_eq!((own.status, removals(&own)), (401, 2), "{reason}");
        let fetch = sent("/orders", &FETCH);
        assert_eq!(fetch.code().as_deref(), Some(reason));
        assert_eq!(removals(&fetch.reply.unwrap()), 0, "{reason}: it may come late");
        let form = send_by("POST", &with_login(), "/no-login", &cookie(&token), &PAGE, said);
        assert_eq!(removals(&form.reply.unwrap()), 0, "{reason}");
        let optional = sent("/optional", &PAGE);
        assert_eq!(optional.described, ["decision=allow reason=anonymous rule=optional"], "{reason}");
    }
}

#[test]
fn a_cookie_is_kept_on_doubt() {
    let early = token_with(|claims| claims["nbf"] = json!(NOW.0 + 60));
    let unusable = token_with(|claims| claims["cnf"] = json!({"jkt": "x"}));
    let unknown_key = sign(1, &json!({"alg": "ES256", "kid": "k2", "typ": "at+jwt"}), &claims());
    for (reason, token, path, said) in [
        ("token_not_yet_valid", early, "/", None),
        ("token_claim_unusable", unusable, "/", None),
        ("store_unavailable", token(), "/", None),
        ("blocked", token(), "/", Some(CheckVerdict::Blocked)),
        ("session_suspended", token(), "/", Some(CheckVerdict::SessionSuspended)),
        ("session_pending_2fa", token(), "/", Some(CheckVerdict::SessionPending2fa)),
    ] {
        let page = send(&with_login(), path, &cookie(&token), &PAGE, said);
        assert_eq!(page.described, [format!("decision=deny reason={reason} rule=default")]);
        assert_eq!(removals(&page.reply.unwrap()), 0, "{reason}");
    }
    // A key that nobody knows yet, and no key at all.
    let mut worker = worker_with(with_login());
    let page = |token: &str| {
        let cookie = cookie(token);
        Event::Request(request("GET", "/", &[PAGE[0], PAGE[1], ("cookie", &cookie)]))
    };
    let unknown = step(&mut worker, 1, page(&unknown_key));
    assert_eq!(unknown.described, ["decision=deny reason=token_key_unknown rule=default"]);
    assert_eq!(removals(&unknown.reply.unwrap()), 0);
    let mut worker = new_worker(with_login());
    assert!(step(&mut worker, 1, page(&token())).is_held());
    assert!(due(&mut worker, Callout::Keys, at(NOW)).is_some());
    let woken = give(&mut worker, Callout::Keys, &CallReply::failed(), at(NOW)).remove(0).1;
    assert_eq!(woken.described, ["decision=deny reason=keys_unavailable rule=default"]);
    let reply = woken.reply.unwrap();
    assert_eq!((reply.status, removals(&reply)), (503, 0));
    assert_eq!(header(&reply, "content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn another_issuers_cookie_is_kept_where_it_only_lacks_the_session_that_a_route_asks_for() {
    let document = json!({
        "sidecar": {"cluster": "sidecar"},
        "issuers": [{"issuer": "idp", "audiences": ["app"], "jwks": {"inline": {"keys": [jwk(4, "idp-1")]}}}],
        "routes": [{"name": "session", "match": {"path": {"exact": "/session"}}, "require_session": true}],
    });
    let of_idp = |change: fn(&mut Value)| {
        let mut claims = json!({"iss": "idp", "aud": "app", "sub": "alice", "jti": "f1", "exp": NOW.0 + 60});
        change(&mut claims);
        sign(4, &json!({"alg": "ES256", "kid": "idp-1"}), &claims)
    };
    let without = of_idp(|_| {});
    let naming = of_idp(|claims| claims["sid"] = json!(SESSION));
    for (token, expected) in [(&without, 0), (&naming, 2)] {
        for said in [CheckVerdict::SessionUnknown, CheckVerdict::SessionExpired, CheckVerdict::SessionTerminated] {
            let page = send(&document, "/session", &cookie(token), &PAGE, Some(said)).reply.unwrap();
            assert_eq!((page.status, removals(&page)), (401, expected), "{said:?}");
        }
        let revoked = send(&document, "/", &cookie(token), &PAGE, Some(CheckVerdict::TokenRevoked)).reply.unwrap();
        assert_eq!(removals(&revoked), 2);
    }
}

#[test]
fn another_credential_than_the_cookie_removes_none() {
    let mut worker = worker_with(with_login());
    let headers = [PAGE[0], PAGE[1], ("authorization", "Bearer garbage"), ("cookie", "__Host-session-gate=garbage")];
    let reply = step(&mut worker, 1, Event::Request(request("GET", "/", &headers))).reply.unwrap();
    assert_eq!((reply.status, removals(&reply)), (302, 0));
}

#[test]
fn two_cookies_that_differ_are_no_login_and_are_removed_and_two_that_are_the_same_are_one() {
    let document = with_login();
    let good = token();
    let both = |other: &str| format!("{COOKIE}={good}; {COOKIE}={other}");
    let page = send(&document, "/x", &both("other"), &PAGE, None);
    assert_eq!(page.described, ["decision=deny reason=duplicate_cookie rule=default"]);
    let page = page.reply.unwrap();
    assert_eq!((header(&page, "location"), removals(&page)), (Some("/public/login?next=%2Fx"), 2));
    let fetch = send(&document, "/x", &both("other"), &FETCH, None);
    assert_eq!(fetch.code().as_deref(), Some("duplicate_cookie"));
    let fetch = fetch.reply.unwrap();
    assert_eq!((fetch.status, removals(&fetch)), (401, 0));
    let optional = send(&document, "/optional", &both("other"), &PAGE, None);
    assert_eq!(optional.described, ["decision=allow reason=anonymous rule=optional"]);
    assert_eq!(optional.forwarded.unwrap(), [HeaderChange::Remove("cookie".to_owned())], "and nobody's name");
    let one = send(&document, "/x", &both(&good), &PAGE, Some(CheckVerdict::Live));
    assert_eq!(one.described, ["decision=allow reason=token rule=default"]);
}

#[test]
fn a_page_of_the_teams_own_takes_the_built_in_ones_place() {
    let mut document = with_login();
    document["error_page"] = json!("<h1>{{title}}</h1>{{code}}");
    let reply = send(&document, "/no-login", "", &PAGE, None).reply.unwrap();
    assert_eq!(reply.body, "<h1>Authentication is required</h1>credential_missing");
}
