//! What happens to a request.

use std::rc::Rc;

use session_gate_protocol::{CheckReply, CheckVerdict, Problem, ProblemCode, SessionCommandReply};

use crate::{
    http::headers::Headers,
    sidecar::{client::CallReply, in_flight::Asked, renewals::Renewal},
};

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers have come.
    Request(Headers),
    /// The sidecar's keys have come, or could not be had; either way nothing newer will come soon.
    Keys,
    /// The sidecar has replied about the credential.
    Check(Rc<CheckOutcome>),
    /// The sidecar has replied about limits, or could not.
    Limits,
    /// The sidecar has replied for how many seconds logins of an account are refused; none: not at all, or it has not.
    LoginLock(Option<u64>),
    /// The sidecar has replied with what takes its token's place, or has not.
    Renewal(Renewal),
    /// The headers of its answer have come: the upstream's, ours, or Envoy's own.
    Answer(Headers),
    /// It goes on, and it is time to look whether it still may.
    Alarm,
    /// The sidecar has done what the answer says of sessions, or has not.
    Command(Box<CommandOutcome>),
}

/// What has come of what an answer says of sessions.
#[derive(Debug)]
pub enum CommandOutcome {
    /// It is done.
    Done(SessionCommandReply),
    /// The sidecar was asked, and does not do it: nothing has happened.
    Refused(Problem),
    /// It was not done, or nobody knows.
    Failed,
}

/// What the sidecar has said about a credential; no reply: nothing that could be used.
#[derive(Clone, Debug)]
pub struct CheckOutcome {
    /// What it says.
    pub reply: Option<CheckReply>,
    /// When it was asked.
    pub asked: Asked,
}

impl CheckOutcome {
    /// Whether the sidecar has said that the credential may not be used. A second factor that is missing is its route's
    /// business.
    pub fn refuses(&self) -> bool {
        let verdict = self.reply.as_ref().map(|reply| reply.verdict);
        !matches!(verdict, None | Some(CheckVerdict::Live | CheckVerdict::SessionPending2fa))
    }
}

impl CommandOutcome {
    /// What a reply to `POST /v1/session-commands` says.
    pub fn of(reply: &CallReply) -> Self {
        if let Some(done) = reply.json() {
            return Self::Done(done);
        }
        // That our own credential or address is wrong is no fault of the application's.
        let is_refusal = |problem: &Problem| {
            matches!(
                problem.code,
                ProblemCode::InvalidRequest
                    | ProblemCode::PayloadTooLarge
                    | ProblemCode::SessionLimitReached
                    | ProblemCode::StateConflict
            )
        };
        match serde_json::from_slice(&reply.body).ok().filter(is_refusal) {
            Some(problem) => Self::Refused(problem),
            None => Self::Failed,
        }
    }
}
