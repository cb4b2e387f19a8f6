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

use self::judge::{Found, find_token, judge_session, judge_token};
use crate::{
    cache::TokenCache,
    call::{Call, CallReply},
    config::Config,
    credential::{self, Source},
    denial::{self, Client, Reply},
    feed::{Fingerprint, Follower},
    headers::{HeaderChange, Headers},
    jose::HostCrypto,
    metric::Counter,
    now::Now,
    permit::Permit,
    readings::RequestReadings,
    route::Route,
    token::{FetchedKeys, Revocation, VerifiedClaims},
};

/// Where a request is.
#[derive(Debug)]
pub enum Phase {
    /// Its headers have not been seen.
    Start,
    /// It is held until the sidecar has answered with its keys.
    AwaitKeys(Held),
    /// Its token is good and the feed cannot tell; it is held until the sidecar has answered about its
    /// session.
    AwaitCheck(Held, VerifiedClaims),
    /// It was forwarded or refused; its answer is on the way.
    Settled(Settled),
}

/// What is known of a request that is held.
pub struct Held {
    route: Rc<Route>,
    client: Client,
    token: String,
    /// Whether the token came by the query.
    by_query: bool,
    /// Whether it asks for another protocol, a WebSocket for instance.
    is_upgrade: bool,
    /// What takes the client's trusted headers, our cookie and our parameter out.
    cleaning: Vec<HeaderChange>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, client: _, token: _, by_query: _, is_upgrade: _, cleaning: _ } = self;
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
    /// By what it was admitted, if by a token that the feed is about.
    admitted: Option<Admitted>,
    /// Whether it goes on for as long as both sides like: its answer has begun, or it is an upgrade or
    /// gRPC, whose answer may begin late.
    is_stream: bool,
}

/// The session and the token that a request was admitted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The session.
    pub session: Option<Fingerprint>,
    /// The token.
    pub token: Option<Fingerprint>,
}

impl Settled {
    /// By what a stream that is still open was admitted.
    pub fn open_stream(&self) -> Option<Admitted> {
        self.admitted.filter(|_| self.is_stream)
    }

    /// The stream is being ended: it is open no more.
    pub fn close(&mut self) {
        self.admitted = None;
    }
}

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers have come.
    Request(Headers),
    /// The sidecar's keys have come, or could not be had; either way nothing newer will come soon.
    Keys,
    /// The sidecar has answered about the session.
    Check(CallReply),
    /// The headers of its answer have come: the upstream's, ours, or Envoy's own.
    Answer(Headers),
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Call the sidecar, and bring its reply as [`Event::Check`].
    Call(Call),
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
pub struct Surroundings<'a, H: HostCrypto> {
    /// The configuration.
    pub config: &'a Config,
    /// The sidecar's keys, once they have come.
    pub keys: Option<&'a FetchedKeys>,
    /// Tokens whose signature is known to be good.
    pub cache: &'a mut TokenCache,
    /// The host's cryptography.
    pub host: &'a H,
    /// What is known from the feed, where some issuer's tokens are in it.
    pub feed: Option<&'a mut Follower>,
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
    AskStore(VerifiedClaims, Call),
    AwaitKeys,
}

impl Phase {
    /// Takes one step.
    pub fn step<H: HostCrypto>(self, event: Event, around: &mut Surroundings<'_, H>) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let next = match (self, event) {
            (Self::Start, Event::Request(request)) => arrive(&request, around, &mut effects),
            (Self::AwaitKeys(held), Event::Keys) => {
                let decision = judge_token(&held, around, &mut effects);
                settle(held, decision, around, &mut effects)
            }
            (Self::AwaitCheck(held, claims), Event::Check(reply)) => {
                let decision = judge_session(&held, claims, &reply, around, &mut effects);
                settle(held, decision, around, &mut effects)
            }
            // An answer to a request that we never saw: its scheme is unknown, so it is not https.
            (Self::Start, Event::Answer(answer)) => {
                let route = Rc::clone(around.config.routes.otherwise());
                let settled = Settled { route, https: false, by_query: false, admitted: None, is_stream: false };
                answered(settled, &answer, &mut effects)
            }
            // Envoy has answered a request that we still hold: a time-out, a client that left.
            (Self::AwaitKeys(held) | Self::AwaitCheck(held, _), Event::Answer(answer)) => {
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
fn arrive<H: HostCrypto>(request: &Headers, around: &mut Surroundings<'_, H>, effects: &mut Vec<Effect>) -> Phase {
    let config = around.config;
    let client = Client::of(request);
    let route = Rc::clone(config.routes.otherwise());
    let is_upgrade = request.has("upgrade");
    let mut held = Held { route, client, token: String::new(), by_query: false, is_upgrade, cleaning: Vec::new() };
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
    let decision = match find_token(request, &readings, &held, config) {
        Ok(Found::Permit(permit)) => Ok(Next::Pass(permit)),
        Ok(Found::Token(credential)) => {
            held.by_query = credential.source == Source::Query;
            held.token = credential.token;
            judge_token(&held, around, effects)
        }
        Err(reason) => Err(reason),
    };
    settle(held, decision, around, effects)
}

/// Turns a decision into effects, and counts it: the only place that does.
fn settle<H: HostCrypto>(
    mut held: Held,
    decision: Decision,
    around: &Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let describe = |decision: &str, reason: &str| {
        Effect::Describe(format!("decision={decision} reason={reason} rule={}", held.route.name))
    };
    let mut admitted = None;
    match decision {
        Ok(Next::AwaitKeys) => return Phase::AwaitKeys(held),
        Ok(Next::AskStore(claims, call)) => {
            effects.push(Effect::Call(call));
            return Phase::AwaitCheck(held, claims);
        }
        Ok(Next::Pass(permit)) => {
            effects.push(Effect::Count(Counter::Allow(permit.reason())));
            effects.push(describe("allow", permit.reason().as_str()));
            admitted = permit.claims().filter(|claims| claims.revocation() == Revocation::Check).map(Admitted::by);
            let mut changes = std::mem::take(&mut held.cleaning);
            changes.extend(permit.claims().map(|claims| around.config.trusted.of(claims)).unwrap_or_default());
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

impl Admitted {
    fn by(claims: &VerifiedClaims) -> Self {
        Self {
            session: claims.session_id().map(Fingerprint::of_session),
            token: claims.token_id().map(Fingerprint::of_token),
        }
    }
}

impl Held {
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
