//! A decision becomes effects, and is counted: the only place that does.

use std::rc::Rc;

use super::{
    admit::{Admission, admit},
    ask::ask,
    context::StepContext,
    decided::{Admitted, Decided},
    effect::Effect,
    limit_record::LimitRecord,
    pending::{Decision, Next, PendingRequest},
    permit::Permit,
    phase::Phase,
};
use crate::{host::Host, http::interpretations::Unroutable, limits::seconds, metric::Counter, response::denial};

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
        Ok(Next::AwaitTurn(call)) => return Phase::AwaitTurn(held, call),
        Ok(Next::Pass(permit)) => match admit(&mut held, Some(&permit), cx, effects) {
            Admission::Admit => Ok(permit),
            Admission::Refuse(reason) => Err(reason),
            Admission::Wait(call) => return Phase::AwaitLimits(held, permit, call),
        },
        Err(reason) => Err(reason),
    };
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
            let policy = &held.route.policy;
            let scopes = policy.scopes.as_ref().map(|rule| rule.scopes());
            let reply = denial::reply(reason, &held.style, &cx.config.realm, scopes, policy.cors.as_ref());
            let reply = match held.unroutable.and_then(Unroutable::detail) {
                Some(detail) => reply.with_detail(&detail),
                None => reply,
            };
            effects.push(Effect::Reply(match record.retry {
                Some(retry) => reply.with_retry_after(seconds(retry)),
                None => reply,
            }));
            Phase::Decided(Decided::refused(held, record))
        }
    }
}

/// What the access log says.
fn describe(decision: &str, reason: &str, held: &PendingRequest, record: &LimitRecord) -> String {
    format!("decision={decision} reason={reason} rule={}{}", held.route.name, record.notes)
}

fn forward<H: Host>(
    held: &mut PendingRequest,
    permit: Permit,
    cx: &StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Admitted {
    let identity = permit.identity().cloned();
    let mut changes = std::mem::take(&mut held.cleaning);
    if let Some(identity) = &identity {
        let latest = cx.feed.as_deref().and_then(|feed| feed.scopes_of(identity));
        changes.extend(cx.config.trusted.of(identity, &identity.scopes(latest)));
    }
    effects.push(Effect::Forward(permit, changes));
    Admitted {
        user_agent: Rc::clone(&held.user_agent),
        identity: identity.map(|identity| (Rc::clone(&held.token), identity)),
    }
}
