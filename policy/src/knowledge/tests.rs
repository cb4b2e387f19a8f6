use std::time::Duration;

use serde_json::{Value, json};
use session_gate_protocol::CheckVerdict;

use crate::{
    http::headers::Headers,
    ids::Callout,
    metric::{CallOutcome, Counter},
    request::Event,
    sidecar::client::CallReply,
    testing::{
        CLOCKS, NOW, Outcome, SESSION, bearer, check_reply, config, due, feed_due, give_feed, request, token,
        token_with, verdict, worker_with,
    },
    time::Now,
    worker::Worker,
};
use session_gate_jose::NoHostCrypto;

/// An entry about [`SESSION`] or token `t1`.
pub(crate) fn entry(number: u64, change: Value) -> Value {
    json!({"at": format!("1-{number}"), "until": NOW.0 + 3600, "change": change})
}

pub(crate) fn ended() -> Value {
    json!({"kind": "session_ended", "session_id": SESSION})
}

fn suspended(version: u64) -> Value {
    json!({"kind": "session_suspended", "session_id": SESSION, "version": version})
}

fn resumed(version: u64) -> Value {
    json!({"kind": "session_resumed", "session_id": SESSION, "version": version})
}

pub(crate) fn reply(epoch: &str, entries: &[Value], age_ms: u64, more: bool) -> CallReply {
    let cursor = format!("1-{}", entries.len());
    // The feed began well before the tokens of these tests were issued.
    let epoch = json!({"id": epoch, "since": NOW.0 - 100});
    let body =
        json!({"epoch": epoch, "cursor": cursor, "age_ms": age_ms, "more": more, "entries": entries, "ended": ""});
    CallReply { status: Some(200), body: body.to_string().into_bytes() }
}

pub(crate) fn later(millis: u64) -> Now {
    Now { monotonic: CLOCKS.monotonic + Duration::from_millis(millis), ..CLOCKS }
}

/// Has the worker ask at `asked` and be answered at the same moment.
pub(crate) fn answer(worker: &mut Worker, reply: &CallReply, asked: Now) -> Vec<(u32, Outcome)> {
    feed_due(worker, asked).expect("a question is due");
    give_feed(worker, reply, asked)
}

fn following(entries: &[Value]) -> Worker {
    following_with(config(), entries)
}

pub(crate) fn following_with(document: Value, entries: &[Value]) -> Worker {
    let mut worker = worker_with(document);
    // The worker of the tests has asked already.
    give_feed(&mut worker, &reply("e1", entries, 0, false), CLOCKS);
    worker
}

pub(super) fn send(worker: &mut Worker, path: &str, token: &str, now: Now) -> Outcome {
    let (name, value) = bearer(token);
    let event = Event::Request(request("GET", path, &[(name, &value)]));
    worker.forget(1, Now::default());
    worker.on_request(1, event, now, &NoHostCrypto).into()
}

pub(super) fn asks(worker: &mut Worker, token: &str, now: Now) -> bool {
    send(worker, "/", token, now).is_held()
}

#[test]
fn a_current_feed_admits_without_asking() {
    let mut worker = following(&[]);
    let passed = send(&mut worker, "/", &token(), CLOCKS);
    assert!(passed.call.is_none() && passed.forwarded.is_some());
    assert_eq!(passed.described, ["decision=allow reason=token rule=default"]);
}

#[test]
fn what_the_feed_knows_against_a_token_refuses_it() {
    for (change, code) in [
        (ended(), "session_terminated"),
        (suspended(2), "session_suspended"),
        (json!({"kind": "token_revoked", "token_id": "t1"}), "token_revoked"),
    ] {
        let mut worker = following(&[entry(1, change)]);
        assert_eq!(send(&mut worker, "/", &token(), CLOCKS).code().as_deref(), Some(code));
    }
    let another = json!({"kind": "token_revoked", "token_id": "t2"});
    assert!(send(&mut following(&[entry(1, another)]), "/", &token(), CLOCKS).forwarded.is_some());
}

#[test]
fn a_resumed_session_is_served_and_an_ended_one_never_again() {
    let mut worker = following(&[entry(1, suspended(2)), entry(2, resumed(3))]);
    assert!(send(&mut worker, "/", &token(), CLOCKS).forwarded.is_some());
    let mut worker = following(&[entry(1, ended()), entry(2, resumed(3))]);
    assert_eq!(send(&mut worker, "/", &token(), CLOCKS).code().as_deref(), Some("session_terminated"));
}

#[test]
fn of_two_words_on_a_suspension_the_greater_version_counts_and_of_two_alike_the_later() {
    for (entries, is_served) in [
        ([suspended(4), resumed(3)], false),
        ([resumed(4), suspended(3)], true),
        ([suspended(3), resumed(3)], true),
        ([resumed(3), suspended(3)], false),
    ] {
        let [first, second] = entries.clone();
        let mut worker = following(&[entry(1, first), entry(2, second)]);
        assert_eq!(send(&mut worker, "/", &token(), CLOCKS).forwarded.is_some(), is_served, "{entries:?}");
    }
    // What was overtaken ends no stream either.
    let mut worker = following(&[entry(1, resumed(4))]);
    assert!(send(&mut worker, "/", &token(), CLOCKS).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    assert!(answer(&mut worker, &reply("e1", &[entry(2, suspended(3))], 0, false), later(10)).is_empty());
    // A store that was set back counts anew.
    answer(&mut worker, &reply("e2", &[entry(1, suspended(2))], 0, false), later(20));
    let refused = send(&mut worker, "/", &token(), later(20));
    assert_eq!(refused.code().as_deref(), Some("session_suspended"));
}

#[test]
fn knowledge_is_believed_for_max_staleness_from_when_it_was_asked_for() {
    let mut worker = following(&[]);
    assert!(!asks(&mut worker, &token(), later(1000)));
    assert!(asks(&mut worker, &token(), later(1001)));
    // A question that took long proves no more than what was known when it was sent.
    feed_due(&mut worker, later(2000)).unwrap();
    give_feed(&mut worker, &reply("e1", &[], 0, false), later(2900));
    assert!(!asks(&mut worker, &token(), later(3000)));
    assert!(asks(&mut worker, &token(), later(3001)));
    // Nor more than what the sidecar itself knew.
    answer(&mut worker, &reply("e1", &[], 400, false), later(5000));
    assert!(!asks(&mut worker, &token(), later(5600)));
    assert!(asks(&mut worker, &token(), later(5601)));
}

#[test]
fn what_is_known_against_a_token_holds_however_old_it_is() {
    let mut worker = following(&[entry(1, ended())]);
    assert_eq!(send(&mut worker, "/", &token(), later(60_000)).code().as_deref(), Some("session_terminated"));
}

#[test]
fn nothing_is_proven_before_the_end_of_the_feed_was_reached() {
    let mut worker = worker_with(config());
    give_feed(&mut worker, &reply("e1", &[entry(1, ended())], 0, true), CLOCKS);
    let another = token_with(|claims| claims["sid"] = json!("K9gGyX.CwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"));
    assert!(asks(&mut worker, &another, CLOCKS));
    assert_eq!(send(&mut worker, "/", &token(), CLOCKS).code().as_deref(), Some("session_terminated"));
}

#[test]
fn tokens_from_before_the_feed_began_are_asked_about() {
    let mut worker = following(&[]);
    assert!(asks(&mut worker, &token_with(|claims| claims["iat"] = json!(NOW.0 - 96)), CLOCKS), "clocks differ");
    assert!(!asks(&mut worker, &token_with(|claims| claims["iat"] = json!(NOW.0 - 95)), CLOCKS));
    assert!(asks(&mut worker, &token_with(|claims| _ = claims.as_object_mut().unwrap().remove("iat")), CLOCKS));
}

#[test]
fn a_store_that_has_lost_its_data_leaves_what_is_known_and_is_read_anew() {
    let mut worker = following(&[entry(1, ended())]);
    let question = feed_due(&mut worker, later(100)).unwrap();
    assert!(question.headers.iter().any(|(_, value)| value.contains("after=1-1&epoch=e1")), "asks from where it is");
    give_feed(&mut worker, &reply("e2", &[], 0, true), later(100));
    let another = token_with(|claims| claims["sid"] = json!("K9gGyX.CwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"));
    assert!(asks(&mut worker, &another, later(100)), "the new epoch is not known to its end");
    assert_eq!(send(&mut worker, "/", &token(), later(100)).code().as_deref(), Some("session_terminated"));
    answer(&mut worker, &reply("e2", &[], 0, false), later(200));
    assert!(!asks(&mut worker, &another, later(200)));
    assert_eq!(send(&mut worker, "/", &token(), later(200)).code().as_deref(), Some("session_terminated"));
}

#[test]
fn replies_that_say_nothing_prove_nothing() {
    for rubbish in [
        CallReply::failed(),
        CallReply { status: Some(503), body: reply("e1", &[], 0, false).body },
        CallReply { status: Some(200), body: b"{}".to_vec() },
    ] {
        let mut worker = following(&[]);
        feed_due(&mut worker, later(900)).unwrap();
        let outcome = worker.on_reply_to(worker.last_question(), &rubbish, later(900), &NoHostCrypto);
        assert_eq!(outcome.counters, [Counter::Feed(CallOutcome::Failed)]);
        assert!(asks(&mut worker, &token(), later(1001)));
        assert!(feed_due(&mut worker, later(900)).is_some(), "another replica may answer at once");
        worker.on_reply_to(worker.last_question(), &rubbish, later(900), &NoHostCrypto);
        assert!(feed_due(&mut worker, later(949)).is_none(), "not at once again");
        assert!(feed_due(&mut worker, later(1000)).is_some());
    }
}

#[test]
fn last_known_serves_for_as_long_as_it_says_and_no_longer() {
    let mut document = config();
    document["routes"] = json!([{"name": "all", "failure_mode": {"last_known": "30s"}}]);
    let mut worker = worker_with(document);
    give_feed(&mut worker, &reply("e1", &[entry(1, ended())], 0, false), CLOCKS);
    let another = token_with(|claims| claims["sid"] = json!("K9gGyX.CwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"));
    let mut after_failure = |token: &str, now: Now| -> Outcome {
        let first = send(&mut worker, "/", token, now);
        if first.reply.is_some() {
            return first;
        }
        worker.on_request(1, check_reply(None), now, &NoHostCrypto).into()
    };
    assert_eq!(after_failure(&another, later(30_000)).described, ["decision=allow reason=last_known rule=all"]);
    assert_eq!(after_failure(&another, later(30_001)).code().as_deref(), Some("store_unavailable"));
    assert_eq!(after_failure(&token(), later(10_000)).code().as_deref(), Some("session_terminated"));
}

#[test]
fn a_known_suspension_holds_where_nobody_can_be_asked() {
    let mut document = config();
    document["bounds"] = json!({"max_held_requests": 1});
    document["routes"] = json!([
        {"name": "last_known", "match": {"path": {"exact": "/last-known"}}, "failure_mode": {"last_known": "30s"}},
        {"name": "allow", "match": {"path": {"exact": "/allow"}}, "failure_mode": "allow"},
    ]);
    for (path, code) in
        [("/last-known", "session_suspended"), ("/allow", "session_suspended"), ("/", "store_unavailable")]
    {
        let mut worker = worker_with(document.clone());
        give_feed(&mut worker, &reply("e1", &[entry(1, suspended(2))], 0, false), CLOCKS);
        assert!(send(&mut worker, path, &token(), later(2000)).call.is_some(), "it may have been lifted");
        let failed = check_reply(None);
        let outcome: Outcome = worker.on_request(1, failed, later(2100), &NoHostCrypto).into();
        assert_eq!(outcome.code().as_deref(), Some(code), "{path}");
    }
    let mut worker = worker_with(document);
    give_feed(&mut worker, &reply("e1", &[entry(1, suspended(2))], 0, false), CLOCKS);
    assert!(send(&mut worker, "/allow", &token(), later(2000)).call.is_some());
    let (name, value) = bearer(&token());
    let second = Event::Request(request("GET", "/allow", &[(name, &value)]));
    let full: Outcome = worker.on_request(2, second, later(2000), &NoHostCrypto).into();
    assert_eq!(full.code().as_deref(), Some("session_suspended"), "nor where no more may be held");
}

#[test]
fn a_session_that_may_have_gone_idle_is_asked_about_now_and_then() {
    let mut worker = following(&[]);
    let idle = token_with(|claims| claims["idle"] = json!(2));
    assert!(asks(&mut worker, &idle, CLOCKS));
    worker.on_request(1, verdict(CheckVerdict::Live), CLOCKS, &NoHostCrypto);
    assert!(!asks(&mut worker, &idle, later(499)));
    assert!(asks(&mut worker, &idle, later(500)), "a quarter of its idle time later");
    assert!(asks(&mut worker, &token_with(|claims| claims["pending_2fa"] = json!(true)), CLOCKS));
}

#[test]
fn a_verdict_that_the_feed_has_overtaken_does_not_admit() {
    let mut worker = following(&[]);
    assert!(asks(&mut worker, &token(), later(1001)));
    answer(&mut worker, &reply("e1", &[entry(1, ended())], 0, false), later(1002));
    let late: Outcome = worker.on_request(1, verdict(CheckVerdict::Live), later(1003), &NoHostCrypto).into();
    assert_eq!(late.code().as_deref(), Some("session_terminated"));
}

#[test]
fn open_streams_of_an_ended_session_are_ended_and_no_others() {
    let mut worker = following(&[]);
    let answered = || Event::Answer(Headers::from_iter([(":status", "200")]));
    let mut open = |id: u32, token: &str, has_answer: bool| {
        let (name, value) = bearer(token);
        worker.on_request(id, Event::Request(request("GET", "/", &[(name, &value)])), CLOCKS, &NoHostCrypto);
        if has_answer {
            worker.on_request(id, answered(), CLOCKS, &NoHostCrypto);
        }
    };
    let another = token_with(|claims| {
        claims["sid"] = json!("K9gGyX.CwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        claims["jti"] = json!("t9");
    });
    open(1, &token(), true);
    open(2, &token(), false);
    open(3, &another, true);
    let ended_now = answer(&mut worker, &reply("e1", &[entry(1, ended())], 0, false), later(10));
    assert_eq!(ended_now.iter().map(|(id, outcome)| (*id, outcome.stream_ended)).collect::<Vec<_>>(), [(1, true)]);
    let again = answer(&mut worker, &reply("e1", &[entry(1, ended())], 0, false), later(20));
    assert!(again.is_empty(), "once is enough");
}

#[test]
fn the_use_of_sessions_is_reported_in_batches() {
    let mut worker = following(&[]);
    for _ in 0..3 {
        send(&mut worker, "/", &token(), CLOCKS);
    }
    let report = due(&mut worker, Callout::Activity, CLOCKS).expect("it is time");
    let body: Value = serde_json::from_slice(&report.body.unwrap()).unwrap();
    assert_eq!(body, json!({"sessions": [SESSION]}));
    send(&mut worker, "/", &token(), CLOCKS);
    assert!(due(&mut worker, Callout::Activity, later(9_999)).is_none());
    assert!(due(&mut worker, Callout::Activity, later(10_000)).is_some());
}

#[test]
fn changed_keys_are_fetched_at_once() {
    let mut worker = following(&[]);
    // This takes the feed's question along.
    assert!(due(&mut worker, Callout::Keys, CLOCKS).is_none());
    give_feed(&mut worker, &reply("e1", &[entry(1, json!({"kind": "keys_changed"}))], 0, false), later(1));
    assert!(due(&mut worker, Callout::Keys, later(1)).is_some());
}
