//! A request's phases, what happens to it, and what is to be done.

use std::{collections::HashSet, fmt, rc::Rc};

use session_gate_protocol::{DenyReason, SessionId};

use super::{authenticate::CheckOutcome, permit::Permit, respond::Decided};
use crate::{
    config::Config,
    host::{ClientInfo, Host},
    http::{
        credential::Source,
        headers::{HeaderChange, Headers},
        interpretations::Unroutable,
    },
    ids::{CallId, Callout, RequestId},
    knowledge::{Follower, Identity, standing::Case},
    limits::{LeaseCalls, Ledger, Waiter},
    metric::Counter,
    response::denial::{Reply, ReplyStyle},
    routing::Route,
    sidecar::{checks::Checks, client::Call},
    time::Now,
    token::{FetchedKeys, TokenText, cache::TokenCache},
};

/// Where a request is.
#[derive(Debug)]
pub enum Phase {
    /// Its headers have not been seen.
    Start,
    /// It is held until the sidecar has replied with its keys.
    AwaitKeys(PendingRequest),
    /// The feed cannot tell about its token, which was verified or is opaque; it is held until the sidecar
    /// has replied.
    AwaitCheck(PendingRequest, Option<Identity>, CallId),
    /// It may pass as far as its token goes; it is held until the sidecar has replied about its limits.
    AwaitLimits(PendingRequest, Permit, CallId),
    /// It was forwarded or refused; its answer is on the way, or goes on.
    Decided(Decided),
}

/// What is known of a request that is not decided.
pub struct PendingRequest {
    pub(super) route: Rc<Route>,
    pub(super) style: ReplyStyle,
    /// Why no rule was found for it, where there is more to say than the reason.
    pub(super) unroutable: Option<Unroutable>,
    pub(super) user_agent: Rc<str>,
    pub(super) token: Rc<str>,
    /// Where the token came from; none: there is none, or none was looked for.
    pub(super) source: Option<Source>,
    /// Whether it asks for another protocol, a WebSocket for instance.
    pub(super) is_upgrade: bool,
    /// The headers by which its limits count.
    pub(super) key_headers: Vec<(String, Vec<u8>)>,
    /// How often it has waited for what the sidecar says of its limits.
    pub(super) limit_rounds: u8,
    /// What takes the client's trusted headers, our cookie and our parameter out.
    pub(super) cleaning: Vec<HeaderChange>,
}

impl fmt::Debug for PendingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest has credentials in it, or says who the client is.
        f.debug_struct("PendingRequest").field("route", &self.route.name).finish_non_exhaustive()
    }
}

impl PendingRequest {
    /// Its token.
    pub(super) fn text(&self) -> TokenText<'_> {
        TokenText(&self.token)
    }

    /// Who sends it.
    pub(super) fn client_info<'a, H: Host>(&'a self, cx: &'a StepContext<'_, H>) -> ClientInfo<'a> {
        ClientInfo::new(cx.host, cx.id, &self.user_agent)
    }

    /// What is judged of it.
    pub(super) fn case<'a, H: Host>(&'a self, identity: &'a Identity, cx: &'a StepContext<'_, H>) -> Case<'a> {
        let (route, feed) = (&self.route.policy, cx.feed.as_deref());
        Case { identity, token: self.text(), route, feed, now: cx.now, is_open: false }
    }
}

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers have come.
    Request(Headers),
    /// The sidecar's keys have come, or could not be had; either way nothing newer will come soon.
    Keys,
    /// The sidecar has replied about the credential.
    Check(Rc<CheckOutcome>),
    /// The sidecar has replied about limits, or could not.
    Limits,
    /// The headers of its answer have come: the upstream's, ours, or Envoy's own.
    Answer(Headers),
    /// It goes on, and it is time to look whether it still may.
    Alarm,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Call the sidecar about this and all other requests that ask the same: the reply is that to the
    /// callout. The call belongs to whatever the host was called for, which need not be this request.
    Call(Callout, Call),
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
    /// What the sidecar knows this VM by.
    pub worker: &'a str,
    /// Sessions that were used and not reported yet.
    pub used: &'a mut HashSet<SessionId>,
    /// The host's clocks.
    pub now: Now,
    /// Whether waiting for keys can bring any that are not here.
    pub keys_may_come: bool,
    /// Whether this worker holds as many requests as it may.
    pub full: bool,
    /// Whether it holds as many as it may whose token nobody has vouched for: for want of a key, or opaque ones. A flood
    /// of made-up tokens must not take the place of good ones.
    pub full_of_unverified: bool,
}

/// Sessions whose use is reported at once.
pub const MAX_USED: usize = 1000;

/// How a decision ends: an effect on the request, or a reason to refuse it.
pub(super) type Decision = Result<Next, DenyReason>;

/// What comes next for a request that is not refused.
pub(super) enum Next {
    Pass(Permit),
    /// Ask the sidecar about a token, whose claims are known unless it is opaque.
    Ask(Option<Identity>, Vec<u8>),
    AwaitKeys,
}
