//! What is kept of a request whose answer may say something of sessions.

use std::{fmt, rc::Rc};

use super::context::StepContext;
use crate::{
    config::Config,
    host::Host,
    http::{
        credential,
        csrf::is_action,
        headers::{HeaderChange, Headers},
        interpretations::RequestInterpretations,
        page_load::{Navigation, is_prefetch},
        session_headers::NONCE,
    },
    response::denial::ReplyStyle,
    routing::Route,
};

/// What is kept of a request whose answer may say something of sessions.
pub(super) struct CommandContext {
    /// The token that it brought, whatever that is worth: its session is the current one.
    pub(super) token: Option<Rc<str>>,
    pub(super) style: ReplyStyle,
    pub(super) user_agent: Rc<str>,
    pub(super) sent_by: SentBy,
    /// The device token that it brought, where failed logins count.
    pub(super) device_token: Option<String>,
    /// The account that it names, where the lock is asked before the upstream sees it.
    pub(super) account: Option<NamedAccount>,
    nonce: Option<String>,
    /// What the access log says of the decision about the request.
    pub(super) decision: String,
}

/// An account, and the device token that came with it: a question uses that up for nobody, however it was asked for.
pub(super) struct NamedAccount {
    pub(super) name: String,
    pub(super) device_token: Option<String>,
}

/// What has sent a request, as far as following its answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SentBy {
    /// A page of another site, and it may change something.
    ForeignPage,
    /// A page or a program, and it may change something.
    Action,
    /// A user who has followed a link on a page of the same origin.
    Link,
    /// A page load, from wherever.
    Navigation,
    /// Anything else that reads: an image, a frame, a script, a program.
    Read,
    /// A browser that fetches ahead what its user may never ask for.
    Prefetch,
}

impl fmt::Debug for CommandContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest has a credential in it, or says who the client is.
        f.debug_struct("CommandContext").field("sent_by", &self.sent_by).finish_non_exhaustive()
    }
}

impl CommandContext {
    /// What is to be kept of a request, if its route's application may say something of sessions; and the nonce that its
    /// upstream gets.
    pub(super) fn of<H: Host>(
        request: &Headers,
        readings: &RequestInterpretations,
        (route, style): (&Route, &ReplyStyle),
        cx: &StepContext<'_, H>,
    ) -> Option<Self> {
        let commands = route.policy.session_commands.as_ref()?;
        let sent_by = SentBy::of(request, readings, style, cx.config);
        let device_token = credential::device_tokens(request, &cx.config.cookie.name);
        let named = commands.account_from.as_ref().and_then(|source| source.account(request, cx.id, cx.host));
        let unique = || format!("{}-{:x}-{:x}", cx.worker, cx.id, cx.now.monotonic.as_nanos());
        Some(Self {
            token: presented(request, route, cx.config),
            style: style.clone(),
            user_agent: String::from_utf8_lossy(request.get("user-agent").unwrap_or_default()).into(),
            sent_by,
            // Where only what a page or a program sends may log in, no link or image from elsewhere uses the device up.
            device_token: device_token
                .clone()
                .filter(|_| commands.do_failures_count() && (sent_by == SentBy::Action || commands.on_navigation)),
            account: named.map(|name| NamedAccount { name, device_token }),
            nonce: commands.require_nonce.then(unique),
            decision: String::new(),
        })
    }

    /// Tells the upstream what its answer must repeat.
    pub(super) fn nonce_header(&self) -> Option<HeaderChange> {
        self.nonce.as_ref().map(|nonce| HeaderChange::set(NONCE, nonce.as_str()))
    }

    /// Whether another site's page has sent it: it might log its visitor in as somebody else.
    pub(super) fn is_forged(&self) -> bool {
        self.sent_by == SentBy::ForeignPage
    }

    /// Whether the answer may come from a cache: an earlier user's login.
    pub(super) fn may_be_cached(&self, answer: &Headers) -> bool {
        let repeats = |nonce: &String| answer.get(NONCE) == Some(nonce.as_bytes());
        answer.has("age") || !self.nonce.as_ref().is_none_or(repeats)
    }
}

/// The one token that the request brought.
fn presented(request: &Headers, route: &Route, config: &Config) -> Option<Rc<str>> {
    let parameter = route.policy.token_query_parameter.as_deref();
    let offer = credential::offered(request, &config.cookie.name, parameter).ok().flatten()?;
    let token = offer.token().ok().filter(|token| token.len() <= config.max_token_bytes)?;
    Some(token.into())
}

impl SentBy {
    fn of(request: &Headers, readings: &RequestInterpretations, style: &ReplyStyle, config: &Config) -> Self {
        if config.csrf.is_foreign(request, readings, style.scheme) {
            return Self::ForeignPage;
        }
        if is_prefetch(request) {
            return Self::Prefetch;
        }
        if is_action(readings) {
            return Self::Action;
        }
        if style.navigation != Navigation::Load {
            return Self::Read;
        }
        // A browser sends each once. Of several every one must say so.
        let says = |name, what: &[u8]| request.has(name) && request.all(name).all(|value| value == what);
        let is_link = says("sec-fetch-user", b"?1") && says("sec-fetch-site", b"same-origin");
        if is_link { Self::Link } else { Self::Navigation }
    }
}
