//! Whom the predicate serves: second factors, sessions of other issuers' tokens, streams, failure modes.

use std::rc::Rc;

use serde_json::{Value, json};
use session_gate_jose::NoHostCrypto;
use session_gate_protocol::{CheckReply, CheckVerdict, CheckedSession, Scopes, SlotTag, UnixSeconds};

use super::{
    kind_tests::{answer_check, foreign, foreign_config, live},
    tests::{answer, entry, following_with, later, reply, send},
};
use crate::{
    http::headers::{HeaderChange, Headers},
    request::{CheckOutcome, Event},
    sidecar::in_flight::Asked,
    testing::{CLOCKS, NOW, Outcome, SESSION, bearer, check_reply, config, request, token, token_with, verdict},
    time::Now,
    worker::Worker,
};

/// A session of bob's, whose tokens another issuer mints.
pub(super) fn bobs(number: u8) -> String {
    let random = char::from(b'A' + number).to_string().repeat(43);
    format!("{}.{random}", SlotTag::of_user(&"bob".parse().unwrap()))
}

pub(super) fn of_bob(number: u8, change: impl FnOnce(&mut CheckedSession)) -> CheckedSession {
    let mut session = CheckedSession {
        session_id: bobs(number).parse().unwrap(),
        expires_at: UnixSeconds(NOW.0 + 600),
        idle_timeout: None,
        scopes: None,
        version: 1,
        generation: 0,
    };
    change(&mut session);
    session
}

/// A token of bob's that names one of his sessions here.
fn naming(number: u8) -> String {
    foreign(|claims| {
        claims["sid"] = json!(bobs(number));
        claims["jti"] = json!(format!("f{number}"));
        claims["scope"] = json!("read write");
    })
}

pub(super) fn routes() -> Value {
    let mut document = foreign_config();
    let routes = json!([
        {"name": "write", "match": {"path": {"exact": "/write"}}, "require_session": true, "scopes": {"all": ["write"]}},
        {"name": "second", "match": {"path": {"exact": "/2fa"}}, "require_session": true, "accept_pending_2fa": true},
        {"name": "session", "match": {"path": {"exact": "/session"}}, "require_session": true},
        {"name": "open-session", "match": {"path": {"exact": "/open-session"}}, "require_session": true,
         "failure_mode": "allow"},
        {"name": "open", "match": {"path": {"exact": "/open"}}, "failure_mode": "allow"},
        {"name": "last-known", "match": {"path": {"exact": "/last-known"}}, "failure_mode": {"last_known": "30s"}},
        {"name": "open-2fa", "match": {"path": {"exact": "/open-2fa"}}, "failure_mode": "allow",
         "accept_pending_2fa": true},
    ]);
    document["routes"] = routes;
    document
}

/// Serves a request of bob's for which the sidecar names that session.
pub(super) fn establish(worker: &mut Worker, token: &str, path: &str, reply: &CheckReply) -> Outcome {
    let asked = send(worker, path, token, CLOCKS);
    answer_check(worker, asked, reply).remove(0).1
}

fn code(outcome: &Outcome) -> Option<String> {
    outcome.code()
}

#[test]
fn no_failure_mode_makes_up_for_a_second_factor_that_is_missing() {
    let pending = token_with(|claims| claims["pending_2fa"] = json!(true));
    for (path, allowed) in [("/open", None), ("/last-known", None), ("/open-2fa", Some("failure_mode"))] {
        let mut worker = following_with(routes(), &[]);
        assert!(send(&mut worker, path, &pending, CLOCKS).is_held(), "only the sidecar can tell");
        let failed: Outcome = worker.on_request(1, check_reply(None), CLOCKS, &NoHostCrypto).into();
        match allowed {
            Some(reason) => assert_eq!(failed.described, [format!("decision=allow reason={reason} rule=open-2fa")]),
            None => assert_eq!(code(&failed).as_deref(), Some("session_pending_2fa"), "{path}"),
        }
    }
}

#[test]
fn a_full_worker_admits_no_second_factor_that_is_missing_and_no_session_that_nobody_vouches_for() {
    let mut document = routes();
    document["bounds"] = json!({"max_held_requests": 1});
    let mut worker = following_with(document, &[]);
    let pending = token_with(|claims| claims["pending_2fa"] = json!(true));
    let mut at = |id: u32, path: &str, token: &str| -> Outcome {
        let (name, value) = bearer(token);
        worker.on_request(id, Event::Request(request("GET", path, &[(name, &value)])), CLOCKS, &NoHostCrypto).into()
    };
    assert!(at(1, "/open", &pending).is_held());
    assert_eq!(code(&at(2, "/open", &pending)).as_deref(), Some("session_pending_2fa"));
    assert_eq!(code(&at(3, "/open-session", &naming(0))).as_deref(), Some("overloaded"));
}

#[test]
fn a_foreign_token_without_the_session_that_its_route_asks_for_is_not_served_by_a_failure_mode() {
    let mut worker = following_with(routes(), &[]);
    assert!(send(&mut worker, "/open-session", &naming(0), CLOCKS).is_held());
    let failed: Outcome = worker.on_request(1, check_reply(None), CLOCKS, &NoHostCrypto).into();
    assert_eq!(code(&failed).as_deref(), Some("store_unavailable"));
    // Nor for good, where its session may permit more than it says.
    let reads = foreign(|claims| {
        claims["sid"] = json!(bobs(0));
        claims["scope"] = json!("read");
    });
    assert!(send(&mut worker, "/write", &reads, CLOCKS).is_held());
    let failed: Outcome = worker.on_request(1, check_reply(None), CLOCKS, &NoHostCrypto).into();
    assert_eq!(code(&failed).as_deref(), Some("store_unavailable"));
    // With one that was vouched for in time it is.
    let mut worker = following_with(routes(), &[]);
    let served = establish(&mut worker, &naming(0), "/open-session", &live(Some(of_bob(0, |_| {}))));
    assert!(served.forwarded.is_some());
    assert!(send(&mut worker, "/open-session", &naming(0), later(2_000)).is_held());
    let failed: Outcome = worker.on_request(1, check_reply(None), later(2_000), &NoHostCrypto).into();
    assert_eq!(failed.described, ["decision=allow reason=failure_mode rule=open-session"]);
}

#[test]
fn a_foreign_token_is_judged_by_the_session_that_its_sid_names() {
    let ended = json!({"kind": "session_ended", "session_id": bobs(1)});
    let mut worker = following_with(routes(), &[]);
    assert!(establish(&mut worker, &naming(0), "/session", &live(Some(of_bob(0, |_| {})))).forwarded.is_some());
    assert!(send(&mut worker, "/session", &naming(0), CLOCKS).forwarded.is_some(), "warm");
    assert!(send(&mut worker, "/session", &naming(1), CLOCKS).is_held(), "the other session's is another question");
    answer(&mut worker, &reply("e1", &[entry(1, ended)], 0, false), CLOCKS);
    assert_eq!(code(&send(&mut worker, "/session", &naming(1), CLOCKS)).as_deref(), Some("session_terminated"));
    assert!(send(&mut worker, "/session", &naming(0), CLOCKS).forwarded.is_some());
}

#[test]
fn a_foreign_sessions_scopes_count_on_every_request_and_for_open_streams() {
    let mut worker = following_with(routes(), &[]);
    let narrowed = of_bob(0, |session| session.scopes = Some(Scopes::parse_list("read").unwrap()));
    let first = establish(&mut worker, &naming(0), "/write", &live(Some(narrowed)));
    assert_eq!(code(&first).as_deref(), Some("scope_insufficient"));
    let warm = send(&mut worker, "/write", &naming(0), CLOCKS);
    assert_eq!(code(&warm).as_deref(), Some("scope_insufficient"), "not only the first");
    // A stream ends when its session loses what it was opened with.
    let mut worker = following_with(routes(), &[]);
    assert!(establish(&mut worker, &naming(0), "/write", &live(Some(of_bob(0, |_| {})))).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    let change = json!({"kind": "session_scopes", "session_id": bobs(0), "version": 2, "scopes": ["read"]});
    let ended = answer(&mut worker, &reply("e1", &[entry(1, change)], 0, false), CLOCKS);
    assert!(matches!(ended.as_slice(), [(1, Outcome { stream_ended: true, .. })]));
}

/// On every route: none of these asks for a session.
#[test]
fn a_foreign_token_that_names_a_session_is_served_in_that_one_wherever_it_goes() {
    let mut document = routes();
    document["routes"].as_array_mut().unwrap().extend([
        json!({"name": "scoped", "match": {"path": {"exact": "/scoped"}}, "scopes": {"all": ["write"]}}),
        json!({"name": "factor", "match": {"path": {"exact": "/factor"}}, "accept_pending_2fa": true}),
    ]);
    let narrowed = live(Some(of_bob(0, |session| session.scopes = Some(Scopes::parse_list("read").unwrap()))));
    let mut worker = following_with(document.clone(), &[]);
    let first = send(&mut worker, "/scoped", &naming(0), CLOCKS);
    let question: Value = serde_json::from_slice(first.call.as_ref().unwrap().body.as_ref().unwrap()).unwrap();
    assert_eq!(question["credential"]["require_session"], json!(true), "{question}");
    let refused = answer_check(&mut worker, first, &narrowed).remove(0).1;
    assert_eq!(code(&refused).as_deref(), Some("scope_insufficient"), "its session permits less than it says");
    let warm = send(&mut worker, "/", &naming(0), CLOCKS);
    let session = |outcome: &Outcome| {
        let forwarded = outcome.forwarded.as_ref()?.iter();
        forwarded
            .filter_map(|change| match change {
                HeaderChange::Set(name, value) if name == "x-session-id" => String::from_utf8(value.clone()).ok(),
                HeaderChange::Set(..) | HeaderChange::Add(..) | HeaderChange::Remove(_) => None,
            })
            .next()
    };
    assert_eq!(session(&warm), Some(bobs(0)), "asked once, and known from then on");

    for (verdict, path, refusal) in [
        (CheckVerdict::SessionPending2fa, "/", Some("session_pending_2fa")),
        (CheckVerdict::SessionPending2fa, "/factor", None),
        (CheckVerdict::SessionUnknown, "/", Some("session_unknown")),
        (CheckVerdict::SessionExpired, "/", Some("session_expired")),
    ] {
        let mut worker = following_with(document.clone(), &[]);
        let named = (verdict == CheckVerdict::SessionPending2fa).then(|| of_bob(0, |_| {}));
        let reply = CheckReply { session: named, ..CheckReply::from(verdict) };
        for _ in 0..2 {
            let outcome = establish(&mut worker, &naming(0), path, &reply);
            assert_eq!(code(&outcome).as_deref(), refusal, "{path}");
        }
    }
    // Nobody can vouch for it: no failure mode does.
    let mut worker = following_with(document.clone(), &[]);
    assert!(send(&mut worker, "/open", &naming(0), CLOCKS).is_held());
    let failed: Outcome = worker.on_request(1, check_reply(None), CLOCKS, &NoHostCrypto).into();
    assert_eq!(code(&failed).as_deref(), Some("store_unavailable"));
    // An id of the issuer's own, or of another user's, says nothing here.
    let others = format!("{}.{}", SlotTag::of_user(&"eve".parse().unwrap()), "A".repeat(43));
    let mut worker = following_with(document, &[]);
    for sid in ["theirs", &others] {
        let token = foreign(|claims| claims["sid"] = json!(sid));
        assert!(send(&mut worker, "/", &token, CLOCKS).forwarded.is_some(), "{sid}");
    }
}

#[test]
fn a_session_that_awaits_its_second_factor_is_never_remembered_as_live() {
    let mut worker = following_with(routes(), &[]);
    let pending = CheckReply { session: Some(of_bob(0, |_| {})), ..CheckReply::from(CheckVerdict::SessionPending2fa) };
    assert!(establish(&mut worker, &naming(0), "/2fa", &pending).forwarded.is_some());
    let elsewhere = send(&mut worker, "/session", &naming(0), CLOCKS);
    assert!(elsewhere.is_held(), "it must be asked about again");
    let refused = answer_check(&mut worker, elsewhere, &pending).remove(0).1;
    assert_eq!(code(&refused).as_deref(), Some("session_pending_2fa"));
}

#[test]
fn all_of_a_users_sessions_are_cut_off_in_one_change_but_later_ones_and_the_survivor() {
    let cut = json!({"kind": "user_sessions_ended", "user_id": "alice", "before": 3, "issued_until": NOW.0});
    let of = |generation: u64| token_with(|claims| claims["gen"] = json!(generation));
    let mut worker = following_with(routes(), &[entry(1, cut.clone())]);
    assert_eq!(code(&send(&mut worker, "/", &of(2), CLOCKS)).as_deref(), Some("session_terminated"));
    assert_eq!(code(&send(&mut worker, "/", &token(), CLOCKS)).as_deref(), Some("session_terminated"));
    assert!(send(&mut worker, "/", &of(3), CLOCKS).forwarded.is_some());
    let mut survives = cut;
    survives["except"] = json!(SESSION);
    let mut worker = following_with(routes(), &[entry(1, survives)]);
    assert!(send(&mut worker, "/", &of(2), CLOCKS).forwarded.is_some());
    // Other issuers' tokens for the user go by when they were issued.
    let cut = json!({"kind": "user_sessions_ended", "user_id": "bob", "before": 1, "issued_until": NOW.0});
    let mut worker = following_with(routes(), &[entry(1, cut)]);
    assert_eq!(code(&send(&mut worker, "/", &foreign(|_| {}), CLOCKS)).as_deref(), Some("token_revoked"));
    let after = foreign(|claims| claims["iat"] = json!(NOW.0 + 1));
    assert!(send(&mut worker, "/", &after, CLOCKS).forwarded.is_some());
}

#[test]
fn a_cut_off_ends_the_open_streams_of_the_user_and_no_others() {
    let mut worker = following_with(routes(), &[]);
    let theirs = foreign(|claims| claims["sub"] = json!("carol"));
    for (id, token) in [(1, token()), (2, theirs)] {
        let (name, value) = bearer(&token);
        worker.on_request(id, Event::Request(request("GET", "/", &[(name, &value)])), CLOCKS, &NoHostCrypto);
        worker.on_request(id, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    }
    let cut = json!({"kind": "user_sessions_ended", "user_id": "alice", "before": 1, "issued_until": NOW.0});
    let ended = answer(&mut worker, &reply("e1", &[entry(1, cut)], 0, false), CLOCKS);
    assert_eq!(ended.iter().map(|(id, outcome)| (*id, outcome.stream_ended)).collect::<Vec<_>>(), [(1, true)]);
}

/// Opens a stream and returns when its alarm ends it, in seconds from [`CLOCKS`].
fn ends_after(worker: &mut Worker, token: &str) -> Option<u64> {
    let (name, value) = bearer(token);
    worker.on_request(1, Event::Request(request("GET", "/", &[(name, &value)])), CLOCKS, &NoHostCrypto);
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    (0..5_000).find(|seconds| {
        let now = Now { wall: UnixSeconds(NOW.0 + seconds), ..later(seconds * 1_000) };
        let outcomes = worker.on_alarms(now, &NoHostCrypto);
        outcomes.into_iter().any(|(_, effects)| Outcome::from(effects).stream_ended)
    })
}

#[test]
fn a_stream_ends_when_its_sessions_time_is_over_not_its_tokens_and_without_a_session_its_tokens() {
    let session_ends = token_with(|claims| {
        claims["exp"] = json!(NOW.0 + 60);
        claims["session_exp"] = json!(NOW.0 + 600);
    });
    assert_eq!(ends_after(&mut following_with(config(), &[]), &session_ends), Some(600));
    let without = token_with(|claims| {
        claims.as_object_mut().unwrap().remove("sid");
        claims["exp"] = json!(NOW.0 + 60);
    });
    assert_eq!(ends_after(&mut following_with(config(), &[]), &without), Some(60));
    let theirs = foreign(|claims| claims["exp"] = json!(NOW.0 + 90));
    assert_eq!(ends_after(&mut following_with(foreign_config(), &[]), &theirs), Some(90 + 30), "their leeway");
}

#[test]
fn an_open_streams_session_is_asked_about_where_nobody_can_know_whether_its_time_is_over() {
    let old = token_with(|claims| claims["exp"] = json!(NOW.0 + 60));
    let mut worker = following_with(config(), &[]);
    assert_eq!(ends_after(&mut worker, &old), None, "it is asked about instead");
    let now = Now { wall: UnixSeconds(NOW.0 + 60), ..later(60_000) };
    let ended: Outcome = worker.on_request(1, verdict(CheckVerdict::SessionExpired), now, &NoHostCrypto).into();
    assert!(ended.stream_ended);
}

#[test]
fn a_stream_of_a_session_with_an_idle_timeout_is_asked_about_and_outlives_an_outage_shorter_than_it() {
    let idle = token_with(|claims| {
        claims["idle"] = json!(400);
        claims["session_exp"] = json!(NOW.0 + 4_000);
    });
    let mut worker = following_with(config(), &[]);
    let asked = send(&mut worker, "/", &idle, CLOCKS);
    answer_check(&mut worker, asked, &CheckReply::from(CheckVerdict::Live));
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    assert!(worker.on_alarms(later(99_999), &NoHostCrypto).is_empty());
    let (_, effects) = worker.on_alarms(later(100_000), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).call.is_some(), "a quarter of its idle time has passed");
    let outage: Outcome = worker.on_request(1, check_reply(None), later(100_250), &NoHostCrypto).into();
    assert!(!outage.stream_ended);
    worker.on_alarms(later(399_000), &NoHostCrypto);
    let outage: Outcome = worker.on_request(1, check_reply(None), later(400_000), &NoHostCrypto).into();
    assert!(outage.stream_ended, "by then its session may be over, and nobody can be asked");
}

#[test]
fn a_stream_ends_with_the_answer_that_says_that_its_session_permits_less_by_now() {
    let scoped = |version, scopes: &str| {
        live(Some(of_bob(0, |session| {
            session.idle_timeout = Some(400);
            (session.version, session.scopes) = (version, Some(Scopes::parse_list(scopes).unwrap()));
        })))
    };
    let mut worker = following_with(routes(), &[]);
    assert!(establish(&mut worker, &naming(0), "/write", &scoped(1, "read write")).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    let mut answered = |millis, reply| -> Outcome {
        let (_, effects) = worker.on_alarms(later(millis), &NoHostCrypto).remove(0);
        assert!(Outcome::from(effects).call.is_some());
        let asked = Asked { at: later(millis).monotonic, epoch: Some("e1".into()) };
        let reply = Event::Check(Rc::new(CheckOutcome { reply: Some(reply), asked }));
        worker.on_request(1, reply, later(millis), &NoHostCrypto).into()
    };
    assert!(!answered(100_000, scoped(2, "read write")).stream_ended);
    assert!(answered(200_000, scoped(3, "read")).stream_ended);
}

#[test]
fn a_stream_that_waits_for_its_second_factor_is_asked_about_as_rarely_as_any() {
    let pending = token_with(|claims| {
        claims["idle"] = json!(400);
        claims["pending_2fa"] = json!(true);
        claims["session_exp"] = json!(NOW.0 + 4_000);
    });
    let mut worker = following_with(routes(), &[]);
    let asked = send(&mut worker, "/2fa", &pending, CLOCKS);
    let waits = CheckReply::from(CheckVerdict::SessionPending2fa);
    assert!(answer_check(&mut worker, asked, &waits).remove(0).1.forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    let (_, effects) = worker.on_alarms(later(100_000), &NoHostCrypto).remove(0);
    let asked = Outcome::from(effects);
    assert!(asked.call.is_some());
    let asked_at = Asked { at: later(100_000).monotonic, epoch: Some("e1".into()) };
    let reply = Event::Check(Rc::new(CheckOutcome { reply: Some(waits), asked: asked_at }));
    let answered: Outcome = worker.on_request(1, reply, later(100_010), &NoHostCrypto).into();
    assert!(!answered.stream_ended);
    assert!(worker.on_alarms(later(199_999), &NoHostCrypto).is_empty(), "not every second");
    let (_, effects) = worker.on_alarms(later(200_000), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).call.is_some());
}

#[test]
fn a_stream_whose_answer_begins_after_its_session_has_ended_is_ended_a_moment_later() {
    let mut worker = following_with(config(), &[]);
    let (name, value) = bearer(&token());
    worker.on_request(1, Event::Request(request("POST", "/chat", &[(name, &value)])), CLOCKS, &NoHostCrypto);
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    assert!(answer(&mut worker, &reply("e1", &[entry(1, ended)], 0, false), later(10)).is_empty());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), later(20), &NoHostCrypto);
    assert!(worker.on_alarms(later(1_019), &NoHostCrypto).is_empty(), "it may be the answer that says so");
    let (_, effects) = worker.on_alarms(later(1_020), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).stream_ended);
    assert!(worker.on_alarms(later(9_000), &NoHostCrypto).is_empty(), "once is enough");
}

/// A store that was set back to an earlier state counts versions anew.
#[test]
fn what_the_sidecar_has_said_in_an_earlier_epoch_does_not_outweigh_what_the_feed_says_in_this_one() {
    let suspended = |version: u64| json!({"kind": "session_suspended", "session_id": bobs(0), "version": version});
    let scopes =
        |version: u64| json!({"kind": "session_scopes", "session_id": bobs(0), "version": version, "scopes": ["read"]});
    for change in [suspended(3), scopes(3), suspended(5), scopes(5)] {
        for (epoch, ends) in [("e2", true), ("e1", change["version"] == 5)] {
            let mut worker = following_with(routes(), &[]);
            let said = |session: &mut CheckedSession| {
                session.version = 4;
                session.scopes = Some(Scopes::parse_list("write").unwrap());
            };
            let served = establish(&mut worker, &naming(0), "/write", &live(Some(of_bob(0, said))));
            assert!(served.forwarded.is_some());
            worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
            let ended = answer(&mut worker, &reply(epoch, &[entry(1, change.clone())], 0, false), later(10));
            assert_eq!(!ended.is_empty(), ends, "{change} in {epoch}");
        }
    }
}

/// Its client sends on and on, and is not answered before it has done.
#[test]
fn a_request_without_an_answer_does_not_outlive_its_session_for_long() {
    let (name, value) = bearer(&token_with(|claims| claims["session_exp"] = json!(NOW.0 + 60)));
    let upload = || Event::Request(request("POST", "/", &[(name, &value)]));
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    let mut worker = following_with(config(), &[]);
    worker.on_request(1, upload(), CLOCKS, &NoHostCrypto);
    assert!(answer(&mut worker, &reply("e1", &[entry(1, ended.clone())], 0, false), later(10)).is_empty());
    assert!(worker.on_alarms(later(15_009), &NoHostCrypto).is_empty(), "it may be the request that says so");
    let (_, effects) = worker.on_alarms(later(15_010), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).stream_ended);
    // Nor does it end sooner, for its session is looked at now and then.
    let idle = bearer(&token_with(|claims| claims["idle"] = json!(40)));
    let mut worker = following_with(config(), &[]);
    let asked = Event::Request(request("POST", "/", &[(idle.0, &idle.1)]));
    worker.on_request(1, asked, CLOCKS, &NoHostCrypto);
    worker.on_request(1, verdict(CheckVerdict::Live), CLOCKS, &NoHostCrypto);
    answer(&mut worker, &reply("e1", &[entry(1, ended.clone())], 0, false), later(9_000));
    assert!(worker.on_alarms(later(23_999), &NoHostCrypto).is_empty());
    let (_, effects) = worker.on_alarms(later(24_000), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).stream_ended);
    // By time, too.
    let mut worker = following_with(config(), &[]);
    worker.on_request(1, upload(), CLOCKS, &NoHostCrypto);
    let at = |seconds: u64| Now { wall: UnixSeconds(NOW.0 + seconds), ..later(seconds * 1_000) };
    assert!(worker.on_alarms(at(74), &NoHostCrypto).is_empty());
    let (_, effects) = worker.on_alarms(at(75), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).stream_ended);
}

#[test]
fn a_foreign_tokens_stream_asks_whether_its_session_is_idle() {
    let mut worker = following_with(routes(), &[]);
    let idle = of_bob(0, |session| {
        session.idle_timeout = Some(400);
        session.expires_at = UnixSeconds(NOW.0 + 4_000);
    });
    assert!(establish(&mut worker, &naming(0), "/session", &live(Some(idle))).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    assert!(worker.on_alarms(later(99_999), &NoHostCrypto).is_empty());
    let (_, effects) = worker.on_alarms(later(100_000), &NoHostCrypto).remove(0);
    let call = Outcome::from(effects).call.expect("the sidecar is asked, which counts as use");
    let asked: Value = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
    assert_eq!(asked["credential"]["require_session"], true, "{asked}");
    let over: Outcome =
        worker.on_request(1, verdict(CheckVerdict::SessionExpired), later(100_010), &NoHostCrypto).into();
    assert!(over.stream_ended);
}

#[test]
fn a_foreign_user_whose_remembered_session_is_suspended_may_have_another() {
    let unnamed = || foreign(|claims| claims["scope"] = json!("read write"));
    let mut worker = following_with(routes(), &[]);
    assert!(establish(&mut worker, &unnamed(), "/session", &live(Some(of_bob(0, |_| {})))).forwarded.is_some());
    let suspended = json!({"kind": "session_suspended", "session_id": bobs(0), "version": 2});
    answer(&mut worker, &reply("e1", &[entry(1, suspended)], 0, false), CLOCKS);
    let again = send(&mut worker, "/session", &unnamed(), CLOCKS);
    assert!(again.is_held(), "it asks which");
    let served = answer_check(&mut worker, again, &live(Some(of_bob(1, |_| {})))).remove(0).1;
    assert!(served.forwarded.is_some());
}

#[test]
fn a_reply_outweighs_a_suspension_only_where_it_is_of_a_later_version() {
    let suspended = json!({"kind": "session_suspended", "session_id": SESSION, "version": 4});
    for (version, is_served) in [(3, false), (4, false), (5, true)] {
        let mut worker = following_with(config(), &[entry(1, suspended.clone())]);
        let asked = send(&mut worker, "/", &token(), later(2_000));
        let session = CheckedSession { session_id: SESSION.parse().unwrap(), version, ..of_bob(0, |_| {}) };
        let body = serde_json::to_vec(&live(Some(session))).unwrap();
        let reply = crate::sidecar::client::CallReply { status: Some(200), body };
        let outcome = crate::testing::give(&mut worker, asked.callout.unwrap(), &reply, later(2_000)).remove(0).1;
        assert_eq!(outcome.forwarded.is_some(), is_served, "{version}");
    }
}

#[test]
fn a_change_that_must_be_understood_makes_a_worker_stale_and_not_deaf() {
    let unknown = json!({"kind": "brand_new", "x": 1});
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    let other = token_with(|claims| {
        claims["sid"] = json!(SESSION.replace('B', "C"));
        claims["jti"] = json!("t2");
    });
    let mut worker = following_with(config(), &[entry(1, unknown), entry(2, ended)]);
    assert_eq!(code(&send(&mut worker, "/", &token(), CLOCKS)).as_deref(), Some("session_terminated"));
    assert!(send(&mut worker, "/", &other, CLOCKS).is_held(), "it asks");
    let harmless = json!({"kind": "hint", "must_understand": false});
    let mut worker = following_with(config(), &[entry(1, harmless)]);
    assert!(send(&mut worker, "/", &other, CLOCKS).forwarded.is_some());
}

#[test]
fn a_reply_of_another_epoch_teaches_nothing() {
    let mut worker = following_with(routes(), &[]);
    let asked = send(&mut worker, "/session", &naming(0), CLOCKS);
    // The store is set back meanwhile: its versions count anew.
    answer(&mut worker, &reply("e2", &[], 0, false), CLOCKS);
    let told = of_bob(0, |session| {
        session.version = 9;
        session.scopes = Some(Scopes::parse_list("read write").unwrap());
    });
    answer_check(&mut worker, asked, &live(Some(told)));
    let change = json!({"kind": "session_scopes", "session_id": bobs(0), "version": 2, "scopes": ["read"]});
    answer(&mut worker, &reply("e2", &[entry(1, change)], 0, false), CLOCKS);
    let session = of_bob(0, |session| session.version = 2);
    let refused = establish(&mut worker, &naming(0), "/write", &live(Some(session)));
    assert_eq!(code(&refused).as_deref(), Some("scope_insufficient"));
}
