//! What the feed does not tell any more: by age, and in another epoch. And calls that end their own session.

use std::rc::Rc;

use serde_json::json;
use session_gate_jose::NoHostCrypto;
use session_gate_protocol::{CheckReply, CheckVerdict, CheckedSession, UnixSeconds};

use super::{
    kind_tests::{foreign, live},
    standing_tests::{bobs, establish, of_bob, routes},
    tests::{answer, entry, following_with, later, reply, send},
};
use crate::{
    http::headers::Headers,
    request::{CheckOutcome, Event},
    sidecar::in_flight::Asked,
    testing::{CLOCKS, NOW, Outcome, SESSION, bearer, config, request, token, token_with},
    time::Now,
    worker::Worker,
};

const HOUR_MS: u64 = 3_600_000;

fn after(millis: u64) -> Now {
    Now { wall: UnixSeconds(NOW.0 + millis / 1_000), ..later(millis) }
}

fn open_stream(worker: &mut Worker, path: &str, token: &str) {
    assert!(send(worker, path, token, CLOCKS).forwarded.is_some());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
}

/// The next alarm asks.
fn ask(worker: &mut Worker, now: Now) {
    let (_, effects) = worker.on_alarms(now, &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).call.is_some(), "the sidecar is asked");
}

/// What comes of that answer to what was asked then.
fn answered(worker: &mut Worker, (asked, epoch): (Now, &str), reply: Option<CheckReply>, now: Now) -> Outcome {
    let asked = Asked { at: asked.monotonic, epoch: Some(epoch.into()) };
    worker.on_request(1, Event::Check(Rc::new(CheckOutcome { reply, asked })), now, &NoHostCrypto).into()
}

/// The next alarm's question, and what came of that answer to it.
fn asked_at(worker: &mut Worker, now: Now, reply: Option<CheckReply>, epoch: &str) -> Outcome {
    ask(worker, now);
    answered(worker, (now, epoch), reply, now)
}

/// The feed forgets the end of a session once no token of the sidecar's can name it: an hour later at the soonest.
#[test]
fn a_session_that_was_asked_about_longer_ago_than_the_feed_remembers_is_asked_about_again() {
    let long = |session: &mut CheckedSession| session.expires_at = UnixSeconds(NOW.0 + 86_400);
    for (millis, is_asked) in [(HOUR_MS - 1, false), (HOUR_MS, true)] {
        let mut worker = following_with(routes(), &[]);
        let token = foreign(|claims| {
            claims["sid"] = json!(bobs(0));
            claims["exp"] = json!(NOW.0 + 86_400);
        });
        assert!(establish(&mut worker, &token, "/session", &live(Some(of_bob(0, long)))).forwarded.is_some());
        let now = after(millis);
        answer(&mut worker, &reply("e1", &[], 0, false), now);
        assert_eq!(send(&mut worker, "/session", &token, now).is_held(), is_asked, "{millis}");
    }
}

#[test]
fn in_another_epoch_and_after_a_long_silence_open_streams_are_asked_about() {
    let lasting = token_with(|claims| claims["session_exp"] = json!(NOW.0 + 86_400));
    for (millis, epoch, is_asked) in [(10, "e1", false), (10, "e2", true), (HOUR_MS, "e1", true)] {
        let mut worker = following_with(config(), &[]);
        open_stream(&mut worker, "/", &lasting);
        let now = after(millis);
        assert!(answer(&mut worker, &reply(epoch, &[], 0, false), now).is_empty(), "none is ended for nothing");
        assert_eq!(worker.on_alarms(now, &NoHostCrypto).is_empty(), !is_asked, "{millis} {epoch}");
    }
    let mut worker = following_with(config(), &[]);
    open_stream(&mut worker, "/", &lasting);
    answer(&mut worker, &reply("e2", &[], 0, false), later(10));
    assert!(!asked_at(&mut worker, later(10), None, "e2").stream_ended, "nobody could be asked: it goes on");
    assert!(!asked_at(&mut worker, later(1_010), Some(CheckVerdict::Live.into()), "e2").stream_ended);
    assert!(worker.on_alarms(later(9_000), &NoHostCrypto).is_empty(), "once is enough");
    answer(&mut worker, &reply("e3", &[], 0, false), later(9_010));
    assert!(asked_at(&mut worker, later(9_010), Some(CheckVerdict::SessionUnknown.into()), "e3").stream_ended);
}

/// Its session is asked about again before the first question was answered: a new epoch has begun.
#[test]
fn an_open_stream_does_not_end_for_a_question_that_was_overtaken() {
    let lasting = token_with(|claims| claims["session_exp"] = json!(NOW.0 + 86_400));
    let unknown = || Some(CheckVerdict::SessionUnknown.into());
    for (reply_to_the_first, ends) in [(None, false), (Some(CheckVerdict::Live.into()), false), (unknown(), true)] {
        let mut worker = following_with(config(), &[]);
        open_stream(&mut worker, "/", &lasting);
        for (epoch, millis) in [("e2", 10), ("e3", 20)] {
            answer(&mut worker, &reply(epoch, &[], 0, false), later(millis));
            ask(&mut worker, later(millis));
        }
        assert!(!answered(&mut worker, (later(20), "e3"), Some(CheckVerdict::Live.into()), later(30)).stream_ended);
        let outcome = answered(&mut worker, (later(10), "e2"), reply_to_the_first, later(260));
        assert_eq!(outcome.stream_ended, ends, "a refusal holds whenever it was asked for");
        assert!(worker.on_alarms(later(9_000), &NoHostCrypto).is_empty(), "nothing is left to ask");
    }
}

#[test]
fn an_open_stream_is_asked_about_in_another_epoch_whatever_was_asked_before_and_whenever_its_answer_begins() {
    let idle = token_with(|claims| {
        claims["session_exp"] = json!(NOW.0 + 86_400);
        claims["idle"] = json!(400);
    });
    let mut worker = following_with(config(), &[]);
    establish(&mut worker, &idle, "/", &CheckVerdict::Live.into());
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), CLOCKS, &NoHostCrypto);
    ask(&mut worker, later(100_000));
    answer(&mut worker, &reply("e2", &[], 0, false), later(100_010));
    let live = || Some(CheckVerdict::Live.into());
    assert!(!answered(&mut worker, (later(100_000), "e1"), live(), later(100_020)).stream_ended);
    assert!(!asked_at(&mut worker, later(100_030), live(), "e2").stream_ended);
    assert!(worker.on_alarms(later(109_000), &NoHostCrypto).is_empty(), "once is enough");

    let lasting = token_with(|claims| claims["session_exp"] = json!(NOW.0 + 86_400));
    let mut worker = following_with(config(), &[]);
    assert!(send(&mut worker, "/", &lasting, CLOCKS).forwarded.is_some());
    answer(&mut worker, &reply("e2", &[], 0, false), later(10));
    worker.on_request(1, Event::Answer(Headers::from_iter([(":status", "200")])), later(20), &NoHostCrypto);
    assert!(asked_at(&mut worker, later(50), Some(CheckVerdict::SessionUnknown.into()), "e2").stream_ended);
}

#[test]
fn a_call_of_grpc_that_ends_its_own_session_has_a_moment_for_its_answer() {
    let mut worker = following_with(config(), &[]);
    let (name, value) = bearer(&token());
    let call = request("POST", "/", &[(name, &value), ("content-type", "application/grpc")]);
    worker.on_request(1, Event::Request(call), CLOCKS, &NoHostCrypto);
    let ended = json!({"kind": "session_ended", "session_id": SESSION});
    assert!(answer(&mut worker, &reply("e1", &[entry(1, ended)], 0, false), later(10)).is_empty());
    assert!(worker.on_alarms(later(1_009), &NoHostCrypto).is_empty());
    let (_, effects) = worker.on_alarms(later(1_010), &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).stream_ended, "a stream that says nothing for so long goes on and on");
}
