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

/// The next alarm's question, and what came of that answer to it.
fn asked_at(worker: &mut Worker, now: Now, reply: Option<CheckReply>, epoch: &str) -> Outcome {
    let (_, effects) = worker.on_alarms(now, &NoHostCrypto).remove(0);
    assert!(Outcome::from(effects).call.is_some(), "the sidecar is asked");
    let asked = Asked { at: now.monotonic, epoch: Some(epoch.into()) };
    worker.on_request(1, Event::Check(Rc::new(CheckOutcome { reply, asked })), now, &NoHostCrypto).into()
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
