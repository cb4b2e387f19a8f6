//! A decision becomes effects, and is counted: the only place that does.

use std::rc::Rc;

use session_gate_protocol::{DenyReason, OpaqueToken};

use super::{
    admit::{Admission, admit},
    ask::ask,
    context::StepContext,
    dead_credential::{CredentialVerdict, verdict_on_credential},
    decided::{Admitted, Decided},
    effect::Effect,
    limit_record::LimitRecord,
    lock,
    pending::{Decision, Next, PendingRequest},
    permit::Permit,
    phase::Phase,
    renew::{self, TokenRenewal},
};
use crate::{
    host::Host,
    http::{credential::Source, headers::HeaderChange, interpretations::Unroutable, page_load::Navigation},
    limits::seconds,
    metric::Counter,
    response::denial::Denial,
};

/// What follows from a decision.
pub(super) fn conclude<H: Host>(
    mut held: PendingRequest,
    decision: Decision,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let as_if_without = |reason| Permit::after_login(reason, held.source, &held.route.policy).map(Next::Pass);
    let decision = match decision.or_else(as_if_without) {
        Ok(Next::AwaitKeys) => return Phase::AwaitKeys(held),
        Ok(Next::Ask(identity, question)) => {
            let call = ask(&question, cx, effects);
            return Phase::AwaitCheck(held, identity, call);
        }
        Ok(Next::Renew) => {
            let call = renew::wait(&held, cx, effects);
            return Phase::AwaitRenewal(held, call);
        }
        Ok(Next::AwaitTurn(call)) => return Phase::AwaitTurn(held, call),
        Ok(Next::Pass(permit)) => match admit(&mut held, Some(&permit), cx, effects) {
            Admission::Admit => match lock::ask(&held, &permit, cx, effects) {
                Some(call) => return Phase::AwaitLock(held, permit, call),
                None => Ok(permit),
            },
            Admission::Refuse(reason) => Err(reason),
            Admission::Wait(call) => return Phase::AwaitLimits(held, permit, call),
        },
        Err(reason) => Err(reason),
    };
    settle(held, decision, cx, effects)
}

/// The request passes or is refused, and nothing else is to be asked.
pub(super) fn settle<H: Host>(
    mut held: PendingRequest,
    decision: Result<Permit, DenyReason>,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let mut record = std::mem::take(&mut held.limit_record);
    if let Some(by) = held.unroutable.and_then(|unroutable| unroutable.by) {
        record.notes.push_str(&format!(" interpretation={}", by.interpretation.name()));
    }
    match decision {
        Ok(permit) => {
            effects.push(Effect::Count(Counter::Allow(permit.reason())));
            let description = describe("allow", permit.reason().as_str(), &held, &record);
            if let Some(command) = &mut held.command {
                command.decision.clone_from(&description);
            }
            effects.push(Effect::Describe(description));
            let admitted = forward(&mut held, permit, cx, effects);
            Phase::Decided(Decided::admitted(held, record, admitted, cx.now))
        }
        Err(reason) => {
            effects.push(Effect::Count(Counter::Deny(reason)));
            effects.push(Effect::Describe(describe("deny", reason.as_str(), &held, &record)));
            // Not with other answers: these may come late, when a login has set another cookie of that name meanwhile.
            let forgets = held.style.navigation == Navigation::Load && is_dead_cookie(reason, &held, cx);
            let policy = &held.route.policy;
            let denial = Denial {
                scopes: policy.scopes.as_ref().map(|rule| rule.scopes()),
                cors: policy.cors.as_ref(),
                detail: held.unroutable.and_then(Unroutable::detail),
                retry_after: record.retry.map(seconds),
                login: policy.login.as_deref().zip(held.login_target.as_deref()),
                removal: if forgets { cx.config.cookie.removal() } else { Vec::new() },
                ..Denial::of(reason, &cx.config.realm, &cx.config.error_page)
            };
            effects.push(Effect::Reply(denial.reply(&held.style)));
            Phase::Decided(Decided::refused(held, record))
        }
    }
}

/// What the access log says.
fn describe(decision: &str, reason: &str, held: &PendingRequest, record: &LimitRecord) -> String {
    format!("decision={decision} reason={reason} rule={}{}", held.route.name, record.notes)
}

/// Whether the request was refused for its cookie, and that is of no use to any other request either.
fn is_dead_cookie<H: Host>(reason: DenyReason, held: &PendingRequest, cx: &mut StepContext<'_, H>) -> bool {
    let is_of_session =
        matches!(reason, DenyReason::SessionExpired | DenyReason::SessionTerminated | DenyReason::SessionUnknown);
    held.source == Some(Source::Cookie)
        && verdict_on_credential(reason) == Some(CredentialVerdict::Dead)
        && (!is_of_session || names_session(held, cx))
}

/// Whether its token names a session of the sidecar's, so that each route refuses it when that has ended. Another issuer's
/// may name none, and is refused for want of one only where the route asks for it.
fn names_session<H: Host>(held: &PendingRequest, cx: &mut StepContext<'_, H>) -> bool {
    match cx.cache.get(&held.token) {
        Some((_, claims)) => claims.named_session().is_some(),
        // Of an opaque one, which the sidecar has made, nothing may be remembered.
        None => OpaqueToken::looks_like_one(&held.token),
    }
}

fn forward<H: Host>(
    held: &mut PendingRequest,
    permit: Permit,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Admitted {
    let identity = permit.identity().cloned();
    let renewal = match &identity {
        Some(identity) => TokenRenewal::of(held, identity, cx, effects),
        None => TokenRenewal::No,
    };
    let mut changes = std::mem::take(&mut held.cleaning);
    let trusted = &cx.config.trusted;
    let mut said = Vec::new();
    if let Some(identity) = &identity {
        let latest = cx.feed.as_deref().and_then(|feed| feed.scopes_of(identity));
        said = trusted.of(identity, &identity.scopes(latest));
        if held.route.policy.accept_pending_2fa {
            said.push(trusted.status(identity));
        }
    }
    if let Some(endpoint) = held.route.policy.endpoint {
        changes.extend(endpoint.credentials(&held.token));
    }
    if let Some(upstream) = &held.route.policy.upstream {
        let proof = cx.proofs.proof(upstream, &said, cx.now.wall);
        said.push(HeaderChange::set(&trusted.proof, proof));
    }
    changes.extend(said);
    effects.push(Effect::Forward(permit, changes));
    Admitted {
        user_agent: Rc::clone(&held.user_agent),
        identity: identity.map(|identity| (Rc::clone(&held.token), identity)),
        renewal,
    }
}
