//! One request's way through the gate: phases, events, effects.
//!
//! ```text
//! Start ──Request──▶ refused, forwarded ───────────────▶ Settled ──Answer──▶ Settled
//!        │                                                 ▲
//!        ├─ key missing ──▶ AwaitKeys ──Keys──▶ (verified) ┤
//!        └─ feed cannot tell ▶ AwaitCheck ──Check──────────┘
//! ```
//!
//! [`Phase::step`] is total: an event that does not belong to a phase (a late or repeated reply)
//! leaves the phase as it is. It is pure but for the cache of verified tokens, which changes nothing
//! about a decision.

mod judge;

use std::{collections::HashSet, fmt, rc::Rc};

use session_gate_protocol::DenyReason;

pub use self::judge::Answer;
use self::judge::{Found, check_block, find_token, judge_answer, judge_token};
use crate::{
    cache::TokenCache,
    call::Call,
    config::Config,
    credential::{self, Source},
    denial::{self, Client, Reply},
    feed::{Asked, Changes, Follower},
    flights::{Boarding, FlightId, Flights},
    headers::{HeaderChange, Headers},
    host::{Host, Visitor},
    metric::Counter,
    now::Now,
    permit::{self, Identity, Permit},
    readings::RequestReadings,
    route::Route,
    token::{FetchedKeys, TokenText, VerifiedClaims},
    worker::RequestId,
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
    /// What takes the client's trusted headers, our cookie and our parameter out.
    cleaning: Vec<HeaderChange>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, client: _, user_agent: _, token: _, by_query: _, is_upgrade: _, cleaning: _ } = self;
        f.debug_struct("Held").field("route", &route.name).finish_non_exhaustive()
    }
}

/// What is known of a request whose answer is on the way.
#[derive(Debug)]
pub struct Settled {
    route: Rc<Route>,
    https: bool,
    /// Whether a token came by the query, which caches keep as part of the key.
    by_query: bool,
    /// By what it was admitted; none: it was not, or its stream is being ended.
    admitted: Option<Admitted>,
    /// Whether it goes on for as long as both sides like: its answer has begun, or it is an upgrade or
    /// gRPC, whose answer may begin late.
    is_stream: bool,
}

/// By what a request was admitted.
struct Admitted {
    user_agent: Rc<str>,
    /// The token, and the session that it is served in; none: it is anonymous.
    identity: Option<(Rc<str>, Rc<Identity>)>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("is_anonymous", &self.identity.is_none()).finish_non_exhaustive()
    }
}

impl Settled {
    /// Whether its stream must be ended, for what the feed has said just now. Says so once.
    pub fn must_end<H: Host>(&mut self, id: RequestId, changes: &Changes, feed: &Follower, host: &H, now: Now) -> bool {
        let Some(admitted) = self.admitted.as_ref().filter(|_| self.is_stream) else { return false };
        let blocked = changes.rules && feed.blocks(&Visitor::new(host, id, &admitted.user_agent), now.wall);
        let must_end = blocked
            || admitted.identity.as_ref().is_some_and(|(token, identity)| {
                let session = identity.session.as_ref().map(|session| session.name);
                let names = [identity.claims.names().token, session];
                let touched = names.into_iter().flatten().any(|name| changes.touched.contains(&name));
                (touched || changes.rules) && self.is_refused(TokenText(token), identity, feed, now)
            });
        if must_end {
            self.admitted = None;
        }
        must_end
    }

    fn is_refused(&self, token: TokenText<'_>, identity: &Identity, feed: &Follower, now: Now) -> bool {
        let scopes = feed.scopes(&identity.claims, None);
        feed.against(token, &identity.claims, now.wall).is_some()
            || identity.session.as_ref().is_some_and(|session| feed.takes_back(session.name))
            || permit::check_scopes(&self.route.policy, scopes.as_ref().unwrap_or(identity.claims.scopes())).is_err()
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
    /// The headers of its answer have come: the upstream's, ours, or Envoy's own.
    Answer(Headers),
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Call the sidecar about this and all other requests that ask the same: the reply is that to
    /// [`Errand::Check`](crate::worker::Errand::Check).
    Call(FlightId, Call),
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
            // An answer to a request that we never saw: its scheme is unknown, so it is not https.
            (Self::Start, Event::Answer(answer)) => {
                let route = Rc::clone(around.config.routes.otherwise());
                let settled = Settled { route, https: false, by_query: false, admitted: None, is_stream: false };
                answered(settled, &answer, &mut effects)
            }
            // Envoy has answered a request that we still hold: a time-out, a client that left.
            (Self::AwaitKeys(held) | Self::AwaitCheck(held, ..), Event::Answer(answer)) => {
                answered(held.into_settled(), &answer, &mut effects)
            }
            (Self::Settled(settled), Event::Answer(answer)) => answered(settled, &answer, &mut effects),
            (phase @ Self::Start, Event::Keys | Event::Check(_))
            | (phase @ Self::AwaitKeys(_), Event::Request(_) | Event::Check(_))
            | (phase @ Self::AwaitCheck(..), Event::Request(_) | Event::Keys)
            | (phase @ Self::Settled(_), Event::Request(_) | Event::Keys | Event::Check(_)) => phase,
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
    let mut held = Held { route, client, user_agent, token, by_query: false, is_upgrade, cleaning: Vec::new() };
    let found =
        RequestReadings::of(request).and_then(|readings| Ok((Rc::clone(config.routes.find(&readings)?), readings)));
    let readings = match found {
        Ok((route, readings)) => {
            held.route = route;
            readings
        }
        Err(reason) => return settle(held, Err(reason), around, effects),
    };
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

/// Turns a decision into effects, and counts it: the only place that does.
fn settle<H: Host>(
    mut held: Held,
    decision: Decision,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let describe = |decision: &str, reason: &str| {
        Effect::Describe(format!("decision={decision} reason={reason} rule={}", held.route.name))
    };
    let mut admitted = None;
    match decision {
        Ok(Next::AwaitKeys) => return Phase::AwaitKeys(held),
        Ok(Next::Ask(claims, question)) => {
            let flight = ask(&question, around, effects);
            return Phase::AwaitCheck(held, claims, flight);
        }
        Ok(Next::Pass(permit)) => {
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
            effects.push(Effect::Reply(denial::reply(
                reason,
                &held.client,
                &around.config.realm,
                scopes,
                policy.cors.as_ref(),
            )));
        }
    }
    Phase::Settled(Settled { admitted, ..held.into_settled() })
}

/// Asks the sidecar, unless another request has asked the same already.
fn ask<H: Host>(question: &[u8], around: &mut Surroundings<'_, H>, effects: &mut Vec<Effect>) -> FlightId {
    let epoch = around.feed.as_deref().and_then(|feed| feed.epoch().map(str::to_owned));
    let asked = Asked { at: around.now.monotonic, epoch };
    let timeout = around.config.sidecar.as_ref().map(|sidecar| sidecar.timeout).unwrap_or_default();
    match around.flights.board(around.id, question, asked, timeout) {
        Boarding::Joined(flight) => {
            effects.push(Effect::Count(Counter::CheckShared));
            flight
        }
        Boarding::Started(flight) => {
            let call = around.config.sidecar.as_ref().map(|sidecar| sidecar.check(question.to_vec()));
            effects.extend(call.map(|call| Effect::Call(flight, call)));
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

    fn into_settled(self) -> Settled {
        let is_stream = self.is_upgrade || self.client.grpc;
        Settled { route: self.route, https: self.client.https, by_query: self.by_query, admitted: None, is_stream }
    }
}

fn answered(mut settled: Settled, answer: &Headers, effects: &mut Vec<Effect>) -> Phase {
    settled.is_stream = true;
    let mut changes = settled.route.policy.security_headers.changes(answer, settled.https);
    if settled.by_query && !answer.has("cache-control") {
        // RFC 6750, section 2.3.
        changes.push(HeaderChange::set("cache-control", "private"));
    }
    effects.push(Effect::ChangeAnswer(changes));
    Phase::Settled(settled)
}
