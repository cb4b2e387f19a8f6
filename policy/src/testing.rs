//! Keys, tokens and a worker for tests.

use std::{rc::Rc, time::Duration};

use serde_json::{Value, json};
pub(crate) use session_gate_jose::testing::{jwk, sign};
use session_gate_protocol::{CheckReply, CheckVerdict, UnixSeconds};

use crate::{
    config::Config,
    http::headers::{HeaderChange, Headers},
    ids::{Callout, RequestId},
    metric::Counter,
    request::{CheckOutcome, Effect, Event},
    response::denial::Reply,
    sidecar::client::{Call, CallReply},
    sidecar::in_flight::Asked,
    time::Now,
    vm::Vm,
    worker::Worker,
};
use session_gate_jose::NoHostCrypto;

/// [`NOW`] on both clocks.
pub(crate) const CLOCKS: Now = Now { wall: NOW, monotonic: Duration::from_secs(100) };
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
pub(crate) const SESSION: &str = "K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// The claims of a token of the sidecar's that is good at [`NOW`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": "session-gate", "sub": "alice", "aud": "session-gate", "jti": "t1", "sid": SESSION,
        "iat": NOW.0, "nbf": NOW.0, "exp": NOW.0 + 3600, "scope": "read",
    })
}

pub(crate) fn token_with(change: impl FnOnce(&mut Value)) -> String {
    let mut payload = claims();
    change(&mut payload);
    sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &payload)
}

pub(crate) fn token() -> String {
    token_with(|_| {})
}

pub(crate) fn config() -> Value {
    json!({
        "sidecar": {"cluster": "sidecar", "credential": "the-credential-of-the-filter-in-tests"},
        "issuers": [{"issuer": "session-gate", "audiences": ["session-gate"], "jwks": "sidecar"}],
        "routes": [
            {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
            {"name": "optional", "match": {"path": {"prefix": "/optional"}}, "authentication": "optional"},
            {"name": "write", "match": {"path": {"prefix": "/orders"}, "methods": ["POST"]}, "scopes": {"all": ["write"]}},
            {"name": "session", "match": {"path": {"exact": "/session"}}, "require_session": true},
            {"name": "open", "match": {"path": {"exact": "/open"}}, "failure_mode": "allow"},
            {"name": "second", "match": {"path": {"exact": "/2fa"}}, "accept_pending_2fa": true},
            {"name": "query", "match": {"path": {"exact": "/query"}}, "token_query_parameter": "access_token"},
            {"name": "cors", "match": {"path": {"exact": "/cors"}}, "cors": {"allow_origins": ["https://spa.example"]}},
        ],
    })
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Headers {
    let pseudo = [(":method", method), (":path", path), (":authority", "app.example"), (":scheme", "https")];
    pseudo.into_iter().chain(headers.iter().copied()).collect()
}

pub(crate) fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

pub(crate) fn verdict(verdict: CheckVerdict) -> Event {
    check_reply(Some(CheckReply::from(verdict)))
}

/// The sidecar's answer to a question of [`CLOCKS`].
pub(crate) fn check_reply(reply: Option<CheckReply>) -> Event {
    let asked = Asked { at: CLOCKS.monotonic, epoch: Some("e1".into()) };
    Event::Check(Rc::new(CheckOutcome { reply, asked }))
}

/// What a step has led to, sorted.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) call: Option<Call>,
    pub(crate) callout: Option<Callout>,
    pub(crate) forwarded: Option<Vec<HeaderChange>>,
    pub(crate) reply: Option<Reply>,
    pub(crate) answer: Option<Vec<HeaderChange>>,
    pub(crate) counted: Vec<Counter>,
    pub(crate) described: Vec<String>,
    pub(crate) stream_ended: bool,
    pub(crate) answer_held: bool,
    pub(crate) answer_released: bool,
}

impl From<Vec<Effect>> for Outcome {
    fn from(effects: Vec<Effect>) -> Self {
        let mut outcome = Self::default();
        for effect in effects {
            match effect {
                Effect::Call(callout, call) => {
                    outcome.call = Some(call);
                    outcome.callout = Some(callout);
                }
                Effect::ChangeAnswer(changes) => outcome.answer.get_or_insert_default().extend(changes),
                Effect::Count(counter) => outcome.counted.push(counter),
                Effect::Describe(text) => outcome.described.push(text),
                Effect::EndStream => outcome.stream_ended = true,
                Effect::Forward(_, changes) => outcome.forwarded = Some(changes),
                Effect::HoldAnswer => outcome.answer_held = true,
                Effect::ReleaseAnswer => outcome.answer_released = true,
                Effect::Reply(reply) => outcome.reply = Some(reply),
            }
        }
        outcome
    }
}

impl Outcome {
    pub(crate) fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.reply.as_ref()?.body).ok()?;
        Some(body["code"].as_str()?.to_owned())
    }

    pub(crate) fn is_held(&self) -> bool {
        self.forwarded.is_none() && self.reply.is_none()
    }
}

/// A worker whose keys have come.
pub(crate) fn worker_with(config: Value) -> Worker {
    let mut worker = new_worker(config);
    give_keys(&mut worker, &json!({"keys": [jwk(1, "k1")]}), NOW);
    worker
}

/// A worker that knows nothing yet.
pub(crate) fn new_worker(config: Value) -> Worker {
    Worker::new(Config::from_value(config).unwrap(), "worker", &mut Vm::default())
}

/// The call for an callout, if it is due.
pub(crate) fn due(worker: &mut Worker, callout: Callout, now: Now) -> Option<Call> {
    worker.due(now).into_iter().find(|(due, _)| *due == callout).map(|(_, call)| call)
}

/// The question to the feed, if it is due.
pub(crate) fn feed_due(worker: &mut Worker, now: Now) -> Option<Call> {
    let mut due = worker.due(now).into_iter();
    due.find(|(due, _)| matches!(due, Callout::Feed(_))).map(|(_, call)| call)
}

/// Answers the feed's last question.
pub(crate) fn give_feed(worker: &mut Worker, reply: &CallReply, now: Now) -> Vec<(RequestId, Outcome)> {
    give(worker, worker.last_question(), reply, now)
}

pub(crate) fn at(wall: UnixSeconds) -> Now {
    Now { wall, ..CLOCKS }
}

pub(crate) fn give(worker: &mut Worker, callout: Callout, reply: &CallReply, now: Now) -> Vec<(RequestId, Outcome)> {
    let outcome = worker.on_reply_to(callout, reply, now, &NoHostCrypto);
    outcome.requests.into_iter().map(|(id, effects)| (id, effects.into())).collect()
}

pub(crate) fn give_keys(worker: &mut Worker, set: &Value, now: UnixSeconds) -> Vec<(RequestId, Outcome)> {
    assert!(due(worker, Callout::Keys, at(now)).is_some(), "no fetch is due");
    let reply = CallReply { status: Some(200), body: set.to_string().into_bytes() };
    give(worker, Callout::Keys, &reply, at(now))
}

pub(crate) fn step(worker: &mut Worker, id: RequestId, event: Event) -> Outcome {
    worker.on_request(id, event, CLOCKS, &NoHostCrypto).into()
}
