//! One request's way through the gate: phases, events, effects.
//!
//! ```text
//! Start ──Request──▶ refused, forwarded ───────────────▶ Settled ──Answer──▶ Settled
//!        │                                                 ▲
//!        ├─ key missing ──▶ AwaitKeys ──Keys──▶ (verified) ┤
//!        ├─ feed cannot tell ▶ AwaitCheck ──Check──────────┤
//!        └─ limits not leased ▶ AwaitLimits ──Limits───────┘
//! ```
//!
//! [`Phase::step`] is total: an event that does not belong to a phase (a late or repeated reply)
//! leaves the phase as it is. It is pure but for the cache of verified tokens, which changes nothing
//! about a decision.

mod judge;
mod limit;
mod settled;

use std::{collections::HashSet, fmt, rc::Rc};

use session_gate_protocol::DenyReason;

pub use self::{judge::Answer, settled::Settled};
use self::{
    judge::{Found, check_block, find_token, judge_answer, judge_token},
    limit::{Admission, Terms},
    settled::{Admitted, answered, is_refused},
};
use crate::{
    cache::TokenCache,
    call::Call,
    config::Config,
    credential::{self, Source},
    denial::{self, Client, Reply},
    feed::{Asked, Follower},
    flights::{Boarding, FlightId, Flights},
    headers::{HeaderChange, Headers},
    host::{Host, Visitor},
    limits::{Asking, CallId, Ledger, Waiter, seconds},
    metric::Counter,
    now::Now,
    permit::Permit,
    readings::RequestReadings,
    route::Route,
    token::{FetchedKeys, TokenText, VerifiedClaims},
    worker::{Errand, RequestId},
};

/// Where a request is.
#[derive(Debug)]
pub enum Phase {
    /// Its headers have not been seen.
    Start,
    /// It is held until the sidecar has answered with its keys.
    AwaitKeys(Held),
    /// The feed cannot tell about its token, which was verified or is opaque; it is held until the sidecar
    /// has answered.
    AwaitCheck(Held, Option<VerifiedClaims>, FlightId),
    /// It may pass as far as its token goes; it is held until the sidecar has answered about its limits.
    AwaitLimits(Held, Permit, CallId),
    /// It was forwarded or refused; its answer is on the way.
    Settled(Settled),
}

/// What is known of a request that is held.
pub struct Held {
    route: Rc<Route>,
    client: Client,
    user_agent: Rc<str>,
    token: Rc<str>,
    /// Whether the token came by the query.
    by_query: bool,
    /// Whether it asks for another protocol, a WebSocket for instance.
    is_upgrade: bool,
    /// The headers by which its limits count.
    key_headers: Vec<(String, Vec<u8>)>,
    /// How often it has waited for what the sidecar says of its limits.
    limit_rounds: u8,
    /// What takes the client's trusted headers, our cookie and our parameter out.
    cleaning: Vec<HeaderChange>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest has credentials in it, or says who the client is.
        f.debug_struct("Held").field("route", &self.route.name).finish_non_exhaustive()
    }
}

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers have come.
    Request(Headers),
    /// The sidecar's keys have come, or could not be had; either way nothing newer will come soon.
    Keys,
    /// The sidecar has answered about the credential.
    Check(Rc<Answer>),
    /// The sidecar has answered about limits, or could not.
    Limits,
    /// The headers of its answer have come: the upstream's, ours, or Envoy's own.
    Answer(Headers),
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Call the sidecar about this and all other requests that ask the same: the reply is that to the
    /// errand. The call belongs to whatever the host was called for, which need not be this request.
    Call(Errand, Call),
    /// Apply these changes to the answer.
    ChangeAnswer(Vec<HeaderChange>),
    /// Count one.
    Count(Counter),
    /// Tell the access log.
    Describe(String),
    /// End it: its session has ended while its answer went on.
    EndStream,
    /// Apply these changes to the request and let it pass.
    Forward(Permit, Vec<HeaderChange>),
    /// Answer it.
    Reply(Reply),
}

/// What a step may look at.
#[derive(Debug)]
pub struct Surroundings<'a, H: Host> {
    /// The request.
    pub id: RequestId,
    /// In whose context calls are made, and with which their replies are lost; none: the worker's own.
    pub sender: Option<RequestId>,
    /// The configuration.
    pub config: &'a Config,
    /// The sidecar's keys, once they have come.
    pub keys: Option<&'a FetchedKeys>,
    /// Tokens whose signature is known to be good.
    pub cache: &'a mut TokenCache,
    /// The host, for what it is asked.
    pub host: &'a H,
    /// What is known from the feed, where there is a sidecar.
    pub feed: Option<&'a mut Follower>,
    /// Questions to the sidecar under way.
    pub flights: &'a mut Flights,
    /// What is leased of limits, where there is a sidecar.
    pub ledger: Option<&'a mut Ledger>,
    /// Questions about limits under way.
    pub asking: &'a mut Asking,
    /// Which requests are woken behind this one, and for which keys of limits they have waited.
    pub behind: &'a [Waiter],
    /// What the sidecar knows this VM by.
    pub worker: &'a str,
    /// Sessions that were used and not reported yet.
    pub used: &'a mut HashSet<String>,
    /// The host's clocks.
    pub now: Now,
    /// Whether waiting for keys can bring any that are not here.
    pub keys_may_come: bool,
    /// Whether this worker holds as many requests as it may.
    pub full: bool,
    /// Whether it holds as many for want of a key as it may: tokens that nobody has signed must not
    /// take the place of good ones.
    pub full_of_keyless: bool,
}

/// Sessions whose use is reported at once.
pub const MAX_USED: usize = 1000;

/// How a decision ends: an effect on the request, or a reason to refuse it.
type Decision = Result<Next, DenyReason>;

enum Next {
    Pass(Permit),
    /// Ask the sidecar about a token, whose claims are known unless it is opaque.
    Ask(Option<VerifiedClaims>, Vec<u8>),
    AwaitKeys,
}

impl Phase {
    /// Takes one step.
    pub fn step<H: Host>(self, event: Event, around: &mut Surroundings<'_, H>) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let next = match (self, event) {
            (Self::Start, Event::Request(request)) => arrive(&request, around, &mut effects),
            (Self::AwaitKeys(held), Event::Keys) => {
                let blocked = check_block(&held, around);
                let decision = blocked.and_then(|()| judge_token(&held, around, &mut effects));
                settle(held, decision, around, &mut effects)
            }
            (Self::AwaitCheck(held, claims, _), Event::Check(answer)) => {
                let blocked = check_block(&held, around);
                let decision = blocked.and_then(|()| judge_answer(&held, claims, &answer, around));
                settle(held, decision, around, &mut effects)
            }
            (Self::AwaitLimits(held, permit, _), Event::Limits) => {
                let decision = judge_again(&held, permit, around, &mut effects);
                settle(held, decision, around, &mut effects)
            }
            // An answer to a request that we never saw: its scheme is unknown, so it is not https.
            (Self::Start, Event::Answer(answer)) => {
                let route = Rc::clone(around.config.routes.otherwise());
                let terms = Terms::default();
                let settled = Settled { route, https: false, by_query: false, admitted: None, is_stream: false, terms };
                answered(settled, &answer, around, &mut effects)
            }
            // Envoy has answered a request that we still hold: a time-out, a client that left.
            (
                Self::AwaitKeys(held) | Self::AwaitCheck(held, ..) | Self::AwaitLimits(held, ..),
                Event::Answer(answer),
            ) => answered(held.into_settled(Terms::default()), &answer, around, &mut effects),
            (Self::Settled(settled), Event::Answer(answer)) => answered(settled, &answer, around, &mut effects),
            (phase @ Self::Start, Event::Keys | Event::Check(_) | Event::Limits)
            | (phase @ Self::AwaitKeys(_), Event::Request(_) | Event::Check(_) | Event::Limits)
            | (phase @ Self::AwaitCheck(..), Event::Request(_) | Event::Keys | Event::Limits)
            | (phase @ Self::AwaitLimits(..), Event::Request(_) | Event::Keys | Event::Check(_))
            | (phase @ Self::Settled(_), Event::Request(_) | Event::Keys | Event::Check(_) | Event::Limits) => phase,
        };
        (next, effects)
    }
}

/// The request's headers have come.
fn arrive<H: Host>(request: &Headers, around: &mut Surroundings<'_, H>, effects: &mut Vec<Effect>) -> Phase {
    let config = around.config;
    let client = Client::of(request);
    let route = Rc::clone(config.routes.otherwise());
    let is_upgrade = request.has("upgrade");
    let user_agent = request.text("user-agent").unwrap_or_default().into();
    let token = Rc::from("");
    let mut held = Held {
        route,
        client,
        user_agent,
        token,
        by_query: false,
        is_upgrade,
        key_headers: Vec::new(),
        limit_rounds: 0,
        cleaning: Vec::new(),
    };
    let found =
        RequestReadings::of(request).and_then(|readings| Ok((Rc::clone(config.routes.find(&readings)?), readings)));
    let readings = match found {
        Ok((route, readings)) => {
            held.route = route;
            readings
        }
        Err(reason) => return settle(held, Err(reason), around, effects),
    };
    let key_headers = held.route.policy.limits.key_headers();
    held.key_headers = key_headers.filter_map(|name| Some((name.to_owned(), request.get(name)?.to_vec()))).collect();
    let parameter = held.route.policy.token_query_parameter.as_deref();
    held.cleaning = config.trusted.removal(request);
    held.cleaning.extend(credential::removal(request, &config.cookie, parameter));
    let found = check_block(&held, around).and_then(|()| find_token(request, &readings, &held, config));
    let decision = match found {
        Ok(Found::Permit(permit)) => Ok(Next::Pass(permit)),
        Ok(Found::Token(credential)) => {
            held.by_query = credential.source == Source::Query;
            held.token = credential.token.into();
            judge_token(&held, around, effects)
        }
        Err(reason) => Err(reason),
    };
    settle(held, decision, around, effects)
}

/// The limits have been asked about. What has been taken back meanwhile is not served, nor what is not known any
/// more: then all is judged anew.
fn judge_again<H: Host>(
    held: &Held,
    permit: Permit,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    check_block(held, around)?;
    let is_in_doubt = permit.identity().zip(around.feed.as_deref()).is_some_and(|(identity, feed)| {
        !feed.is_current(around.now.monotonic)
            || identity.claims.check_time(around.now.wall).is_err()
            || is_refused(&held.route, held.text(), identity, feed, around.now)
    });
    if is_in_doubt { judge_token(held, around, effects) } else { Ok(Next::Pass(permit)) }
}

/// Turns a decision into effects, and counts it: the only place that does.
fn settle<H: Host>(
    mut held: Held,
    decision: Decision,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let mut terms = Terms::default();
    let decision = match decision {
        Ok(Next::AwaitKeys) => return Phase::AwaitKeys(held),
        Ok(Next::Ask(claims, question)) => {
            let flight = ask(&question, around, effects);
            return Phase::AwaitCheck(held, claims, flight);
        }
        Ok(Next::Pass(permit)) => match limit::admit(&held, &permit, around, effects, &mut terms) {
            Admission::Admit => Ok(permit),
            Admission::Refuse(reason) => Err(reason),
            Admission::Wait(call) => {
                held.limit_rounds += 1;
                return Phase::AwaitLimits(held, permit, call);
            }
        },
        Err(reason) => Err(reason),
    };
    let describe = |decision: &str, reason: &str| {
        let notes = &terms.notes;
        Effect::Describe(format!("decision={decision} reason={reason} rule={}{notes}", held.route.name))
    };
    let mut admitted = None;
    match decision {
        Ok(permit) => {
            effects.push(Effect::Count(Counter::Allow(permit.reason())));
            effects.push(describe("allow", permit.reason().as_str()));
            let identity = permit.identity();
            admitted = Some(Admitted {
                user_agent: Rc::clone(&held.user_agent),
                identity: identity.map(|identity| (Rc::clone(&held.token), Rc::clone(identity))),
            });
            let mut changes = std::mem::take(&mut held.cleaning);
            changes.extend(identity.map(|identity| around.config.trusted.of(identity)).unwrap_or_default());
            effects.push(Effect::Forward(permit, changes));
        }
        Err(reason) => {
            effects.push(Effect::Count(Counter::Deny(reason)));
            effects.push(describe("deny", reason.as_str()));
            let policy = &held.route.policy;
            let scopes = policy.scopes.as_ref().map(|rule| rule.scopes());
            let reply = denial::reply(reason, &held.client, &around.config.realm, scopes, policy.cors.as_ref());
            effects.push(Effect::Reply(match terms.retry {
                Some(retry) => reply.with_retry_after(seconds(retry)),
                None => reply,
            }));
        }
    }
    Phase::Settled(Settled { admitted, ..held.into_settled(terms) })
}

/// Asks the sidecar, unless another request has asked the same already.
fn ask<H: Host>(question: &[u8], around: &mut Surroundings<'_, H>, effects: &mut Vec<Effect>) -> FlightId {
    let epoch = around.feed.as_deref().and_then(|feed| feed.epoch().map(str::to_owned));
    let asked = Asked { at: around.now.monotonic, epoch };
    let timeout = around.config.sidecar.as_ref().map(|sidecar| sidecar.timeout).unwrap_or_default();
    match around.flights.board(around.id, around.sender, question, asked, timeout) {
        Boarding::Joined(flight) => {
            effects.push(Effect::Count(Counter::CheckShared));
            flight
        }
        Boarding::Started(flight) => {
            let call = around.config.sidecar.as_ref().map(|sidecar| sidecar.check(question.to_vec()));
            effects.extend(call.map(|call| Effect::Call(Errand::Check(flight), call)));
            flight
        }
    }
}

impl Held {
    fn text(&self) -> TokenText<'_> {
        TokenText(&self.token)
    }

    fn visitor<'a, H: Host>(&'a self, around: &'a Surroundings<'_, H>) -> Visitor<'a> {
        Visitor::new(around.host, around.id, &self.user_agent)
    }

    fn into_settled(self, terms: Terms) -> Settled {
        let Self { route, client, by_query, is_upgrade, .. } = self;
        let is_stream = is_upgrade || client.grpc;
        Settled { route, https: client.https, by_query, admitted: None, is_stream, terms }
    }
}
