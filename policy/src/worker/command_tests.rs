//! What applications say of sessions in their answers.

use serde_json::{Value, json};

use super::*;
use crate::{
    http::headers::{HeaderChange, Headers},
    metric::CommandResult,
    testing::{CLOCKS, Outcome, bearer, config, give, request, step, token, verdict, worker_with},
};
use session_gate_jose::NoHostCrypto;
use session_gate_protocol::CheckVerdict;

/// Routes whose application may say something of sessions.
fn commanded() -> Value {
    let mut document = config();
    document["routes"] = json!([
        {
            "name": "login", "match": {"path": {"exact": "/login"}}, "authentication": "public",
            "session_commands": {"allow": ["login"], "scopes": ["read"], "amr": ["pwd"], "classes": ["remember"]},
        },
        {
            "name": "callback", "match": {"path": {"exact": "/callback"}}, "authentication": "public",
            "session_commands": {"allow": ["login", "logout"], "on_navigation": true, "require_nonce": true},
        },
        {
            "name": "api", "match": {"path": {"exact": "/api/login"}}, "authentication": "public",
            "session_commands": {"allow": ["login"], "token": "header"},
        },
        {
            "name": "logout", "match": {"path": {"exact": "/logout"}}, "authentication": "optional",
            "session_commands": {"allow": ["logout"], "clear_site_data": ["storage", "cache"]},
        },
        {
            "name": "password", "match": {"path": {"exact": "/password"}},
            "session_commands": {"allow": ["password_changed", "elevate"]},
        },
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
    ]);
    document
}

const ALICE: &str = r#""alice";scopes="read";amr="pwd""#;

fn post(worker: &mut Worker, path: &str, headers: &[(&str, &str)]) -> Outcome {
    step(worker, 1, Event::Request(request("POST", path, headers)))
}

fn answer(worker: &mut Worker, headers: &[(&str, &str)]) -> Outcome {
    let status = [(":status", "200"), ("content-type", "text/html")];
    let answer: Headers = status.iter().chain(headers).copied().collect();
    step(worker, 1, Event::Answer(answer))
}

/// The sidecar's reply to what the answer has asked for.
fn reply(worker: &mut Worker, held: &Outcome, status: u16, body: &Value) -> Outcome {
    let reply = CallReply { status: Some(status), body: body.to_string().into_bytes() };
    let mut woken = give(worker, held.callout.unwrap(), &reply, CLOCKS);
    assert_eq!(woken.len(), 1, "{woken:?}");
    woken.remove(0).1
}

fn asked(held: &Outcome) -> Value {
    let call = held.call.as_ref().expect("the sidecar is asked");
    assert!(call.headers.contains(&(":path", "/v1/session-commands".to_owned())));
    serde_json::from_slice(call.body.as_ref().unwrap()).unwrap()
}

fn new_token() -> Value {
    with_token("the-new-token")
}

fn with_token(token: &str) -> Value {
    json!({"token": {"token": token, "expires_at": 1_800_003_600, "max_age": 60}, "logged_out": false})
}

fn cookies(changes: &[HeaderChange]) -> Vec<String> {
    let added = changes.iter().filter_map(|change| match change {
        HeaderChange::Add(name, value) if name == "set-cookie" => Some(String::from_utf8(value.clone()).unwrap()),
        _ => None,
    });
    added.collect()
}

fn said(changes: &[HeaderChange], wanted: &str) -> Option<String> {
    changes.iter().rev().find_map(|change| match change {
        HeaderChange::Set(name, value) if name == wanted => Some(String::from_utf8(value.clone()).unwrap()),
        _ => None,
    })
}

fn code_of(outcome: &Outcome) -> (u16, String) {
    (outcome.reply.as_ref().expect("a reply of ours").status, outcome.code().unwrap())
}

#[test]
fn a_login_is_done_before_its_answer_leaves_with_the_cookie() {
    let mut worker = worker_with(commanded());
    let passed = post(&mut worker, "/login", &[("cookie", &format!("__Host-session-gate={}", token()))]);
    assert!(passed.forwarded.is_some());
    let headers = [
        ("x-session-login", ALICE),
        ("set-cookie", "a=1"),
        ("set-cookie", "__Host-session-gate=theirs; Path=/"),
        ("cache-control", "public, max-age=60"),
    ];
    let held = answer(&mut worker, &headers);
    assert!(held.answer_held && held.answer.is_none() && held.reply.is_none());
    let expected = json!({
        "command": {
            "kind": "login", "user_id": "alice", "scopes": ["read"], "amr": ["pwd"], "class": null, "pending_2fa": false,
        },
        "token": token(),
    });
    let mut question = asked(&held);
    question["command"].as_object_mut().unwrap().entry("class").or_insert(Value::Null);
    assert_eq!(question, expected);

    let released = reply(&mut worker, &held, 200, &new_token());
    assert!(released.answer_released && released.reply.is_none());
    let changes = released.answer.unwrap();
    let ours = "__Host-session-gate=the-new-token; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(cookies(&changes), ["a=1", ours], "one line of our name, and the upstream's others");
    assert!(changes.contains(&HeaderChange::Remove("x-session-login".to_owned())));
    assert_eq!(said(&changes, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(released.described, ["decision=allow reason=public rule=login command=login result=done"]);
    assert!(released.counted.contains(&Counter::SessionCommand(CommandResult::Done)));
}

#[test]
fn a_program_gets_its_token_in_a_header() {
    let mut worker = worker_with(commanded());
    post(&mut worker, "/api/login", &[]);
    let held = answer(&mut worker, &[("x-session-login", r#""alice""#), ("x-session-token", "made-up")]);
    let released = reply(&mut worker, &held, 200, &new_token());
    let changes = released.answer.unwrap();
    assert_eq!(said(&changes, "x-session-token").as_deref(), Some("the-new-token"));
    let removed = changes.iter().position(|change| *change == HeaderChange::Remove("x-session-token".to_owned()));
    let set =
        changes.iter().position(|change| matches!(change, HeaderChange::Set(name, _) if name == "x-session-token"));
    assert!(removed < set && cookies(&changes).is_empty());
}

#[test]
fn what_could_not_be_done_is_no_answer() {
    for (status, body, expected) in [
        (503, json!({}), (503, "store_unavailable")),
        (404, json!({"code": "not_found"}), (503, "store_unavailable")),
        (401, problem("credential_invalid", 401), (503, "store_unavailable")),
        (400, problem("invalid_request", 400), (502, "session_command_refused")),
        (409, problem("state_conflict", 409), (502, "session_command_refused")),
        (409, problem("session_limit_reached", 409), (409, "session_limit_reached")),
        (200, json!({}), (503, "store_unavailable")),
        (200, json!({"logged_out": false}), (503, "store_unavailable")),
        (200, with_token(""), (503, "store_unavailable")),
        (200, with_token("a\r\nset-cookie: evil=1"), (503, "store_unavailable")),
        (200, with_token("a; Domain=evil.example"), (503, "store_unavailable")),
        (200, with_token(&"a".repeat(9000)), (503, "store_unavailable")),
        (200, json!({"token": 7}), (503, "store_unavailable")),
    ] {
        let mut worker = worker_with(commanded());
        post(&mut worker, "/login", &[]);
        let held = answer(&mut worker, &[("x-session-login", ALICE), ("location", "/app"), ("set-cookie", "a=1")]);
        let replaced = reply(&mut worker, &held, status, &body);
        assert!(!replaced.answer_released && replaced.answer.is_none());
        assert_eq!(code_of(&replaced), (expected.0, expected.1.to_owned()), "{status}");
        let headers = &replaced.reply.as_ref().unwrap().headers;
        assert!(!headers.iter().any(|(name, _)| name == "set-cookie" || name == "location"), "{headers:?}");
        assert!(headers.iter().any(|(name, _)| name == "x-content-type-options"), "what every answer carries");
    }
}

fn problem(code: &str, status: u16) -> Value {
    json!({
        "type": "urn:x", "title": "t", "status": status, "code": code,
        "errors": [{"field": "command.class", "message": "expected one of browser, remember"}],
    })
}

#[test]
fn what_cannot_be_read_or_is_not_allowed_is_no_answer_either() {
    for (headers, code, problem) in [
        (vec![("x-session-login", "alice")], "session_header_invalid", "must be a string"),
        (vec![("x-session-login", ALICE), ("x-session-logout", "all")], "session_header_invalid", "beside"),
        (vec![("x-session-login", r#""alice";scopes="admin""#)], "session_command_refused", "scopes lacks admin"),
        (vec![("x-session-logout", "current")], "session_command_refused", "allow lacks logout"),
        (vec![("x-session-login", ALICE), ("age", "0")], "session_command_refused", "cache"),
    ] {
        let mut worker = worker_with(commanded());
        post(&mut worker, "/login", &[]);
        let replaced = answer(&mut worker, &headers);
        assert_eq!(code_of(&replaced), (502, code.to_owned()), "{headers:?}");
        assert!(replaced.described[0].contains(problem), "{:?}", replaced.described);
        assert!(replaced.call.is_none() && !replaced.answer_held);
    }
}

#[test]
fn on_other_routes_it_is_taken_out_and_not_followed() {
    let mut worker = worker_with(commanded());
    let sent = [("x-session-nonce", "mine"), ("x_session_login", "\"bob\"")];
    let passed = post(&mut worker, "/public", &sent).forwarded.unwrap();
    for name in ["x-session-nonce", "x_session_login"] {
        assert!(passed.contains(&HeaderChange::Remove(name.to_owned())), "a client's own: {name}");
    }
    let through = answer(&mut worker, &[("x-session-login", ALICE), ("X_Session-Logout", "all")]);
    assert!(through.call.is_none() && through.reply.is_none());
    let changes = through.answer.unwrap();
    for name in ["x-session-login", "X_Session-Logout"] {
        assert!(changes.contains(&HeaderChange::Remove(name.to_owned())), "{name}");
    }
    assert!(through.counted.contains(&Counter::SessionHeaderStripped));
}

#[test]
fn an_answer_that_envoy_has_made_to_a_refused_request_is_not_followed() {
    let mut worker = worker_with(commanded());
    let refused = post(&mut worker, "/password", &[]);
    assert_eq!(code_of(&refused), (401, "credential_missing".to_owned()));
    let through = answer(&mut worker, &[("x-session-elevate", "?1")]);
    assert!(through.call.is_none() && through.reply.is_none() && !through.answer_held);
}

#[test]
fn a_login_form_of_another_site_is_refused_before_the_application_sees_it() {
    let mut worker = worker_with(commanded());
    for foreign in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")] {
        let refused = post(&mut worker, "/login", &[foreign]);
        assert_eq!(code_of(&refused), (403, "csrf_refused".to_owned()), "{foreign:?}");
        worker.forget(1, CLOCKS);
    }
    assert!(post(&mut worker, "/login", &[]).forwarded.is_some(), "a program");
}

#[test]
fn what_only_reads_logs_nobody_out_and_nobody_in() {
    let read = |headers: &[(&str, &str)], path: &str, says: (&str, &str)| {
        let mut worker = worker_with(commanded());
        let passed = step(&mut worker, 1, Event::Request(request("GET", path, headers))).forwarded.unwrap();
        let nonce = said(&passed, "x-session-nonce").unwrap_or_default();
        answer(&mut worker, &[says, ("x-session-nonce", &nonce)])
    };
    let logout = ("x-session-logout", "current");
    let document = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-user", "?1")];
    let link = [&document[..], &[("sec-fetch-site", "same-origin")]].concat();
    let is_ignored = |ignored: Outcome, headers: &[(&str, &str)]| {
        assert!(ignored.call.is_none() && ignored.reply.is_none(), "{headers:?}");
        assert!(ignored.counted.contains(&Counter::SessionCommand(CommandResult::Ignored)));
        assert!(ignored.answer.unwrap().contains(&HeaderChange::Remove("x-session-logout".to_owned())));
    };
    for headers in [&[][..], &link] {
        is_ignored(read(headers, "/logout", logout), headers);
    }
    assert!(read(&link, "/callback", logout).answer_held, "a link, where the route allows it");
    for prefetch in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("next-router-prefetch", "1"),
    ] {
        let headers = [&link[..], &[prefetch]].concat();
        is_ignored(read(&headers, "/callback", logout), &headers);
    }
    // A GET to some upstreams, whatever it is to others.
    for site in ["none", "same-origin"] {
        let headers = [("sec-fetch-site", site), ("x-http-method-override", "POST")];
        is_ignored(read(&headers, "/logout", logout), &headers);
    }
    let image = [("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")];
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "iframe")];
    for headers in [&image, &frame] {
        assert_eq!(code_of(&read(headers, "/callback", ("x-session-login", r#""alice""#))).0, 502, "{headers:?}");
    }
    let twice = [&link[..], &[("sec-fetch-site", "cross-site")]].concat();
    is_ignored(read(&twice, "/callback", logout), &twice);
    let elsewhere = [&document[..], &[("sec-fetch-site", "cross-site")]].concat();
    assert!(read(&elsewhere, "/callback", logout).call.is_none());
    let login = ("x-session-login", r#""alice""#);
    assert!(read(&elsewhere, "/callback", login).answer_held, "an identity provider sends its user back");
    assert_eq!(code_of(&read(&[], "/login", login)), (502, "session_command_refused".to_owned()));
    let prefetched = read(&[("sec-purpose", "prefetch")], "/callback", login);
    assert_eq!(code_of(&prefetched), (502, "session_command_refused".to_owned()));
}

#[test]
fn an_answer_that_does_not_repeat_the_nonce_may_be_another_users() {
    let mut worker = worker_with(commanded());
    let mut earlier = None;
    for second in 0..3 {
        let now = Now { monotonic: CLOCKS.monotonic + Duration::from_secs(second), ..CLOCKS };
        let sent = request("POST", "/callback", &[("x-session-nonce", "the-clients")]);
        let passed = Outcome::from(worker.on_request(1, Event::Request(sent), now, &NoHostCrypto)).forwarded.unwrap();
        let nonce = said(&passed, "x-session-nonce").expect("the upstream gets it");
        let kept = earlier.replace(nonce.clone());
        let echo = kept.as_deref().unwrap_or(&nonce);
        let outcome = answer(&mut worker, &[("x-session-login", r#""alice""#), ("x-session-nonce", echo)]);
        assert_eq!(outcome.answer_held, second == 0, "what a cache has kept of an earlier request");
        worker.forget(1, CLOCKS);
    }
}

#[test]
fn a_logout_takes_the_cookie_away_in_each_form_and_stores_nothing() {
    let mut worker = worker_with(commanded());
    post(&mut worker, "/logout", &[]);
    let held = answer(&mut worker, &[("x-session-logout", "all")]);
    assert_eq!(asked(&held), json!({"command": {"kind": "logout", "sessions": "all"}}));
    let released = reply(&mut worker, &held, 200, &json!({"logged_out": true}));
    let changes = released.answer.unwrap();
    assert_eq!(cookies(&changes).len(), 2);
    assert!(cookies(&changes).iter().all(|line| line.starts_with("__Host-session-gate=; Path=/; Max-Age=0")));
    assert_eq!(said(&changes, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(said(&changes, "clear-site-data").as_deref(), Some(r#""cache", "storage""#));

    worker.forget(1, CLOCKS);
    post(&mut worker, "/logout", &[]);
    let held = answer(&mut worker, &[("x-session-logout", "others")]);
    let released = reply(&mut worker, &held, 200, &json!({"logged_out": false}));
    assert!(cookies(&released.answer.unwrap()).is_empty(), "the current session goes on");
}

#[test]
fn whom_a_route_serves_nobody_else_is_named_in_place_of() {
    let mut worker = worker_with(commanded());
    let (name, value) = bearer(&token());
    let mut changed = |says: &str| {
        post(&mut worker, "/password", &[(name, &value)]);
        step(&mut worker, 1, verdict(CheckVerdict::Live));
        let outcome = answer(&mut worker, &[("x-session-password-changed", says)]);
        worker.forget(1, CLOCKS);
        outcome
    };
    assert_eq!(asked(&changed("?1"))["command"], json!({"kind": "password_changed"}));
    assert!(changed(r#""alice""#).answer_held);
    assert_eq!(code_of(&changed(r#""bob""#)), (502, "session_command_refused".to_owned()));
}

#[test]
fn a_client_that_leaves_leaves_no_call_behind() {
    let mut worker = worker_with(commanded());
    post(&mut worker, "/login", &[]);
    let held = answer(&mut worker, &[("x-session-login", ALICE)]);
    worker.forget(1, CLOCKS);
    assert!(give(&mut worker, held.callout.unwrap(), &CallReply::failed(), CLOCKS).is_empty());
}

#[test]
fn a_session_that_has_ended_is_not_elevated() {
    let mut worker = worker_with(commanded());
    let (name, value) = bearer(&token());
    post(&mut worker, "/password", &[(name, &value)]);
    step(&mut worker, 1, verdict(CheckVerdict::Live));
    let held = answer(&mut worker, &[("x-session-elevate", "?1")]);
    let replaced = reply(&mut worker, &held, 409, &problem("state_conflict", 409));
    assert_eq!(code_of(&replaced), (401, "session_terminated".to_owned()));
}
