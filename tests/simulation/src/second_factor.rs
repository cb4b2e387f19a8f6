//! Second factors: whose session waits for one, and who may pass without.

use session_gate_protocol::{AllowReason, DenyReason};

use crate::{
    decision::Decision,
    demands::Demand,
    truth::{Session, Token},
    worker_host::Route,
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 5] = [
    ("second factors", "missing, admitted by a failure mode"),
    ("second factors", "missing, admitted where none is asked for"),
    ("second factors", "missing, refused"),
    ("second factors", "missing, refused where nobody can be asked"),
    ("second factors", "given, said a sidecar"),
];

/// Whether the route asks for the second factor of sessions that have one.
pub fn is_asked_for(route: Route) -> bool {
    route.demand() != Some(Demand::NoSecondFactor)
}

/// Why a token of that session must not pass where the second factor is asked for, if it must not.
pub fn missing(token: &Token, session: Option<&Session>, reason: AllowReason) -> Option<&'static str> {
    if session.is_some_and(|session| !session.has_second_factor) {
        return Some("its session waits for its second factor");
    }
    let is_vouched = reason == AllowReason::Token;
    (token.is_pending && !is_vouched).then_some("nobody could say that its session has its second factor by now")
}

/// What has been shown by a decision, if anything has.
pub fn exercised(
    token: &Token,
    session: Option<&Session>,
    decision: Decision,
    asked: Option<bool>,
) -> Option<&'static str> {
    let is_missing = session.is_some_and(|session| !session.has_second_factor);
    match decision {
        Decision::Allow(AllowReason::Token) if is_missing => Some("missing, admitted where none is asked for"),
        Decision::Allow(AllowReason::Token) if token.is_pending => Some("given, said a sidecar"),
        Decision::Allow(_) if is_missing => Some("missing, admitted by a failure mode"),
        Decision::Deny(DenyReason::SessionPending2fa) if asked == Some(false) => {
            Some("missing, refused where nobody can be asked")
        }
        Decision::Deny(DenyReason::SessionPending2fa) if is_missing => Some("missing, refused"),
        _ => None,
    }
}
