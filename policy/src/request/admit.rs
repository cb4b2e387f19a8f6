//! Whether the limits of a request's route admit it.

use std::{net::IpAddr, rc::Rc, time::Duration};

use serde_json::Value;
use session_gate_protocol::{DenyReason, MAX_REQUESTS};

use super::{
    context::StepContext,
    effect::Effect,
    limit_record::{LimitRecord, Ticket},
    pending::PendingRequest,
    permit::Permit,
    room::Unverified,
};
use crate::{
    host::Host,
    ids::{CallId, Callout, RequestId},
    knowledge::{Follower, Identity},
    limits::{
        Availability, Between, KeyText, LeaseCalls, Ledger, Limit, LimitDemand, OnStoreUnavailable, Report, Requester,
        Waiter, key_of,
    },
    metric::{Counter, LimitOutcome},
    time::Now,
};

/// How often a request is asked about at most, beside once for each of its limits. Each answer serves all who wait,
/// so two will do; more happens where others take what has come.
const MAX_ROUNDS: usize = 5;

/// When a client may come again whom this worker's part of a limit refuses.
const SHARE_RETRY: Duration = Duration::from_secs(1);

/// What the limits say.
pub(super) enum Admission {
    Admit,
    Refuse(DenyReason),
    /// The request waits for the answer to that call.
    Wait(CallId),
}

/// Who sends the request.
struct Sender<'a, H: Host> {
    held: &'a PendingRequest,
    identity: Option<&'a Identity>,
    host: &'a H,
    id: RequestId,
}

impl<H: Host> Requester for Sender<'_, H> {
    fn user(&self) -> Option<(&str, &str)> {
        self.identity.map(|identity| (identity.claims.subject().as_str(), identity.claims.issuer()))
    }

    fn session(&self) -> Option<&str> {
        self.identity.and_then(|identity| identity.session.as_ref()).map(|session| session.id.as_str())
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.address(self.id)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.held.key_headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_slice())
    }

    fn claim(&self, name: &str) -> Option<Value> {
        self.identity.and_then(|identity| identity.claims.claim(self.held.text(), name))
    }
}

/// Whether the limits admit the request: those of its route, or without a permit those that it must meet before its token
/// is looked at.
pub(super) fn admit<H: Host>(
    held: &mut PendingRequest,
    permit: Option<&Permit>,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Admission {
    let identity = permit.and_then(Permit::identity).map(Rc::as_ref);
    let limits = &held.route.policy.limits;
    let limits = permit.map_or(limits.before_authentication.as_slice(), |_| limits.of(identity.is_some()));
    let mut record = std::mem::take(&mut held.limit_record);
    let has_room = match (permit, identity) {
        (None, _) => !cx.room.is_full_for(Unverified::Turn),
        (Some(_), None) => !cx.room.is_full_for(Unverified::Anonymous),
        (Some(_), Some(_)) => !cx.room.is_full(),
    };
    let admission = admit_by(limits, held, identity, has_room, cx, effects, &mut record);
    held.limit_record = record;
    match admission {
        Admission::Admit => held.limit_rounds = 0,
        Admission::Wait(_) => held.limit_rounds += 1,
        Admission::Refuse(_) => {}
    }
    admission
}

/// Whether the request is admitted. It takes from all limits or from none. `has_room`: whether it may wait.
fn admit_by<H: Host>(
    limits: &[Rc<Limit>],
    held: &PendingRequest,
    identity: Option<&Identity>,
    has_room: bool,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
    terms: &mut LimitRecord,
) -> Admission {
    if limits.is_empty() {
        return Admission::Admit;
    }
    let sender = Sender { held, identity, host: cx.host, id: cx.id };
    let (Some(feed), Some(ledger), Some(sidecar)) =
        (cx.feed.as_deref(), cx.ledger.as_deref_mut(), cx.config.sidecar.as_ref())
    else {
        return Admission::Refuse(DenyReason::LimitUnavailable);
    };
    let now = cx.now.monotonic;
    let claims: Vec<LimitDemand> = limits.iter().map(|limit| claim(limit, &sender, feed, ledger, cx.now)).collect();
    let store_consulted = held.limit_rounds > 0;
    let may_ask = has_room && usize::from(held.limit_rounds) < MAX_ROUNDS + claims.len();
    let allowed =
        |availability| if availability == Availability::Ask && !may_ask { Availability::Away } else { availability };
    let mut desk = LimitEvaluator { ledger, now, effects, terms };
    let known = claims.iter().map(|claim| desk.ledger.known(claim, store_consulted, now).map(allowed));
    let mut availabilities: Vec<Option<Availability>> = known.collect();
    // First by the keys that are known: others are not remembered for a request that is refused.
    if let Some(reason) = desk.refuse_by(&claims, &availabilities) {
        return Admission::Refuse(reason);
    }
    for (claim, availability) in claims.iter().zip(&mut availabilities) {
        availability.get_or_insert_with(|| allowed(desk.ledger.availability(claim, store_consulted, now)));
    }
    if let Some(reason) = desk.refuse_by(&claims, &availabilities) {
        return Admission::Refuse(reason);
    }
    let judged = || claims.iter().zip(availabilities.iter().flatten());
    let unknown: Vec<&LimitDemand> =
        judged().filter(|(_, availability)| **availability == Availability::Ask).map(|(claim, _)| claim).collect();
    if !unknown.is_empty() {
        let waiting = Waiting { request: cx.id, sender: cx.sender, behind: cx.queued_behind };
        return desk.ask(&unknown, waiting, cx.lease_calls, Between { sidecar, worker: cx.worker });
    }
    judged().for_each(|(claim, availability)| desk.take(claim, *availability));
    Admission::Admit
}

fn claim<H: Host>(
    limit: &Rc<Limit>,
    sender: &Sender<'_, H>,
    feed: &Follower,
    ledger: &Ledger,
    now: Now,
) -> LimitDemand {
    let key = KeyText::from(&key_of(limit, sender));
    let mut quotas = limit.quotas.clone();
    if let (Some(from), [quota]) = (&limit.requests_from, quotas.as_mut_slice())
        && let Some(requests) = sender.claim(&from.claim).and_then(|value| from.requests(&value))
    {
        quota.requests = requests;
    }
    if feed.revocations().rules().has_limits()
        && let Some(requests) = feed.limit_of(&ledger.counter(&key), now.wall)
    {
        quotas.iter_mut().zip(requests).for_each(|(quota, requests)| quota.requests = *requests);
    }
    LimitDemand { limit: Rc::clone(limit), key, quotas }
}

/// A request that may have to wait.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    request: RequestId,
    /// In whose context it asks.
    sender: Option<RequestId>,
    /// Who comes after it, and what they have waited for.
    behind: &'a [Waiter],
}

/// Where limits are applied: what there is, and what is told.
struct LimitEvaluator<'a> {
    ledger: &'a mut Ledger,
    now: Duration,
    effects: &'a mut Vec<Effect>,
    terms: &'a mut LimitRecord,
}

impl LimitEvaluator<'_> {
    /// Why one of the limits refuses the request, if one does, by what is known of them.
    fn refuse_by(&mut self, claims: &[LimitDemand], availabilities: &[Option<Availability>]) -> Option<DenyReason> {
        claims.iter().zip(availabilities).find_map(|(claim, availability)| self.refuse(claim, (*availability)?))
    }

    /// Why the limit refuses the request, if it does.
    fn refuse(&mut self, claim: &LimitDemand, availability: Availability) -> Option<DenyReason> {
        let limit = &claim.limit;
        match availability {
            _ if limit.shadow => None,
            Availability::Ask | Availability::Open => None,
            Availability::Shut(retry) => Some(self.deny(claim, retry)),
            Availability::Away => match limit.on_store_unavailable {
                OnStoreUnavailable::Allow => None,
                OnStoreUnavailable::Deny => {
                    self.tell(limit, LimitOutcome::Unavailable);
                    Some(DenyReason::LimitUnavailable)
                }
                OnStoreUnavailable::Share if self.ledger.has_share(claim, self.now) => None,
                OnStoreUnavailable::Share => {
                    self.terms.notes.push_str(&format!(" limit_unavailable={}", limit.name));
                    Some(self.deny(claim, SHARE_RETRY))
                }
            },
        }
    }

    fn deny(&mut self, claim: &LimitDemand, retry: Duration) -> DenyReason {
        self.tell(&claim.limit, LimitOutcome::Denied);
        self.terms.retry = Some(retry);
        self.terms.report = Some(self.report(claim).denying(&claim.quotas, retry));
        DenyReason::RateLimited
    }

    /// Has the request wait for what must be known. Where a question is under way already, for that first.
    fn ask(
        self,
        claims: &[&LimitDemand],
        waiting: Waiting<'_>,
        calls: &mut LeaseCalls,
        between: Between<'_>,
    ) -> Admission {
        let Self { ledger, now, effects, .. } = self;
        let Waiting { request, sender, behind } = waiting;
        if let Some(call) = claims.iter().find_map(|claim| calls.join(&claim.key, request)) {
            return Admission::Wait(call);
        }
        // Those that have waited for the same key need as much again.
        let need = |claim: &LimitDemand| {
            let others = behind.iter().filter(|(_, key)| *key == claim.key).count();
            claim.limit.reserve().saturating_mul(others as u64 + 1).min(MAX_REQUESTS)
        };
        let questions = claims.iter().filter_map(|claim| ledger.ask_for(&claim.key, need(claim), now)).collect();
        let waiting = claims.first().map(|claim| (request, claim.key.clone())).into_iter().collect();
        match calls.start(questions, waiting, sender, now, between) {
            Some((call, http)) => {
                effects.push(Effect::Call(Callout::Leases(call), http));
                Admission::Wait(call)
            }
            None => Admission::Refuse(DenyReason::LimitUnavailable),
        }
    }

    /// Takes what the request costs. A limit that only reports may have nothing left.
    fn take(&mut self, claim: &LimitDemand, availability: Availability) {
        let LimitDemand { limit, key, .. } = claim;
        let mut drawn = Vec::new();
        match availability {
            Availability::Open => {
                drawn = self.ledger.take(claim, self.now);
                self.tell(limit, LimitOutcome::Allowed);
            }
            Availability::Away => {
                self.ledger.take_unasked(claim, self.now);
                self.tell(limit, LimitOutcome::Unavailable);
            }
            Availability::Shut(_) => return self.tell(limit, LimitOutcome::ShadowDenied),
            Availability::Ask => return,
        }
        if limit.cost.header().is_some() || limit.is_in_flight() {
            self.terms.tickets.push(Ticket { limit: Rc::clone(limit), key: key.clone(), drawn });
        }
        let report = self.report(claim);
        let is_tighter = |there: &Report| report.remaining() < there.remaining();
        if !limit.shadow && self.terms.report.as_ref().is_none_or(is_tighter) {
            self.terms.report = Some(report);
        }
    }

    fn report(&self, claim: &LimitDemand) -> Report {
        Report { name: claim.limit.name.clone(), quotas: self.ledger.left(&claim.key, self.now) }
    }

    /// Tells metrics and the access log.
    fn tell(&mut self, limit: &Limit, outcome: LimitOutcome) {
        let name = &limit.name;
        match outcome {
            LimitOutcome::Allowed => {}
            LimitOutcome::Away => {}
            LimitOutcome::Denied => self.terms.notes.push_str(&format!(" limit={name}")),
            LimitOutcome::ShadowDenied => self.terms.notes.push_str(&format!(" shadow_limit={name}")),
            LimitOutcome::Unavailable => {
                self.terms.notes.push_str(&format!(" limit_unavailable={name}"));
                self.effects.push(Effect::Count(Counter::Limit(name.clone(), LimitOutcome::Away)));
            }
        }
        self.effects.push(Effect::Count(Counter::Limit(name.clone(), outcome)));
    }
}
