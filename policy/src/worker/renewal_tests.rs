//! Session tokens that are renewed while the upstream works, or before it.

use serde_json::{Value, json};
use session_gate_jose::NoHostCrypto;

use super::*;
use crate::{
    knowledge::tests::{answer as feed, ended, entry, following_with, later, reply as feed_reply},
    testing::{CLOCKS, NOW, Outcome, SESSION, bearer, config, give, request, step, token_with},
};

const PAGE: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

fn document() -> Value {
    let mut document = config();
    document["token_refresh_threshold"] = json!("15min");
    document["routes"].as_array_mut().unwrap().push(json!({
        "name": "logout", "match": {"path": {"exact": "/logout"}}, "session_commands": {"allow": ["logout"]},
    }));
    document
}

/// A worker that follows the feed, and needs not ask about sessions.
fn following() -> Worker {
    following_with(document(), &[])
}

/// A token of a session's for so many seconds more, or so many ago.
fn session_token(left: i64) -> String {
    token_with(|claims| {
        claims["renewal"] = json!(0);
        claims["exp"] = json!(NOW.0.saturating_add_signed(left));
        claims["session_exp"] = json!(NOW.0 + 9000);
    })
}

fn successor() -> String {
    token_with(|claims| {
        claims["renewal"] = json!(1);
        claims["jti"] = json!("t2");
    })
}

fn cookie(token: &str) -> (&'static str, String) {
    ("cookie", format!("a=b; __Host-session-gate={token}"))
}

fn get(worker: &mut Worker, id: RequestId, path: &str, (name, value): (&str, String)) -> Outcome {
    let headers: Vec<(&str, &str)> = PAGE.into_iter().chain([(name, value.as_str())]).collect();
    step(worker, id, Event::Request(request("GET", path, &headers)))
}

fn answer(worker: &mut Worker, id: RequestId, headers: &[(&str, &str)]) -> Vec<HeaderChange> {
    let status = [(":status", "200")];
    let headers = status.iter().filter(|_| headers.iter().all(|(name, _)| *name != ":status")).chain(headers);
    step(worker, id, Event::Answer(headers.copied().collect())).answer.unwrap_or_default()
}

fn asked(outcome: &Outcome) -> String {
    let call = outcome.call.as_ref().expect("the sidecar is asked");
    assert!(call.headers.contains(&(":path", "/v1/tokens/renew".to_owned())));
    let body: Value = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
    body["token"].as_str().unwrap().to_owned()
}

fn renewed(token: &str) -> Value {
    json!({"verdict": "live", "token": {"token": token, "expires_at": NOW.0 + 3600, "max_age": 600}})
}

fn give_reply(worker: &mut Worker, asked: &Outcome, status: u16, body: &Value) -> Vec<(RequestId, Outcome)> {
    let reply = CallReply { status: Some(status), body: body.to_string().into_bytes() };
    give(worker, asked.callout.expect("it asks"), &reply, CLOCKS)
}

fn said(changes: &[HeaderChange], wanted: &str) -> Vec<String> {
    let is = |name: &String| name == wanted;
    let values = changes.iter().filter_map(|change| match change {
        HeaderChange::Add(name, value) | HeaderChange::Set(name, value) if is(name) => Some(value.clone()),
        HeaderChange::Remove(name) if is(name) => Some(b"(removed)".to_vec()),
        _ => None,
    });
    values.map(|value| String::from_utf8(value).unwrap()).collect()
}

fn is_expired(outcome: &Outcome) -> bool {
    outcome.call.is_none() && outcome.described.iter().any(|text| text.contains("reason=token_expired "))
}

fn line(token: &str) -> String {
    format!("__Host-session-gate={token}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax")
}

#[test]
fn a_due_cookie_is_renewed_once_while_the_upstream_works() {
    let mut worker = following();
    let due = session_token(900);
    let first = get(&mut worker, 1, "/", cookie(&due));
    assert!(first.forwarded.is_some(), "it does not wait");
    assert_eq!(asked(&first), due);
    for id in 2..50 {
        let other = get(&mut worker, id, "/", cookie(&due));
        assert!(other.forwarded.is_some() && other.call.is_none(), "one question for all");
    }
    assert!(said(&answer(&mut worker, 2, &[]), "set-cookie").is_empty(), "its answer does not wait either");
    assert!(give_reply(&mut worker, &first, 200, &renewed(&successor())).is_empty());
    for id in 3..6 {
        let changes = answer(&mut worker, id, &[("set-cookie", "c=d")]);
        assert_eq!(said(&changes, "set-cookie"), [line(&successor())], "and theirs stay");
        assert_eq!(said(&changes, "cache-control").last().unwrap(), "private");
    }
    let changes = answer(&mut worker, 7, &[("set-cookie", "__Host-session-gate=theirs")]);
    assert!(said(&changes, "set-cookie").is_empty(), "the application has logged somebody in by a call");
    let next = get(&mut worker, 60, "/", cookie(&due));
    assert!(next.call.is_none());
    assert_eq!(said(&answer(&mut worker, 60, &[]), "set-cookie"), [line(&successor())], "who comes late gets it too");
}

#[test]
fn what_is_not_due_or_not_to_be_renewed_is_left_alone() {
    let unrenewable = token_with(|claims| claims["exp"] = json!(NOW.0 + 60));
    let last = token_with(|claims| {
        claims["renewal"] = json!(8);
        claims["exp"] = json!(NOW.0 + 60);
        claims["session_exp"] = json!(NOW.0 + 60);
    });
    for token in [session_token(901), unrenewable, last] {
        let mut worker = following();
        let passed = get(&mut worker, 1, "/", cookie(&token));
        assert!(passed.forwarded.is_some() && passed.call.is_none());
    }
    for threshold in [json!("0s"), Value::Null] {
        let mut never = document();
        never["token_refresh_threshold"] = threshold.clone();
        let mut worker = following_with(never, &[]);
        assert!(
            get(&mut worker, 1, "/", cookie(&session_token(1))).call.is_none(),
            "{threshold}: nothing is published"
        );
        assert!(is_expired(&get(&mut worker, 2, "/", cookie(&session_token(-1)))));
    }
    let mut worker = following();
    let due = session_token(60);
    assert!(
        step(&mut worker, 1, Event::Request(request("GET", &format!("/query?access_token={due}"), &[]))).call.is_none()
    );
}

#[test]
fn a_program_is_told_in_a_header_that_its_page_may_read() {
    let mut worker = following();
    let due = session_token(60);
    let first = get(&mut worker, 1, "/", bearer(&due));
    give_reply(&mut worker, &first, 200, &renewed(&successor()));
    let changes =
        answer(&mut worker, 1, &[("x-session-token", "made-up"), ("access-control-allow-origin", "https://a")]);
    assert_eq!(said(&changes, "x-session-token"), ["(removed)", &successor()]);
    assert_eq!(said(&changes, "access-control-expose-headers"), ["x-session-token"]);
    assert!(said(&changes, "set-cookie").is_empty());
    get(&mut worker, 3, "/", bearer(&due));
    let changes = answer(&mut worker, 3, &[("cache-control", "private, max-age=3600")]);
    assert_eq!(said(&changes, "cache-control").last().unwrap(), "no-store", "no browser gives it to its next user");
    assert_eq!(said(&changes, "x-session-token"), [successor()]);
    let expired = get(&mut worker, 2, "/", bearer(&session_token(-1)));
    assert!(is_expired(&expired), "only a cookie is renewed afterwards");
}

#[test]
fn an_answer_that_others_may_get_carries_no_token() {
    let mut worker = following();
    let due = session_token(60);
    let first = get(&mut worker, 1, "/", cookie(&due));
    give_reply(&mut worker, &first, 200, &renewed(&successor()));
    let mut told = |headers: &[(&str, &str)]| {
        get(&mut worker, 9, "/", cookie(&due));
        let changes = answer(&mut worker, 9, headers);
        worker.forget(9, CLOCKS);
        (said(&changes, "set-cookie").len(), said(&changes, "cache-control"))
    };
    for kept_elsewhere in [
        &[("cache-control", "public, max-age=31536000, immutable")][..],
        &[("cache-control", "s-maxage=60")],
        &[("cache-control", "private"), ("cache-control", "S-MaxAge=60")],
        &[("cache-control", "max-age=5")],
        &[(":status", "304")],
        &[(":status", "206")],
        &[(":status", "101")],
        &[("content-type", "text/event-stream;charset=utf-8")],
        &[("content-type", "application/grpc+proto")],
    ] {
        let (cookies, caching) = told(kept_elsewhere);
        assert_eq!(cookies, 0, "{kept_elsewhere:?}");
        assert!(caching.is_empty() || !kept_elsewhere[0].0.starts_with("cache"), "{kept_elsewhere:?}: left as it is");
    }
    for (own, expected) in [
        (&[("cache-control", "no-cache")][..], "private, no-cache"),
        (&[(":status", "302")], "private"),
        (&[("cdn-cache-control", "max-age=60")], "private"),
        (&[("cache-control", "max-age=0, must-revalidate")], "private, max-age=0, must-revalidate"),
        (&[(":status", "404"), ("content-type", "text/html")], "private"),
    ] {
        let (cookies, caching) = told(own);
        assert_eq!((cookies, caching.last().map(String::as_str)), (1, Some(expected)), "{own:?}");
    }
    for kept_by_one in [&[("cache-control", "private, max-age=60")][..], &[("cache-control", "No-Store")]] {
        assert_eq!(told(kept_by_one), (1, vec![]), "{kept_by_one:?}");
    }
}

#[test]
fn a_session_that_has_ended_meanwhile_gets_no_token() {
    let mut worker = following();
    let due = session_token(60);
    let first = get(&mut worker, 1, "/", cookie(&due));
    give_reply(&mut worker, &first, 200, &renewed(&successor()));
    feed(&mut worker, &feed_reply("e1", &[entry(1, ended())], 0, false), CLOCKS);
    let changes = answer(&mut worker, 1, &[]);
    assert!(!changes.is_empty() && said(&changes, "set-cookie").is_empty());

    // Nor where the worker has heard nothing for so long that it cannot know.
    let mut worker = following();
    let first = get(&mut worker, 1, "/", cookie(&due));
    give_reply(&mut worker, &first, 200, &renewed(&successor()));
    let event = Event::Answer([(":status", "200")].into_iter().collect());
    let unsure: Outcome = worker.on_request(1, event, later(60_000), &NoHostCrypto).into();
    assert!(said(&unsure.answer.unwrap(), "set-cookie").is_empty());
}

#[test]
fn a_logout_is_not_undone_by_a_renewal() {
    let mut worker = following();
    let due = session_token(60);
    let headers = [("cookie", format!("__Host-session-gate={due}")), ("origin", "https://app.example".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let first = step(&mut worker, 1, Event::Request(request("POST", "/logout", &headers)));
    assert!(first.forwarded.is_some());
    give_reply(&mut worker, &first, 200, &renewed(&successor()));
    let answered: Headers = [(":status", "200"), ("x-session-logout", "current")].into_iter().collect();
    let held = step(&mut worker, 1, Event::Answer(answered));
    assert!(held.answer_held);
    let (_, released) = give_reply(&mut worker, &held, 200, &json!({"logged_out": true})).remove(0);
    let lines = said(&released.answer.unwrap(), "set-cookie");
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("Max-Age=0")), "{lines:?}");
}

#[test]
fn a_cookie_that_has_expired_over_night_is_renewed_first() {
    let mut worker = following();
    let expired = session_token(-30_000);
    let first = get(&mut worker, 1, "/orders/7", cookie(&expired));
    assert!(first.is_held());
    assert_eq!(asked(&first), expired);
    for id in 2..=12 {
        let tab = get(&mut worker, id, "/", cookie(&expired));
        assert!(tab.is_held() && tab.call.is_none(), "twelve tabs, one question");
    }
    let woken = give_reply(&mut worker, &first, 200, &renewed(&successor()));
    assert_eq!(woken.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    for (id, outcome) in woken {
        assert_eq!(said(&outcome.forwarded.unwrap(), "x-token-id"), ["t2"], "served by the new one");
        assert_eq!(said(&answer(&mut worker, id, &[]), "set-cookie"), [line(&successor())]);
    }
    let late = get(&mut worker, 13, "/", cookie(&expired));
    assert!(late.forwarded.is_some(), "the answer is known");
}

#[test]
fn a_renewed_token_that_the_sidecar_is_asked_about_is_told_too() {
    let mut worker = following();
    let held = get(&mut worker, 1, "/", cookie(&session_token(-1)));
    // From before the feed began.
    let old = token_with(|claims| {
        claims["renewal"] = json!(1);
        claims["iat"] = json!(NOW.0 - 200);
    });
    let (_, asks) = give_reply(&mut worker, &held, 200, &renewed(&old)).remove(0);
    let session = json!({"session_id": SESSION, "expires_at": NOW.0 + 9000, "version": 1});
    let live = json!({"verdict": "live", "session": session});
    let (_, passed) = give_reply(&mut worker, &asks, 200, &live).remove(0);
    assert!(passed.forwarded.is_some());
    assert_eq!(said(&answer(&mut worker, 1, &[]), "set-cookie").len(), 1);
}

#[test]
fn what_cannot_be_renewed_is_refused_for_its_reason() {
    let expired = session_token(-1);
    for (status, body, code, is_removed) in [
        (200, json!({"verdict": "live"}), "token_expired", true),
        (200, json!({"verdict": "session_terminated"}), "session_terminated", true),
        (200, json!({"verdict": "session_expired"}), "session_expired", true),
        (200, json!({"verdict": "session_suspended"}), "session_suspended", false),
        (200, json!({"verdict": "credential_unknown"}), "store_unavailable", false),
        (200, renewed("no token, it has blanks"), "store_unavailable", false),
        (200, json!({"token": 1}), "store_unavailable", false),
        (503, json!({}), "store_unavailable", false),
    ] {
        let mut worker = following();
        let held = get(&mut worker, 1, "/", cookie(&expired));
        let (_, refused) = give_reply(&mut worker, &held, status, &body).remove(0);
        let reply = refused.reply.as_ref().unwrap();
        assert!(refused.described[0].contains(&format!("reason={code} ")), "{:?}", refused.described);
        let removals = reply.headers.iter().filter(|(name, _)| name == "set-cookie").count();
        assert_eq!(removals > 0, is_removed, "{code}");

        let mut worker = following();
        let held = get(&mut worker, 1, "/optional", cookie(&expired));
        let (_, outcome) = give_reply(&mut worker, &held, status, &body).remove(0);
        assert_eq!(outcome.forwarded.is_some(), is_removed, "{code}: as if without, but on definite verdicts only");
    }
    // The sidecar gives a token that has expired itself: nobody goes round in circles.
    let mut worker = following();
    let held = get(&mut worker, 1, "/", cookie(&expired));
    let (_, refused) = give_reply(&mut worker, &held, 200, &renewed(&session_token(-2))).remove(0);
    assert!(refused.call.is_none() && refused.described[0].contains("reason=token_expired "));
}

#[test]
fn what_a_cdn_goes_by_is_taken_out_and_what_cannot_be_a_token_is_not_told() {
    let mut worker = following();
    let due = session_token(60);
    let first = get(&mut worker, 1, "/", cookie(&due));
    give_reply(&mut worker, &first, 200, &renewed(&successor()));
    let names = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x-accel-expires"];
    let changes = answer(&mut worker, 1, &names.map(|name| (name, "max-age=60")));
    assert_eq!(said(&changes, "set-cookie").len(), 1);
    for name in names {
        assert_eq!(said(&changes, name), ["(removed)"]);
    }
    for odd in ["a b; Domain=evil", &"x".repeat(9000)] {
        let mut worker = following();
        let first = get(&mut worker, 1, "/", cookie(&due));
        give_reply(&mut worker, &first, 200, &renewed(odd));
        assert!(said(&answer(&mut worker, 1, &[]), "set-cookie").is_empty());
    }
}

#[test]
fn a_sidecar_that_does_not_answer_is_not_asked_by_each_tab() {
    let mut worker = following();
    let expired = session_token(-1);
    let first = get(&mut worker, 1, "/", cookie(&expired));
    give_reply(&mut worker, &first, 503, &json!({}));
    let next = get(&mut worker, 2, "/", cookie(&expired));
    assert!(next.call.is_none() && next.described[0].contains("reason=store_unavailable "));
}

#[test]
fn of_a_session_that_is_known_to_be_over_nobody_is_asked() {
    let mut worker = following_with(document(), &[entry(1, ended())]);
    let refused = get(&mut worker, 1, "/", cookie(&session_token(-1)));
    assert!(refused.call.is_none() && refused.reply.is_some());
    let mut worker = following();
    let over = token_with(|claims| {
        claims["renewal"] = json!(3);
        claims["exp"] = json!(NOW.0 - 1);
        claims["session_exp"] = json!(NOW.0);
    });
    assert!(get(&mut worker, 1, "/", cookie(&over)).call.is_none());
    let forged = session_token(-1).replace('.', ".A");
    assert!(get(&mut worker, 2, "/", cookie(&forged)).call.is_none());
}

#[test]
fn a_question_outlives_the_request_that_has_asked_it() {
    let mut worker = following();
    let due = session_token(60);
    let first = get(&mut worker, 1, "/", cookie(&due));
    answer(&mut worker, 1, &[]);
    worker.forget(1, CLOCKS);
    let mut calls = worker.due(CLOCKS);
    calls.retain(|(callout, _)| matches!(callout, Callout::Renewal(_)));
    let [(callout, _)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_ne!(Some(*callout), first.callout);
    let body = renewed(&successor()).to_string().into_bytes();
    give(&mut worker, *callout, &CallReply { status: Some(200), body }, CLOCKS);
    get(&mut worker, 2, "/", cookie(&due));
    assert_eq!(said(&answer(&mut worker, 2, &[]), "set-cookie"), [line(&successor())]);
}

#[test]
fn a_flood_of_expired_cookies_leaves_room_for_others() {
    let mut worker = following();
    let mut held = 0;
    for id in 0..2000 {
        let token = token_with(|claims| {
            claims["renewal"] = json!(0);
            claims["jti"] = json!(format!("t{id}"));
            claims["exp"] = json!(NOW.0 - 1);
        });
        held += usize::from(get(&mut worker, 10 + id, "/", cookie(&token)).is_held());
    }
    assert_eq!(held, 256);
    assert!(get(&mut worker, 1, "/", cookie(&session_token(3600))).forwarded.is_some());
}
