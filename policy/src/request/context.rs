//! What a step may look at, and what it may change beside its request.

use std::{collections::HashSet, time::Duration};

use session_gate_protocol::SessionId;

use super::room::Room;
use crate::{
    config::Config,
    host::Host,
    http::proof::ProofCache,
    ids::RequestId,
    knowledge::Follower,
    limits::{LeaseCalls, Ledger, Waiter},
    routing::RoutePolicy,
    sidecar::{checks::Checks, in_flight::InFlight, renewals::Renewals},
    time::Now,
    token::{FetchedKeys, cache::TokenCache},
};

/// What a step may look at.
#[derive(Debug)]
pub struct StepContext<'a, H: Host> {
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
    /// Proofs to upstreams.
    pub proofs: &'a mut ProofCache,
    /// The host, for what it is asked.
    pub host: &'a H,
    /// What is known from the feed, where there is a sidecar.
    pub feed: Option<&'a mut Follower>,
    /// Questions about credentials under way.
    pub checks: &'a mut Checks,
    /// What is leased of limits, where there is a sidecar.
    pub ledger: Option<&'a mut Ledger>,
    /// Questions about limits under way.
    pub lease_calls: &'a mut LeaseCalls,
    /// Which requests are woken behind this one, and for which keys of limits they have waited.
    pub queued_behind: &'a [Waiter],
    /// Questions about locked accounts under way.
    pub locks: &'a mut Checks,
    /// What answers say of sessions, under way.
    pub commands: &'a mut InFlight<()>,
    /// Renewals of tokens under way, and what has come of them.
    pub renewals: &'a mut Renewals,
    /// What the sidecar knows this VM by.
    pub worker: &'a str,
    /// Sessions that were used and not reported yet.
    pub used: &'a mut HashSet<SessionId>,
    /// The host's clocks.
    pub now: Now,
    /// Whether waiting for keys can bring any that are not here.
    pub keys_may_come: bool,
    /// The room for requests that wait, this one not among them.
    pub room: &'a Room,
}

impl<H: Host> StepContext<'_, H> {
    /// Whether a client must have come by https: by the configuration, else by what the sidecar has published.
    pub fn requires_https(&self, route: &RoutePolicy) -> bool {
        route.require_https.unwrap_or_else(|| self.keys.is_some_and(|keys| keys.published().require_https))
    }

    /// How long before its end a session's token is renewed: by the configuration, else by what the sidecar has published.
    /// Zero: never.
    pub fn refresh_threshold(&self) -> Duration {
        let published = || self.keys.map(|keys| keys.published().token_refresh_threshold);
        self.config.token_refresh_threshold.or_else(published).unwrap_or_default()
    }
}

/// Sessions whose use is reported at once.
pub const MAX_USED: usize = 1000;
