//! A request that is not decided, and how a decision about it ends.

use std::{fmt, rc::Rc};

use session_gate_protocol::{DenyReason, SessionToken};

use super::{command_context::CommandContext, context::StepContext, limit_record::LimitRecord, permit::Permit};
use crate::{
    host::{ClientInfo, Host},
    http::{credential::Source, headers::HeaderChange, interpretations::Unroutable},
    ids::CallId,
    knowledge::{Identity, standing::Case},
    response::denial::ReplyStyle,
    routing::Route,
    token::TokenText,
};

/// What is known of a request that is not decided.
pub struct PendingRequest {
    pub(super) route: Rc<Route>,
    pub(super) style: ReplyStyle,
    /// The path and query that it is for, where somebody may have to log in for it.
    pub(super) login_target: Option<String>,
    /// Why no rule was found for it, where there is more to say than the reason.
    pub(super) unroutable: Option<Unroutable>,
    pub(super) user_agent: Rc<str>,
    pub(super) token: Rc<str>,
    /// What has taken the place of the token that it brought: the token is this by now.
    pub(super) renewed: Option<Rc<SessionToken>>,
    /// Where the token came from; none: there is none, or none was looked for.
    pub(super) source: Option<Source>,
    /// Whether no page of ours has sent it, although it may change something: not served by its cookie.
    pub(super) is_cross_site: bool,
    /// Whether it asks for another protocol, a WebSocket for instance.
    pub(super) is_upgrade: bool,
    /// The headers by which its limits count.
    pub(super) key_headers: Vec<(String, Vec<u8>)>,
    /// How often it has waited for what the sidecar says of the limits that it has come to.
    pub(super) limit_rounds: u8,
    /// What its limits have said so far.
    pub(super) limit_record: LimitRecord,
    /// What takes the client's trusted headers, our cookie and our parameter out.
    pub(super) cleaning: Vec<HeaderChange>,
    /// What is kept for its answer, where that may say something of sessions.
    pub(super) command: Option<Box<CommandContext>>,
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

/// How a decision ends: an effect on the request, or a reason to refuse it.
pub(super) type Decision = Result<Next, DenyReason>;

/// What comes next for a request that is not refused.
pub(super) enum Next {
    Pass(Permit),
    /// Ask the sidecar about a token, whose claims are known unless it is opaque.
    Ask(Option<Identity>, Vec<u8>),
    AwaitKeys,
    /// Ask the sidecar for what takes its token's place.
    Renew,
    /// Its token is not looked at before the sidecar has replied about limits.
    AwaitTurn(CallId),
}
