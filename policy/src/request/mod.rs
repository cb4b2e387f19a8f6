//! One request's way through the gate: phases, events, effects.
//!
//! ```text
//! Start ──Request──▶ refused, forwarded ───────────────▶ Decided ──Answer, Alarm, Check──▶ Decided
//!        │                                                 ▲
//!        ├─ first limits not leased ▶ AwaitTurn ──Limits──▶ (its token is looked at)
//!        ├─ key missing ──▶ AwaitKeys ──Keys──▶ (verified) ┤
//!        ├─ feed cannot tell ▶ AwaitCheck ──Check──────────┤
//!        ├─ cookie's time over ▶ AwaitRenewal ──Renewal────┤
//!        ├─ limits not leased ▶ AwaitLimits ──Limits───────┤
//!        └─ names an account that may be locked ▶ AwaitLock ──LoginLock─┘
//!
//! Decided ──Answer that says something of a session──▶ AwaitCommand ──Command──▶ Decided
//! ```
//!
//! [`Phase::step`] is total: an event that does not belong to a phase (a late or repeated reply)
//! leaves the phase as it is. It is pure but for the cache of verified tokens, which changes nothing
//! about a decision.

mod admit;
mod arrive;
mod ask;
mod authenticate;
mod command;
mod command_context;
mod command_verdict;
mod conclude;
mod context;
mod dead_credential;
mod decided;
mod effect;
mod event;
mod limit_record;
mod lock;
mod pending;
pub mod permit;
mod phase;
mod preflight;
mod renew;
mod room;

use self::{
    arrive::arrive,
    authenticate::{authenticate, check_denylist, judge_renewal, judge_reply, judge_token},
    conclude::{conclude, settle},
    pending::{Decision, Next},
    permit::Permit,
};
pub use self::{
    context::{MAX_USED, StepContext},
    decided::Decided,
    effect::Effect,
    event::{CheckOutcome, CommandOutcome, Event},
    pending::PendingRequest,
    phase::Phase,
    room::Room,
};
use crate::{
    host::Host,
    knowledge::standing::{Evidence, Standing, standing},
};

impl Phase {
    /// Takes one step.
    pub fn step<H: Host>(self, event: Event, cx: &mut StepContext<'_, H>) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let next = match (self, event) {
            (Self::Start, Event::Request(request)) => arrive(&request, cx, &mut effects),
            (Self::AwaitTurn(mut held, _), Event::Limits) => {
                let decision = check_denylist(&held, cx).and_then(|()| authenticate(&mut held, cx, &mut effects));
                conclude(held, decision, cx, &mut effects)
            }
            (Self::AwaitKeys(mut held), Event::Keys) => {
                let decision = check_denylist(&held, cx).and_then(|()| judge_token(&mut held, cx, &mut effects));
                conclude(held, decision, cx, &mut effects)
            }
            (Self::AwaitCheck(held, identity, _), Event::Check(outcome)) => {
                let decision = check_denylist(&held, cx).and_then(|()| judge_reply(&held, identity, &outcome, cx));
                conclude(held, decision, cx, &mut effects)
            }
            (Self::AwaitRenewal(mut held, _), Event::Renewal(renewal)) => {
                let decision =
                    check_denylist(&held, cx).and_then(|()| judge_renewal(&mut held, &renewal, cx, &mut effects));
                conclude(held, decision, cx, &mut effects)
            }
            (Self::AwaitLimits(mut held, permit, _), Event::Limits) => {
                let decision = judge_again(&mut held, permit, cx, &mut effects);
                conclude(held, decision, cx, &mut effects)
            }
            (Self::AwaitLock(mut held, permit, _), Event::LoginLock(locked_for)) => {
                let decision = lock::judge(&mut held, permit, locked_for, cx);
                settle(held, decision, cx, &mut effects)
            }
            // An answer to a request that we never saw: its scheme is unknown, so it is not https.
            (Self::Start, Event::Answer(answer)) => {
                Self::Decided(Decided::unseen(cx.config.routes.fallback()).answered(&answer, cx, &mut effects))
            }
            // Envoy has answered a request that we still hold: a time-out, a client that left.
            (
                Self::AwaitTurn(mut held, _)
                | Self::AwaitKeys(mut held)
                | Self::AwaitCheck(mut held, ..)
                | Self::AwaitRenewal(mut held, _)
                | Self::AwaitLock(mut held, ..)
                | Self::AwaitLimits(mut held, ..),
                Event::Answer(answer),
            ) => {
                let record = std::mem::take(&mut held.limit_record);
                Self::Decided(Decided::refused(held, record).answered(&answer, cx, &mut effects))
            }
            (Self::Decided(decided), Event::Answer(answer)) => command::on_answer(decided, answer, cx, &mut effects),
            (Self::AwaitCommand(held), Event::Command(outcome)) => command::on_reply(*held, &outcome, cx, &mut effects),
            (Self::Decided(decided), Event::Alarm) => Self::Decided(decided.look_again(cx, &mut effects)),
            (Self::Decided(decided), Event::Check(outcome)) => {
                Self::Decided(decided.on_check(&outcome, cx, &mut effects))
            }
            // Late, or repeated.
            (phase, _) => phase,
        };
        (next, effects)
    }
}

/// The limits have been asked about. What has been taken back meanwhile is not served, nor what is not known any
/// more: then all is judged anew.
fn judge_again<H: Host>(
    held: &mut PendingRequest,
    permit: Permit,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    check_denylist(held, cx)?;
    let Some(identity) = permit.identity() else { return Ok(Next::Pass(permit)) };
    match standing(&held.case(identity, cx), Evidence::Feed) {
        Standing::Served(_) => Ok(Next::Pass(permit)),
        Standing::Refused(_) | Standing::Unknown => judge_token(held, cx, effects),
    }
}
