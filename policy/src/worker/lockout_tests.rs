//! What becomes of failed logins, and of logins where these count.

use serde_json::{Value, json};

use super::*;
use crate::{
    http::headers::{HeaderChange, Headers},
    metric::CommandResult,
    testing::{CLOCKS, Outcome, config, give, request, step, worker_with},
};

const DEVICE: &str = "__Host-session-gate-d";
const FAILED: (&str, &str) = ("x-session-login-failed", "\"alice\"");
const LOGIN: (&str, &str) = ("x-session-login", "\"alice\"");

fn counting() -> Value {
    let mut document = config();
    let public = |name: &str, path: &str, commands: Value| {
        json!({
            "name": name, "match": {"path": {"exact": path}}, "authentication": "public", "session_commands": commands,
        })
    };
    document["routes"] = json!([
        public("login", "/login", json!({"allow": ["login", "login_failed"]})),
        public("api", "/api/login", json!({"allow": ["login", "login_failed"], "token": "header"})),
        public("careless", "/careless", json!({"allow": ["login"]})),
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
    ]);
    document
}

fn sent(worker: &mut Worker, method: &str, path: &str, headers: &[(&str, &str)]) -> Outcome {
    step(worker, 1, Event::Request(request(method, path, headers)))
}

fn answer(worker: &mut Worker, status: &str, headers: &[(&str, &str)]) -> Outcome {
    let head = [(":status", status), ("set-cookie", "theirs=1"), ("location", "/app")];
    let answer: Headers = head.iter().chain(headers).copied().collect();
    step(worker, 1, Event::Answer(answer))
}

fn asked(held: &Outcome) -> Value {
    let call = held.call.as_ref().expect("the sidecar is asked");
    serde_json::from_slice(call.body.as_ref().unwrap()).unwrap()
}

fn reply(worker: &mut Worker, held: &Outcome, status: u16, body: &Value) -> Outcome {
    let reply = CallReply { status: Some(status), body: body.to_string().into_bytes() };
    let mut woken = give(worker, held.callout.unwrap(), &reply, CLOCKS);
    assert_eq!(woken.len(), 1, "{woken:?}");
    woken.remove(0).1
}

/// The answer to `says`, after the sidecar has said `status` and `body`.
fn replied(path: &str, says: (&str, &str), (status, body): (u16, &Value)) -> Outcome {
    let mut worker = worker_with(counting());
    sent(&mut worker, "POST", path, &[("accept", "application/json")]);
    let held = answer(&mut worker, "200", &[says]);
    assert!(held.answer_held, "{held:?}");
    reply(&mut worker, &held, status, body)
}

fn cookies(outcome: &Outcome) -> Vec<String> {
    let added = outcome.answer.as_ref().unwrap().iter().filter_map(|change| match change {
        HeaderChange::Add(name, value) if name == "set-cookie" => Some(String::from_utf8(value.clone()).unwrap()),
        _ => None,
    });
    added.collect()
}

#[test]
fn a_failed_login_is_counted_before_its_answer_leaves() {
    let mut worker = worker_with(counting());
    let passed = sent(&mut worker, "POST", "/login", &[("cookie", &format!("a=1; {DEVICE}=sgd_known"))]);
    assert!(passed.forwarded.unwrap().contains(&HeaderChange::set("cookie", "a=1")), "the upstream does not see it");
    let held = answer(&mut worker, "401", &[FAILED]);
    assert!(held.answer_held);
    let expected = json!({
        "command": {"kind": "login_failed", "account": "alice"},
        "guard": {"device_token": "sgd_known", "issue_device_token": true},
    });
    assert_eq!(asked(&held), expected);
    let released = reply(&mut worker, &held, 200, &json!({"logged_out": false}));
    assert!(released.answer_released && released.reply.is_none() && cookies(&released).is_empty());
    assert!(released.answer.unwrap().contains(&HeaderChange::Remove("x-session-login-failed".to_owned())));
    assert_eq!(released.described, ["decision=allow reason=public rule=login command=login_failed result=done"]);
}

#[test]
fn while_it_is_locked_a_login_is_answered_as_a_failure_is() {
    let locked = (200, &json!({"logged_out": false, "locked_for": 60}));
    let [failed, right] = [FAILED, LOGIN].map(|says| replied("/login", says, locked));
    for outcome in [&failed, &right] {
        assert!(!outcome.answer_released && outcome.answer.is_none());
        assert_eq!(outcome.code().as_deref(), Some("login_locked"));
        assert!(outcome.counted.contains(&Counter::SessionCommand(CommandResult::Locked)));
        let headers = &outcome.reply.as_ref().unwrap().headers;
        assert!(headers.contains(&("retry-after".to_owned(), "60".to_owned())), "{headers:?}");
        assert!(!headers.iter().any(|(name, _)| name == "set-cookie" || name == "location"), "{headers:?}");
    }
    assert_eq!(failed.reply, right.reply, "to the byte");
}

#[test]
fn what_cannot_be_counted_is_not_let_through() {
    for says in [FAILED, LOGIN] {
        let outcome = replied("/login", says, (503, &json!({})));
        assert_eq!(outcome.code().as_deref(), Some("store_unavailable"), "{says:?}");
    }
}

#[test]
fn a_browser_keeps_its_device_token_and_a_program_gets_none() {
    let token = json!({"token": "new", "expires_at": 1_800_003_600});
    let done = json!({"token": token, "logged_out": false, "device": {"token": "sgd_new", "max_age": 100}});
    let session = "__Host-session-gate=new; Path=/; Secure; HttpOnly; SameSite=Lax";
    let device = format!("{DEVICE}=sgd_new; Path=/; Max-Age=100; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(cookies(&replied("/login", LOGIN, (200, &done))), [session, &device]);
    assert!(cookies(&replied("/api/login", LOGIN, (200, &done))).is_empty());
    let odd = json!({"token": token, "logged_out": false, "device": {"token": "a; Domain=x", "max_age": 100}});
    assert_eq!(cookies(&replied("/login", LOGIN, (200, &odd))), [session]);
    let mut worker = worker_with(counting());
    sent(&mut worker, "POST", "/api/login", &[]);
    assert_eq!(asked(&answer(&mut worker, "200", &[LOGIN]))["guard"], json!({"issue_device_token": false}));
    // An upstream's own of that name goes, and all others stay.
    let mut worker = worker_with(counting());
    sent(&mut worker, "POST", "/login", &[]);
    let theirs = format!("{DEVICE}=theirs; Path=/");
    let held = answer(&mut worker, "200", &[LOGIN, ("set-cookie", &theirs)]);
    assert_eq!(cookies(&reply(&mut worker, &held, 200, &done)), ["theirs=1", session, &device]);
}

#[test]
fn where_failures_do_not_count_they_are_taken_out_and_no_more() {
    for path in ["/careless", "/public"] {
        let mut worker = worker_with(counting());
        sent(&mut worker, "POST", path, &[]);
        let passed = answer(&mut worker, "401", &[FAILED]);
        assert!(!passed.answer_held && passed.call.is_none() && passed.reply.is_none(), "{path}");
        let changes = passed.answer.unwrap();
        assert!(changes.contains(&HeaderChange::Remove("x-session-login-failed".to_owned())), "{path}");
    }
    let mut worker = worker_with(counting());
    sent(&mut worker, "POST", "/careless", &[]);
    let held = answer(&mut worker, "200", &[LOGIN, FAILED]);
    assert_eq!(asked(&held)["guard"], Value::Null);
}

#[test]
fn a_guess_counts_however_it_was_asked_for_and_one_of_another_site_is_not_forwarded() {
    for headers in
        [&[][..], &[("purpose", "prefetch")], &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]]
    {
        let mut worker = worker_with(counting());
        sent(&mut worker, "GET", "/login", headers);
        assert!(answer(&mut worker, "401", &[FAILED]).answer_held, "{headers:?}");
    }
    let mut worker = worker_with(counting());
    let refused = sent(&mut worker, "POST", "/login", &[("sec-fetch-site", "cross-site")]);
    assert_eq!(refused.code().as_deref(), Some("csrf_refused"));
}

/// Whoever guesses chooses the request, and must not learn by it whether a password is right.
#[test]
fn a_right_password_that_may_not_log_in_is_told_from_a_wrong_one_in_no_way_while_it_is_locked() {
    let override_of_the_method = [("x-http-method-override", "GET")];
    let navigation = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let ways = [
        ("POST", &[][..]),
        ("POST", &[("sec-purpose", "prefetch")]),
        ("POST", &override_of_the_method),
        ("GET", &[]),
        ("GET", &[("purpose", "prefetch")]),
        ("GET", &navigation),
    ];
    let beyond = ("x-session-login", "\"alice\";scopes=\"admin\"");
    for (method, headers) in ways {
        for (right, age) in [(LOGIN, None), (beyond, None), (LOGIN, Some(("age", "3")))] {
            let replied = |says, body: &Value| {
                let mut worker = worker_with(counting());
                let known = format!("{DEVICE}=sgd_known");
                let headers: Vec<_> = headers.iter().copied().chain([("cookie", known.as_str())]).collect();
                sent(&mut worker, method, "/login", &headers);
                let held = answer(&mut worker, "200", &[&[says][..], age.as_slice()].concat());
                assert!(held.answer_held, "{method} {headers:?} {says:?} {held:?}");
                let question = asked(&held);
                (question, reply(&mut worker, &held, 200, body))
            };
            let locked = json!({"logged_out": false, "locked_for": 60});
            let ((_, right_locked), (wrong_asked, wrong_locked)) = (replied(right, &locked), replied(FAILED, &locked));
            assert_eq!(right_locked.reply, wrong_locked.reply, "{method} {headers:?} {right:?}");
            assert_eq!(right_locked.code().as_deref().unwrap_or("login_locked"), "login_locked");
            let is_followed = method == "POST" && headers.is_empty() && right == LOGIN && age.is_none();
            if !is_followed {
                let (asked, refused) = replied(right, &json!({"logged_out": false}));
                assert_eq!(asked["command"], wrong_asked["command"], "it counts as a guess: {method} {headers:?}");
                assert_eq!(asked["guard"], wrong_asked["guard"]);
                let status = refused.reply.as_ref().unwrap().status;
                assert_eq!(status, 502, "{method} {headers:?} {right:?}");
            }
        }
    }
}

#[test]
fn no_link_or_image_uses_the_device_of_its_visitor_up() {
    let known = ("cookie", format!("{DEVICE}=sgd_known"));
    for (method, expected) in [("GET", Value::Null), ("POST", json!("sgd_known"))] {
        let mut worker = worker_with(counting());
        sent(&mut worker, method, "/login", &[(known.0, &known.1)]);
        assert_eq!(asked(&answer(&mut worker, "401", &[FAILED]))["guard"]["device_token"], expected);
    }
}

#[test]
fn what_names_nobody_counts_for_nobody_and_what_cannot_be_read_is_an_error() {
    for nobody in ["\"\"", "\"  \"", "%\"%e3%80%80\""] {
        let mut worker = worker_with(counting());
        sent(&mut worker, "POST", "/login", &[]);
        let passed = answer(&mut worker, "401", &[("x-session-login-failed", nobody)]);
        assert!(passed.call.is_none() && passed.reply.is_none() && !passed.answer_held, "{nobody}");
        assert!(passed.counted.contains(&Counter::SessionCommand(CommandResult::Ignored)));
        assert!(passed.described[0].ends_with("result=ignored problem=\"nobody is named\""), "{:?}", passed.described);
    }
    for (says, code) in [
        (vec![("x-session-login-failed", "alice")], "session_header_invalid"),
        (vec![LOGIN, FAILED], "session_header_invalid"),
    ] {
        let mut worker = worker_with(counting());
        sent(&mut worker, "POST", "/login", &[]);
        assert_eq!(answer(&mut worker, "401", &says).code().as_deref(), Some(code), "{says:?}");
    }
}

fn asking(source: Value) -> Worker {
    let mut document = counting();
    document["routes"][0]["session_commands"]["account_from"] = source;
    worker_with(document)
}

#[test]
fn a_login_that_names_a_locked_account_does_not_reach_its_application() {
    let locked = json!({"logged_out": false, "locked_for": 60});
    for (source, header) in [
        (json!("basic"), ("authorization", "Basic YWxpY2U6eA==")),
        (json!({"header": "X-Login"}), ("x-login", "alice")),
    ] {
        let mut worker = asking(source);
        let cookie = format!("{DEVICE}=sgd_known");
        let held = sent(&mut worker, "POST", "/login", &[header, ("cookie", &cookie), ("accept", "application/json")]);
        assert!(held.is_held(), "{held:?}");
        let expected = json!({
            "command": {"kind": "login_attempt", "account": "alice"},
            "guard": {"device_token": "sgd_known", "issue_device_token": true},
        });
        assert_eq!(asked(&held), expected);
        let refused = reply(&mut worker, &held, 200, &locked);
        assert_eq!(refused.code().as_deref(), Some("login_locked"));
        let headers = &refused.reply.as_ref().unwrap().headers;
        assert!(headers.contains(&("retry-after".to_owned(), "60".to_owned())), "{headers:?}");
        assert_eq!(refused.described, ["decision=deny reason=login_locked rule=login"]);
    }
}

#[test]
fn a_login_goes_on_where_nothing_is_locked_or_nobody_can_say() {
    for (status, body) in [(200, json!({"logged_out": false})), (503, json!({})), (400, json!({}))] {
        let mut worker = asking(json!("basic"));
        let held = sent(&mut worker, "POST", "/login", &[("authorization", "Basic YWxpY2U6eA==")]);
        let passed = reply(&mut worker, &held, status, &body);
        assert!(passed.forwarded.is_some(), "{status}");
        assert!(answer(&mut worker, "200", &[LOGIN]).answer_held, "what counts is decided when the answer comes");
    }
    for other in [("authorization", "Bearer x"), ("accept", "text/html")] {
        assert!(
            sent(&mut asking(json!("basic")), "POST", "/login", &[other]).forwarded.is_some(),
            "no account: {other:?}"
        );
    }
}

/// Whoever has sent the question has gone, and others wait.
#[test]
fn a_question_about_a_lock_is_shared_and_is_asked_again_where_its_sender_has_gone() {
    let mut worker = asking(json!("basic"));
    let login = || Event::Request(request("POST", "/login", &[("authorization", "Basic YWxpY2U6eA==")]));
    let first = step(&mut worker, 1, login());
    let second = step(&mut worker, 2, login());
    assert!(first.call.is_some() && second.call.is_none() && second.is_held());
    worker.forget(1, CLOCKS);
    let due = worker.due(CLOCKS);
    let (callout, _) = due.iter().find(|(callout, _)| matches!(callout, Callout::LoginLock(_))).expect("asked again");
    let body = json!({"logged_out": false}).to_string().into_bytes();
    let woken = give(&mut worker, *callout, &CallReply { status: Some(200), body }, CLOCKS);
    assert!(matches!(woken.as_slice(), [(2, passed)] if passed.forwarded.is_some()), "{woken:?}");
}

#[test]
fn where_the_account_is_named_is_read_with_what_counts() {
    let problems = |commands: Value| {
        let mut document = counting();
        document["routes"][0]["session_commands"] = commands;
        let problems = Config::from_value(document).unwrap_err();
        problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()
    };
    let uncounted = problems(json!({"allow": ["login"], "account_from": "basic"}));
    assert!(uncounted.contains("account_from: needs login_failed in allow"), "{uncounted}");
    let unnamed = problems(json!({"allow": ["login_failed"], "account_from": {"header": "a b"}}));
    assert!(unnamed.contains("account_from.header: must be a header's name"), "{unnamed}");
    let nowhere = json!({"metadata": {"namespace": "", "key": "a b"}});
    let nowhere = problems(json!({"allow": ["login_failed"], "account_from": nowhere}));
    for field in ["namespace", "key"] {
        assert!(nowhere.contains(&format!("account_from.metadata.{field}: must be 1 to 256 visible")), "{nowhere}");
    }
    let unknown = problems(json!({"allow": ["login_failed"], "account_from": "cookie"}));
    assert!(unknown.contains("account_from") && unknown.contains("basic"), "{unknown}");
}
