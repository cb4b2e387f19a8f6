//! A request whose answer is on the way.

use std::{fmt, rc::Rc, time::Duration};

use super::{
    Effect, Phase, Surroundings,
    limit::{self, Terms},
};
use crate::{
    feed::{Changes, Follower},
    headers::{HeaderChange, Headers},
    host::{Host, Visitor},
    limits::Ledger,
    now::Now,
    permit::{self, Identity},
    route::Route,
    token::TokenText,
    worker::RequestId,
};

/// What is known of a request whose answer is on the way.
#[derive(Debug)]
pub struct Settled {
    pub(super) route: Rc<Route>,
    pub(super) https: bool,
    /// Whether a token came by the query, which caches keep as part of the key.
    pub(super) by_query: bool,
    /// By what it was admitted; none: it was not, or its stream is being ended.
    pub(super) admitted: Option<Admitted>,
    /// Whether it goes on for as long as both sides like: its answer has begun, or it is an upgrade or
    /// gRPC, whose answer may begin late.
    pub(super) is_stream: bool,
    /// What its limits have said.
    pub(super) terms: Terms,
}

/// By what a request was admitted.
pub(super) struct Admitted {
    pub(super) user_agent: Rc<str>,
    /// The token, and the session that it is served in; none: it is anonymous.
    pub(super) identity: Option<(Rc<str>, Rc<Identity>)>,
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
                (touched || changes.rules) && is_refused(&self.route, TokenText(token), identity, feed, now)
            });
        if must_end {
            self.admitted = None;
        }
        must_end
    }

    /// It is over: what it held of limits counts no more.
    pub fn release(&self, ledger: &mut Ledger, now: Duration) {
        limit::release(&self.terms.tickets, ledger, now);
    }
}

/// Whether a request that was permitted would be refused by now, for what the feed has said since.
pub(super) fn is_refused(route: &Route, token: TokenText<'_>, identity: &Identity, feed: &Follower, now: Now) -> bool {
    let scopes = feed.scopes(&identity.claims, None);
    feed.against(token, &identity.claims, now.wall).is_some()
        || identity.session.as_ref().is_some_and(|session| feed.takes_back(session.name))
        || permit::check_scopes(&route.policy, scopes.as_ref().unwrap_or(identity.claims.scopes())).is_err()
}

/// Its answer's headers have come.
pub(super) fn answered<H: Host>(
    mut settled: Settled,
    answer: &Headers,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    settled.is_stream = true;
    let mut changes = settled.route.policy.security_headers.changes(answer, settled.https);
    if settled.by_query && !answer.has("cache-control") {
        // RFC 6750, section 2.3.
        changes.push(HeaderChange::set("cache-control", "private"));
    }
    let Settled { route, terms, .. } = &mut settled;
    let (ledger, now) = (around.ledger.as_deref_mut(), around.now.monotonic);
    changes.extend(limit::settle_costs(&mut terms.tickets, &route.policy.limits, answer, ledger, now));
    changes.extend(terms.report.take().iter().flat_map(|report| report.headers(around.config.limit_headers)));
    effects.push(Effect::ChangeAnswer(changes));
    Phase::Settled(settled)
}
