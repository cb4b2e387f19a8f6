//! A CORS preflight: a browser's own question whether a page may send the request that it announces.
//!
//! It is judged by the rule for that request and answered here; an upstream never sees it. Where that rule says nothing
//! about other origins, the preflight is an OPTIONS request like any other.

use std::rc::Rc;

use session_gate_protocol::{AllowReason, DenyReason};

use super::{
    conclude::conclude, context::StepContext, decided::Decided, effect::Effect, limit_record::LimitRecord,
    pending::PendingRequest, phase::Phase,
};
use crate::{
    config::Config,
    host::Host,
    http::{
        cors,
        headers::Headers,
        interpretations::{RequestInterpretations, Unroutable},
    },
    metric::Counter,
    response::denial::Reply,
    routing::Route,
};

/// The rule that answers it; none: it is no preflight, or there is no such rule.
///
/// # Errors
/// Where there may be more than one such rule.
pub(super) fn rule_for(request: &Headers, config: &Config) -> Result<Option<Rc<Route>>, Unroutable> {
    if !cors::is_preflight(request) {
        return Ok(None);
    }
    let announced = RequestInterpretations::announced(request, config.interpretations)?;
    match config.routes.find(&announced) {
        Ok(route) => Ok(route.policy.cors.is_some().then(|| Rc::clone(route))),
        Err(Unroutable { reason: DenyReason::NoRule, .. }) => Ok(None),
        Err(unroutable) => Err(unroutable),
    }
}

/// Answers it by that rule.
pub(super) fn answer<H: Host>(
    request: &Headers,
    held: PendingRequest,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let policy = &held.route.policy;
    if cx.requires_https(policy) && !held.style.scheme.is_https() {
        return conclude(held, Err(DenyReason::HttpsRequired), cx, effects);
    }
    let headers = policy.cors.as_ref().map(|cors| cors.preflight_headers(request)).unwrap_or_default();
    if headers.is_empty() {
        return conclude(held, Err(DenyReason::OriginRefused), cx, effects);
    }
    let reason = AllowReason::Preflight;
    effects.push(Effect::Count(Counter::Allow(reason)));
    effects.push(Effect::Describe(format!("decision=allow reason={} rule={}", reason.as_str(), held.route.name)));
    effects.push(Effect::Reply(Reply { status: 204, headers, body: String::new(), grpc: None }));
    Phase::Decided(Decided::refused(held, LimitRecord::default()))
}
