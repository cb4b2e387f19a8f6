//! What the feed says beyond ends: rules, scopes, and what is asked in their place.

use std::time::Duration;

use serde_json::{Value, json};
use session_gate_protocol::{CheckReply, CheckVerdict, CheckedSession, Claims, OpaqueToken};

use super::tests::{answer, asks, entry, following_with, later, reply, send};
use crate::{
    config::Config,
    http::headers::{HeaderChange, Headers},
    metric::Counter,
    request::Event,
    sidecar::client::CallReply,
    testing::{
        CLOCKS, NOW, Outcome, SESSION, bearer, claims, config, feed_due, give, give_feed, give_keys, jwk, request,
        sign, token, token_with,
    },
    vm::Vm,
    worker::Worker,
};
use session_gate_jose::NoHostCrypto;

pub(super) fn foreign_config() -> Value {
    let mut document = config();
    let idp = json!({"issuer": "https://idp", "audiences": ["app"], "jwks": {"inline": {"keys": [jwk(4, "idp-1")]}}});
    document["issuers"].as_array_mut().unwrap().push(idp);
    document["issuers"][0]["opaque_tokens"] = json!(true);
    document
}

pub(super) fn foreign(change: impl FnOnce(&mut Value)) -> String {
    let mut payload = json!({
        "iss": "https://idp", "aud": "app", "sub": "bob", "jti": "f1", "sid": "theirs", "iat": NOW.0,
        "exp": NOW.0 + 600, "groups": ["staff", "ops"], "tenant": "acme",
    });
    change(&mut payload);
    sign(4, &json!({"alg": "ES256", "kid": "idp-1"}), &payload)
}

fn added(rule: Value) -> Value {
    let read: session_gate_protocol::Rule = serde_json::from_value(rule.clone()).unwrap();
    json!({"kind": "rule_added", "rule_id": read.id(), "rule": rule})
}

fn removed(rule: Value) -> Value {
    let read: session_gate_protocol::Rule = serde_json::from_value(rule).unwrap();
    json!({"kind": "rule_removed", "rule_id": read.id()})
}

fn tokens(what: Value) -> Value {
    let mut rule = what;
    rule["kind"] = json!("tokens");
    rule["iss"] = json!("https://idp");
    rule
}

pub(super) fn scopes(version: u64, scopes: Option<&[&str]>) -> Value {
    json!({"kind": "session_scopes", "session_id": SESSION, "version": version, "scopes": scopes})
}

fn post(worker: &mut Worker, token: &str) -> Outcome {
    let (name, value) = bearer(token);
    worker.forget(1, later(0));
    let event = Event::Request(request("POST", "/orders", &[(name, &value)]));
    worker.on_request(1, event, CLOCKS, &NoHostCrypto).into()
}

pub(super) fn answer_check(worker: &mut Worker, asked: Outcome, reply: &CheckReply) -> Vec<(u32, Outcome)> {
    let body = serde_json::to_vec(reply).unwrap();
    give(worker, asked.callout.expect("it asks"), &CallReply { status: Some(200), body }, CLOCKS)
}

fn checked_session() -> CheckedSession {
    CheckedSession {
        session_id: SESSION.parse().unwrap(),
        expires_at: session_gate_protocol::UnixSeconds(NOW.0 + 600),
        idle_timeout: None,
        scopes: None,
        version: 1,
        generation: 0,
    }
}

pub(super) fn live(session: Option<CheckedSession>) -> CheckReply {
    CheckReply { session, ..CheckReply::from(CheckVerdict::Live) }
}

fn header<'a>(changes: &'a [HeaderChange], wanted: &str) -> Option<&'a str> {
    changes.iter().find_map(|change| match change {
        HeaderChange::Set(name, value) if name == wanted => std::str::from_utf8(value).ok(),
        _ => None,
    })
}

#[test]
fn tokens_of_another_issuer_are_revoked_by_what_they_say() {
    for (what, is_revoked) in [
        (json!({"jti": "f1"}), true),
        (json!({"jti": "f2"}), false),
        (json!({"sid": "theirs"}), true),
        (json!({"sub": "bob"}), true),
        (json!({"sub": "bob", "issued_before": NOW.0}), false),
        (json!({"sub": "bob", "issued_before": NOW.0 + 1}), true),
        (json!({"issued_before": NOW.0 + 1}), true),
        (json!({"claims": {"tenant": "acme"}}), true),
        (json!({"claims": {"groups": "ops"}}), true),
        (json!({"claims": {"groups": "ops", "tenant": "other"}}), false),
    ] {
        let mut worker = following_with(foreign_config(), &[entry(1, added(tokens(what.clone())))]);
        let outcome = send(&mut worker, "/", &foreign(|_| {}), CLOCKS);
        let expected = is_revoked.then(|| "token_revoked".to_owned());
        assert_eq!(outcome.code(), expected, "{what}");
        assert!(outcome.call.is_none(), "nobody is asked: {what}");
        assert!(send(&mut worker, "/", &token(), CLOCKS).forwarded.is_some(), "our own are none of theirs: {what}");
    }
}

#[test]
fn a_rule_reaches_tokens_that_were_seen_before_it_and_goes_when_it_is_removed() {
    let mut worker = following_with(foreign_config(), &[]);
    assert!(send(&mut worker, "/", &foreign(|_| {}), CLOCKS).forwarded.is_some());
    let rule = tokens(json!({"claims": {"tenant": "acme"}}));
    answer(&mut worker, &reply("e1", &[entry(1, added(rule.clone()))], 0, false), later(1));
    assert_eq!(send(&mut worker, "/", &foreign(|_| {}), later(1)).code().as_deref(), Some("token_revoked"));
    answer(&mut worker, &reply("e1", &[entry(1, removed(rule))], 0, false), later(2));
    assert!(send(&mut worker, "/", &foreign(|_| {}), later(2)).forwarded.is_some());
}

/// What the sidecar says in its own tokens means nothing in others'.
#[test]
fn a_foreign_token_costs_no_call_for_claims_that_only_ours_have() {
    let mut worker = following_with(foreign_config(), &[]);
    let token = foreign(|claims| {
        claims["pending_2fa"] = json!(true);
        claims["idle"] = json!(1);
        claims["session_exp"] = json!(NOW.0 - 1);
    });
    for monotonic in [0, 900] {
        let outcome = send(&mut worker, "/", &token, later(monotonic));
        assert!(outcome.call.is_none() && outcome.forwarded.is_some(), "{:?}", outcome.described);
    }
}

#[test]
fn users_on_the_block_list_are_refused_whoever_issued_the_token() {
    let block = |user: &str| entry(1, added(json!({"kind": "user", "user_id": user})));
    let mut worker = following_with(foreign_config(), &[block("bob"), block("alice")]);
    for token in [foreign(|_| {}), token()] {
        let refused = send(&mut worker, "/", &token, CLOCKS);
        assert_eq!(refused.code().as_deref(), Some("blocked"));
        assert_eq!(refused.reply.unwrap().status, 403);
    }
    let mut elsewhere = following_with(foreign_config(), &[block("carol")]);
    assert!(send(&mut elsewhere, "/", &token(), CLOCKS).forwarded.is_some());
}

#[test]
fn what_nothing_takes_back_is_served_and_goes_on_until_its_user_is_blocked() {
    let mut document = foreign_config();
    document["issuers"][1]["revocation"] = json!("none");
    let mut worker = following_with(document, &[]);
    let token = foreign(|_| {});
    assert!(send(&mut worker, "/", &token, CLOCKS).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    let revoked = entry(1, added(tokens(json!({"sub": "bob"}))));
    assert!(answer(&mut worker, &reply("e1", &[revoked], 0, false), later(1)).is_empty(), "its stream goes on");
    let second = Event::Request(request("GET", "/", &[("authorization", &format!("Bearer {token}"))]));
    let passed: Outcome = worker.on_request(2, second, later(1), &NoHostCrypto).into();
    assert!(passed.forwarded.is_some(), "as requests are served");
    let blocked = entry(2, added(json!({"kind": "user", "user_id": "bob"})));
    let ended = answer(&mut worker, &reply("e1", &[blocked], 0, false), later(2));
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1], "the second has no answer yet");
    assert_eq!(send(&mut worker, "/", &token, later(2)).code().as_deref(), Some("blocked"));
}

#[test]
fn user_agents_on_the_block_list_are_refused_on_public_routes_too() {
    let block = entry(1, added(json!({"kind": "user_agent", "contains": "sqlmap"})));
    let mut worker = following_with(config(), &[block]);
    let by = |agent: &'static str| Event::Request(request("GET", "/public", &[("user-agent", agent)]));
    let refused: Outcome = worker.on_request(7, by("Sqlmap/2"), later(60_000), &NoHostCrypto).into();
    assert_eq!(refused.code().as_deref(), Some("blocked"), "what is known holds");
    let passed: Outcome = worker.on_request(8, by("curl"), CLOCKS, &NoHostCrypto).into();
    assert!(passed.forwarded.is_some());
    // One byte that is no text hides nothing.
    let headers = request("GET", "/public", &[]);
    let headers = headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
    let not_utf_8 = headers.chain([("user-agent".to_owned(), b"\xffsqlmap/2".to_vec())]).collect();
    let refused: Outcome = worker.on_request(9, Event::Request(not_utf_8), CLOCKS, &NoHostCrypto).into();
    assert_eq!(refused.code().as_deref(), Some("blocked"));
}

#[test]
fn scopes_of_a_session_take_the_place_of_its_tokens_scopes_at_once() {
    let mut worker = following_with(config(), &[]);
    assert_eq!(post(&mut worker, &token()).code().as_deref(), Some("scope_insufficient"));
    give_scopes(&mut worker, scopes(2, Some(&["write", "admin"])));
    let passed = post(&mut worker, &token()).forwarded.unwrap();
    assert_eq!(header(&passed, "x-scopes"), Some("admin write"));
    give_scopes(&mut worker, scopes(1, Some(&["nothing"])));
    assert!(post(&mut worker, &token()).forwarded.is_some(), "an older version changes nothing");
    let narrowed = token_with(|claims| claims["narrowed"] = json!(true));
    assert_eq!(post(&mut worker, &narrowed).code().as_deref(), Some("scope_insufficient"), "it never had more");
    give_scopes(&mut worker, scopes(3, None));
    assert_eq!(post(&mut worker, &token()).code().as_deref(), Some("scope_insufficient"), "its own count again");
}

fn give_scopes(worker: &mut Worker, change: Value) {
    feed_due(worker, CLOCKS).expect("a question is due");
    give_feed(worker, &reply("e1", &[entry(1, change)], 0, false), CLOCKS);
}

#[test]
fn a_stream_ends_when_its_session_loses_the_scope_that_it_was_opened_with() {
    let mut worker = following_with(config(), &[]);
    let writer = token_with(|claims| claims["scope"] = json!("write"));
    assert!(post(&mut worker, &writer).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    let kept = answer(&mut worker, &reply("e1", &[entry(1, scopes(2, Some(&["write"])))], 0, false), later(1));
    assert!(kept.is_empty());
    let ended = answer(&mut worker, &reply("e1", &[entry(1, scopes(3, Some(&["read"])))], 0, false), later(2));
    assert!(ended.iter().any(|(id, outcome)| *id == 1 && outcome.stream_ended));
}

/// The sidecar has said it when it was asked for another request, and of a later version: something else was changed.
#[test]
fn a_stream_ends_when_the_feed_says_what_its_worker_was_told_before() {
    for version in [2, 3] {
        let mut worker = following_with(config(), &[]);
        let writer = token_with(|claims| claims["scope"] = json!("write"));
        let (name, value) = bearer(&writer);
        let event = Event::Request(request("POST", "/orders", &[(name, &value), ("upgrade", "websocket")]));
        assert!(Outcome::from(worker.on_request(2, event, CLOCKS, &NoHostCrypto)).forwarded.is_some());
        let asked = send(&mut worker, "/", &writer, later(1_001));
        let session = CheckedSession {
            scopes: Some(["read".parse().unwrap()].into_iter().collect()),
            version,
            ..checked_session()
        };
        answer_check(&mut worker, asked, &live(Some(session)));
        let narrowed = entry(1, scopes(2, Some(&["read"])));
        let ended = answer(&mut worker, &reply("e1", &[narrowed], 0, false), later(1_010));
        assert!(ended.iter().any(|(id, outcome)| *id == 2 && outcome.stream_ended), "{version}");
    }
}

#[test]
fn streams_of_the_blocked_end_and_no_others() {
    let mut worker = following_with(foreign_config(), &[]);
    for (id, token) in [(1, foreign(|_| {})), (2, token())] {
        let (name, value) = bearer(&token);
        let event = Event::Request(request("GET", "/", &[(name, &value), ("user-agent", "curl")]));
        worker.on_request(id, event, CLOCKS, &NoHostCrypto);
        worker.on_request(id, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    }
    let rule = entry(1, added(tokens(json!({"claims": {"groups": "staff"}}))));
    let ended = answer(&mut worker, &reply("e1", &[rule], 0, false), later(1));
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
    let rule = entry(1, added(json!({"kind": "user_agent", "contains": "curl"})));
    let ended = answer(&mut worker, &reply("e1", &[rule], 0, false), later(2));
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2], "once is enough for the first");
}

#[test]
fn who_was_blocked_before_the_answer_began_does_not_keep_the_stream() {
    let mut document = config();
    document["routes"] = json!([{"name": "all", "authentication": "public"}]);
    let mut worker = following_with(document, &[]);
    let asked = request("GET", "/", &[("user-agent", "evilbot/1.0")]);
    worker.on_request(1, Event::Request(asked), CLOCKS, &NoHostCrypto);
    let rule = added(json!({"kind": "user_agent", "contains": "evilbot"}));
    assert!(answer(&mut worker, &reply("e1", &[entry(1, rule)], 0, false), later(10)).is_empty());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), later(20), &NoHostCrypto);
    assert!(worker.on_alarms(later(1_019), &NoHostCrypto).is_empty());
    let (_, effects) = worker.on_alarms(later(1_020), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).stream_ended);
}

#[test]
fn a_token_from_before_the_feed_began_is_asked_about_once() {
    let mut worker = following_with(config(), &[]);
    let old = token_with(|claims| claims["iat"] = json!(NOW.0 - 200));
    let asked = send(&mut worker, "/", &old, CLOCKS);
    let mut session = checked_session();
    session.scopes = Some([("admin".parse().unwrap())].into_iter().collect());
    let passed = answer_check(&mut worker, asked, &live(Some(session)));
    assert_eq!(header(passed[0].1.forwarded.as_ref().unwrap(), "x-scopes"), Some("admin"));
    let again = send(&mut worker, "/", &old, later(1));
    assert_eq!(header(again.forwarded.as_ref().unwrap(), "x-scopes"), Some("admin"), "what was said is kept");
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    answer(&mut worker, &reply("e1", &[entry(1, ended)], 0, false), later(2));
    assert_eq!(send(&mut worker, "/", &old, later(2)).code().as_deref(), Some("session_terminated"));
}

#[test]
fn an_answer_of_another_epoch_is_good_for_its_request_alone() {
    let mut worker = following_with(config(), &[]);
    let old = token_with(|claims| claims["iat"] = json!(NOW.0 - 200));
    let asked = send(&mut worker, "/", &old, CLOCKS);
    answer(&mut worker, &reply("e2", &[], 0, false), CLOCKS);
    assert!(answer_check(&mut worker, asked, &live(None))[0].1.forwarded.is_some());
    assert!(asks(&mut worker, &old, CLOCKS));
}

#[test]
fn requests_with_the_same_credential_share_one_question() {
    let mut worker = following_with(config(), &[]);
    let old = token_with(|claims| claims["iat"] = json!(NOW.0 - 200));
    let (name, value) = bearer(&old);
    let arrive = |worker: &mut Worker, id| -> Outcome {
        worker.on_request(id, Event::Request(request("GET", "/", &[(name, &value)])), CLOCKS, &NoHostCrypto).into()
    };
    let first = arrive(&mut worker, 1);
    for id in 2..=100 {
        let joined = arrive(&mut worker, id);
        assert!(joined.is_held() && joined.call.is_none());
        assert!(joined.counted.contains(&Counter::CheckShared));
    }
    worker.forget(1, later(0));
    let woken = answer_check(&mut worker, first, &live(None));
    assert_eq!(woken.len(), 99, "one has left, and took nobody along");
    assert!(woken.iter().all(|(_, outcome)| outcome.forwarded.is_some()));
}

#[test]
fn an_answer_that_took_longer_than_knowledge_is_believed_admits_nobody() {
    let mut worker = following_with(config(), &[]);
    let old = token_with(|claims| claims["iat"] = json!(NOW.0 - 200));
    let asked = send(&mut worker, "/", &old, CLOCKS);
    let body = serde_json::to_vec(&live(None)).unwrap();
    let reply = CallReply { status: Some(200), body };
    let late = give(&mut worker, asked.callout.unwrap(), &reply, later(1001));
    assert_eq!(late[0].1.code().as_deref(), Some("store_unavailable"));
}

#[test]
fn a_route_that_asks_for_a_session_finds_that_of_another_issuers_user() {
    let mut worker = following_with(foreign_config(), &[]);
    let asked = send(&mut worker, "/session", &foreign(|_| {}), CLOCKS);
    let question: Value = serde_json::from_slice(asked.call.as_ref().unwrap().body.as_ref().unwrap()).unwrap();
    assert_eq!(question["credential"]["kind"], "foreign");
    assert_eq!(question["credential"]["require_session"], true);
    assert_eq!(question["credential"]["claims"]["sub"], "bob");
    let passed = answer_check(&mut worker, asked, &live(Some(checked_session())));
    assert_eq!(header(passed[0].1.forwarded.as_ref().unwrap(), "x-session-id"), Some(SESSION));
    let warm = send(&mut worker, "/session", &foreign(|claims| claims["jti"] = json!("f9")), later(1));
    assert!(warm.forwarded.is_some(), "another token of that user needs no question");
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    answer(&mut worker, &reply("e1", &[entry(1, ended)], 0, false), later(2));
    let asked = send(&mut worker, "/session", &foreign(|_| {}), later(2));
    let refused = answer_check(&mut worker, asked, &CheckVerdict::SessionUnknown.into());
    assert_eq!(refused[0].1.code().as_deref(), Some("session_unknown"));
    assert!(send(&mut worker, "/", &foreign(|_| {}), later(2)).forwarded.is_some(), "elsewhere none is needed");
}

fn opaque() -> (OpaqueToken, Claims) {
    let said = serde_json::from_value(claims()).unwrap();
    (OpaqueToken::new(&"alice".parse().unwrap(), &[9; 32]), said)
}

#[test]
fn an_opaque_token_is_asked_about_once_and_then_known_like_any_other() {
    let mut worker = following_with(foreign_config(), &[]);
    let (token, said) = opaque();
    let asked = send(&mut worker, "/", token.expose(), CLOCKS);
    let known = CheckReply { claims: Some(said), ..live(Some(checked_session())) };
    let passed = answer_check(&mut worker, asked, &known);
    assert_eq!(header(passed[0].1.forwarded.as_ref().unwrap(), "x-user-id"), Some("alice"));
    assert!(send(&mut worker, "/", token.expose(), later(1)).forwarded.is_some());
    let revoked = json!({"kind": "token_revoked", "token_id": "t1"});
    answer(&mut worker, &reply("e1", &[entry(1, revoked)], 0, false), later(2));
    assert_eq!(send(&mut worker, "/", token.expose(), later(2)).code().as_deref(), Some("token_revoked"));
}

/// Nobody could revoke it any more: the store does not know what it says.
#[test]
fn an_opaque_token_without_a_session_is_asked_about_by_its_text_and_ends_with_the_stores_data() {
    let mut worker = following_with(foreign_config(), &[]);
    let (token, said) = opaque();
    let said = Claims { sid: None, ..said };
    let asked = send(&mut worker, "/", token.expose(), CLOCKS);
    let passed = answer_check(&mut worker, asked, &CheckReply { claims: Some(said), ..live(None) });
    assert!(passed[0].1.forwarded.is_some());
    assert!(send(&mut worker, "/", token.expose(), later(1)).forwarded.is_some());
    let begun = json!({
        "epoch": {"id": "e2", "since": NOW.0}, "cursor": "1-0", "age_ms": 0, "more": false, "entries": [], "ended": "",
    });
    answer(&mut worker, &CallReply { status: Some(200), body: begun.to_string().into_bytes() }, later(2));
    let asked = send(&mut worker, "/", token.expose(), later(2));
    let question = String::from_utf8(asked.call.as_ref().unwrap().body.clone().unwrap()).unwrap();
    assert!(question.contains(token.expose()), "{question}");
    let refused = answer_check(&mut worker, asked, &CheckVerdict::CredentialUnknown.into());
    assert_eq!(refused[0].1.code().as_deref(), Some("token_unknown"));
    let again = send(&mut worker, "/", token.expose(), later(3));
    assert_eq!(again.code().as_deref(), Some("token_unknown"), "without a question");
}

#[test]
fn what_a_question_about_an_opaque_token_says_is_known_even_if_the_keys_have_changed_since_it_was_asked() {
    let mut worker = following_with(foreign_config(), &[]);
    let (token, said) = opaque();
    let known = CheckReply { claims: Some(Claims { sid: None, ..said }), ..live(None) };
    let asked = send(&mut worker, "/", token.expose(), CLOCKS);
    answer_check(&mut worker, asked, &known);
    let again = send(&mut worker, "/", token.expose(), later(2_000));
    assert!(again.is_held(), "the feed is not current");
    give_keys(&mut worker, &json!({"keys": [jwk(1, "k1"), jwk(2, "k2")]}), NOW.after(Duration::from_secs(60)));
    answer(&mut worker, &reply("e1", &[], 0, false), later(2_000));
    answer_check(&mut worker, again, &known);
    assert!(send(&mut worker, "/", token.expose(), later(2_001)).forwarded.is_some(), "without a question");
}

#[test]
fn an_opaque_token_that_does_not_exist_is_remembered_and_never_served() {
    let mut worker = following_with(foreign_config(), &[]);
    let (token, _) = opaque();
    let asked = send(&mut worker, "/open", token.expose(), CLOCKS);
    let refused = answer_check(&mut worker, asked, &CheckVerdict::CredentialUnknown.into());
    assert_eq!(refused[0].1.code().as_deref(), Some("token_unknown"));
    assert_eq!(refused[0].1.reply.as_ref().unwrap().status, 401);
    let again = send(&mut worker, "/open", token.expose(), later(9_999));
    assert_eq!(again.code().as_deref(), Some("token_unknown"), "without a question");
    assert!(asks(&mut worker, token.expose(), later(10_000)));
    assert_eq!(send(&mut worker, "/", "sgt_nonsense", CLOCKS).code().as_deref(), Some("token_unknown"));
}

#[test]
fn an_opaque_token_that_cannot_be_asked_about_says_nothing_even_where_failures_pass() {
    let mut worker = following_with(foreign_config(), &[]);
    let (token, _) = opaque();
    let asked = send(&mut worker, "/open", token.expose(), CLOCKS);
    let failed = give(&mut worker, asked.callout.unwrap(), &CallReply::failed(), CLOCKS);
    assert_eq!(failed[0].1.code().as_deref(), Some("store_unavailable"));
    let mut strict = following_with(config(), &[]);
    assert_eq!(send(&mut strict, "/", token.expose(), CLOCKS).code().as_deref(), Some("token_malformed"));
}

#[test]
fn configurations_of_one_vm_share_what_is_known() {
    let mut vm = Vm::default();
    let new = |vm: &mut Vm| Worker::new(Config::from_value(config()).unwrap(), "worker", vm);
    let mut old = new(&mut vm);
    give_keys(&mut old, &json!({"keys": [jwk(1, "k1")]}), NOW);
    give_feed(&mut old, &reply("e1", &[], 0, false), CLOCKS);
    assert!(send(&mut old, "/", &token(), CLOCKS).forwarded.is_some());
    old.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);

    let mut young = new(&mut vm);
    assert!(young.shares_source(&old));
    assert!(!asks(&mut young, &token(), CLOCKS), "it need not read the feed anew");
    feed_due(&mut young, later(1)).expect("the new one may ask");
    assert!(feed_due(&mut old, later(1)).is_none(), "one question for both");
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    let body = reply("e1", &[entry(1, ended)], 0, false);
    let outcome = young.on_reply_to(young.last_question(), &body, later(2), &NoHostCrypto);
    let changes = outcome.changes.expect("something has changed");
    let ended = old.on_changes(&changes, later(2), &NoHostCrypto);
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1], "a stream of the old configuration");
    assert_eq!(send(&mut old, "/", &token(), later(2)).code().as_deref(), Some("session_terminated"));
}

#[test]
fn a_question_that_brought_no_word_is_given_up_and_its_late_answer_is_not_taken_for_anothers() {
    let mut worker = following_with(config(), &[]);
    feed_due(&mut worker, later(100)).unwrap();
    let lost = worker.last_question();
    assert!(feed_due(&mut worker, later(799)).is_none());
    feed_due(&mut worker, later(800)).expect("given up: its configuration may be gone");
    let outcome = worker.on_reply_to(lost, &reply("e1", &[], 0, false), later(801), &NoHostCrypto);
    assert!(outcome.changes.is_none());
    assert!(asks(&mut worker, &token(), later(1_001)), "it has proven nothing");
}

#[test]
fn a_flood_of_made_up_opaque_tokens_leaves_room_for_good_ones() {
    let mut document = foreign_config();
    document["bounds"] = json!({"max_held_requests": 8});
    let mut worker = following_with(document, &[]);
    let mut send = |id: u32, token: &str| -> Outcome {
        let (name, value) = bearer(token);
        let event = Event::Request(request("GET", "/", &[(name, &value)]));
        worker.on_request(id, event, CLOCKS, &NoHostCrypto).into()
    };
    let made_up = |seed: u8| OpaqueToken::new(&"alice".parse().unwrap(), &[seed; 32]).expose().to_owned();
    let held = (1..=3).map(|id| send(id, &made_up(u8::try_from(id).unwrap())).code()).collect::<Vec<_>>();
    assert_eq!(held, [None, None, Some("overloaded".to_owned())], "a quarter of the room is theirs");
    // One that must be asked about all the same is held.
    let pending = token_with(|claims| claims["pending_2fa"] = json!(true));
    assert!(send(4, &pending).is_held());
}
