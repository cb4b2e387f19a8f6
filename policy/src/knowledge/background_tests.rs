//! Requests that are no activity of the user's: they keep no session from going idle.

use serde_json::{Value, json};

use super::tests::{following_with, later};
use crate::{
    ids::Callout,
    request::Event,
    sidecar::client::{Call, CallReply},
    testing::{CLOCKS, Outcome, bearer, config, due, give, request, token_with},
    time::Now,
    worker::Worker,
};
use session_gate_jose::NoHostCrypto;

/// A worker that follows the feed, and has a route for polling.
fn worker() -> Worker {
    let mut document = config();
    let poll = json!({"name": "poll", "match": {"path": {"exact": "/poll"}}, "background": true});
    document["routes"].as_array_mut().unwrap().push(poll);
    following_with(document, &[])
}

/// A token of a session that ends when it has not been used for two seconds.
fn token() -> String {
    token_with(|claims| claims["idle"] = json!(2))
}

/// Sends a request, and has the sidecar say that its session lives if it is asked. The question.
fn send(worker: &mut Worker, path: &str, token: &str, now: Now) -> Option<Value> {
    worker.forget(1, now);
    let (name, value) = bearer(token);
    let sent: Outcome =
        worker.on_request(1, Event::Request(request("GET", path, &[(name, &value)])), now, &NoHostCrypto).into();
    let Some(call) = sent.call else {
        assert!(sent.forwarded.is_some());
        return None;
    };
    let live = CallReply { status: Some(200), body: br#"{"verdict":"live"}"#.to_vec() };
    let told = give(worker, sent.callout.unwrap(), &live, now);
    assert!(told.iter().any(|(_, outcome)| outcome.forwarded.is_some()));
    Some(body(&call))
}

fn body(call: &Call) -> Value {
    serde_json::from_slice(call.body.as_ref().unwrap()).unwrap()
}

#[test]
fn polling_asks_without_using_the_session_and_a_click_is_a_use() {
    let (mut worker, token) = (worker(), token());
    // Each time: a session that is looked at may go idle the moment after.
    for _ in 0..3 {
        let asked = send(&mut worker, "/poll", &token, CLOCKS).expect("it is asked about");
        assert_eq!(asked["background"], true);
    }
    assert!(due(&mut worker, Callout::Activity, later(60_000)).is_none(), "no use is reported");
    let click = send(&mut worker, "/orders", &token, CLOCKS).expect("nobody has used it yet");
    assert_eq!(click.get("background"), None, "as before, to a sidecar that does not know of it");
    assert_eq!(send(&mut worker, "/poll", &token, later(499)), None, "it was used a moment ago");
    assert!(send(&mut worker, "/poll", &token, later(500)).is_some());
    let report = due(&mut worker, Callout::Activity, later(60_000)).expect("the click is reported");
    assert_eq!(body(&report)["sessions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_session_without_an_idle_time_out_is_not_asked_about_for_polling() {
    let mut worker = worker();
    assert_eq!(send(&mut worker, "/poll", &token_with(|_| {}), CLOCKS), None);
    assert!(due(&mut worker, Callout::Activity, later(60_000)).is_none());
}

#[test]
fn an_open_stream_of_such_a_route_is_asked_about_in_the_same_way() {
    let (mut worker, token) = (worker(), token());
    send(&mut worker, "/poll", &token, CLOCKS);
    worker.on_request(1, Event::Answer([(":status", "200")].into_iter().collect()), CLOCKS, &NoHostCrypto);
    let woken = worker.on_alarms(later(500), &NoHostCrypto);
    let outcome: Outcome = woken.into_iter().next().map(|(_, effects)| effects.into()).expect("its alarm rings");
    assert_eq!(body(&outcome.call.expect("it is asked about"))["background"], true);
}
