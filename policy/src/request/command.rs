//! What an application says of sessions in its answer: judged by the route and the request, done by the sidecar while the
//! answer waits, and then told to the client.
//!
//! Nothing is half-made: an answer that says what cannot be read, is not allowed or could not be done is replaced.

use std::{fmt, rc::Rc};

use session_gate_protocol::{
    DenyReason, ProblemCode, SessionCommand, SessionCommandKind, SessionCommandReply, SessionCommandRequest,
    SessionToken,
};

use super::{
    context::StepContext,
    decided::Decided,
    effect::Effect,
    event::CommandOutcome,
    phase::{HeldAnswer, Phase},
};
use crate::{
    config::Config,
    host::{ClientInfo, Host},
    http::{
        credential,
        csrf::is_unsafe,
        headers::{HeaderChange, Headers},
        interpretations::RequestInterpretations,
        session_headers::{self, NONCE, TOKEN},
    },
    ids::Callout,
    metric::{CommandResult, Counter},
    response::{
        caching,
        denial::{self, Reply, ReplyStyle},
    },
    routing::{Route, SessionCommands, TokenDelivery},
    sidecar::in_flight::Asked,
};

/// What is kept of a request whose answer may say something of sessions.
pub(super) struct CommandContext {
    /// The token that it brought, whatever that is worth: its session is the current one.
    token: Option<Rc<str>>,
    style: ReplyStyle,
    user_agent: Rc<str>,
    sent_by: SentBy,
    nonce: Option<String>,
    /// What the access log says of the decision about the request.
    pub(super) decision: String,
}

/// What has sent a request, as far as following its answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SentBy {
    /// A page of another site, and it may change something.
    ForeignPage,
    /// A page or a program, and it may change something.
    Action,
    /// A user who has followed a link on a page of the same origin.
    Link,
    /// Anything else that reads.
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
        let unique = || format!("{}-{:x}-{:x}", cx.worker, cx.id, cx.now.monotonic.as_nanos());
        Some(Self {
            token: presented(request, route, cx.config),
            style: style.clone(),
            user_agent: String::from_utf8_lossy(request.get("user-agent").unwrap_or_default()).into(),
            sent_by: SentBy::of(request, readings, style, cx.config),
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
    fn may_be_cached(&self, answer: &Headers) -> bool {
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
        let says = |name: &str, what: &str| request.text(name).is_some_and(|value| value.contains(what));
        if says("sec-purpose", "prefetch")
            || says("purpose", "prefetch")
            || says("x-moz", "prefetch")
            || request.has("next-router-prefetch")
        {
            return Self::Prefetch;
        }
        if is_unsafe(request, readings) {
            let is_foreign = config.csrf.is_foreign(request, readings, style.scheme);
            return if is_foreign { Self::ForeignPage } else { Self::Action };
        }
        let is = |name: &str, value: &str| request.get(name) == Some(value.as_bytes());
        let is_link =
            is("sec-fetch-mode", "navigate") && is("sec-fetch-user", "?1") && is("sec-fetch-site", "same-origin");
        if is_link { Self::Link } else { Self::Read }
    }
}

/// What comes of an answer.
enum Verdict {
    /// It says nothing that is to be followed.
    Passes,
    /// It says something that this request cannot ask for: nothing is done, and it passes without.
    Ignored(SessionCommandKind),
    Followed(SessionCommand),
    Replaced(Replaced),
}

/// Why an answer is replaced.
struct Replaced {
    reason: DenyReason,
    result: CommandResult,
    kind: Option<SessionCommandKind>,
    /// What the access log says, for whoever writes the application.
    problem: String,
}

/// The headers of an answer have come.
pub(super) fn on_answer<H: Host>(
    decided: Decided,
    answer: Headers,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let Some((context, commands)) = decided.commanded() else {
        return Phase::Decided(decided.answered(&answer, cx, effects));
    };
    match judge(context, commands, &decided, &answer) {
        Verdict::Passes => Phase::Decided(decided.answered(&answer, cx, effects)),
        Verdict::Ignored(kind) => {
            note(context, Some(kind), CommandResult::Ignored, "", effects);
            Phase::Decided(decided.answered(&answer, cx, effects))
        }
        Verdict::Replaced(replaced) => replace(decided, &replaced, cx, effects),
        Verdict::Followed(command) => {
            let kind = command.kind();
            let failed = |reason, problem: &str| {
                let problem = problem.to_owned();
                Replaced { reason, result: CommandResult::Failed, kind: Some(kind), problem }
            };
            if cx.room.is_full() {
                return replace(decided, &failed(DenyReason::Overloaded, "too many requests wait"), cx, effects);
            }
            let request = SessionCommandRequest {
                command,
                token: context.token.as_deref().map(str::to_owned),
                ip_address: ClientInfo::new(cx.host, cx.id, &context.user_agent).address(),
                user_agent: (!context.user_agent.is_empty()).then(|| context.user_agent.to_string()),
            };
            let Some(http) = cx.config.sidecar.as_ref().and_then(|sidecar| sidecar.session_command(&request)) else {
                return replace(decided, &failed(DenyReason::StoreUnavailable, "no sidecar"), cx, effects);
            };
            let call = cx.commands.start((), Asked::default(), cx.sender, vec![(cx.id, ())]);
            effects.push(Effect::Call(Callout::SessionCommand(call), http));
            effects.push(Effect::HoldAnswer);
            Phase::AwaitCommand(Box::new(HeldAnswer { decided, answer, kind }))
        }
    }
}

fn judge(context: &CommandContext, commands: &SessionCommands, decided: &Decided, answer: &Headers) -> Verdict {
    let replaced =
        |reason, result, kind, problem: String| Verdict::Replaced(Replaced { reason, result, kind, problem });
    let command = match session_headers::read(answer) {
        Ok(None) => return Verdict::Passes,
        Ok(Some(command)) => command,
        Err(unreadable) => {
            let problem = unreadable.to_string();
            return replaced(DenyReason::SessionHeaderInvalid, CommandResult::Invalid, None, problem);
        }
    };
    let kind = command.kind();
    let refused = |problem: &str| {
        replaced(DenyReason::SessionCommandRefused, CommandResult::Refused, Some(kind), problem.to_owned())
    };
    if context.may_be_cached(answer) {
        return refused("the answer may be a cache's");
    }
    if answer.get(":status") == Some(b"101") {
        return refused("the answer is a handshake");
    }
    match (context.sent_by, kind) {
        (SentBy::Prefetch | SentBy::Read, SessionCommandKind::Logout) => return Verdict::Ignored(kind),
        (SentBy::Link, SessionCommandKind::Logout) if !commands.on_navigation => return Verdict::Ignored(kind),
        (SentBy::Prefetch, _) => return refused("a browser fetches it ahead"),
        (SentBy::Link | SentBy::Read, _) if !commands.on_navigation => {
            return refused("the request only reads, and session_commands.on_navigation is not set");
        }
        (SentBy::ForeignPage, _) => {
            let problem = "a page of another site has sent the request".to_owned();
            return replaced(DenyReason::CsrfRefused, CommandResult::Refused, Some(kind), problem);
        }
        (SentBy::Link | SentBy::Read | SentBy::Action, _) => {}
    }
    match commands.check(&command, decided.signed_in()) {
        Ok(()) => Verdict::Followed(command),
        Err(problem) => refused(&problem),
    }
}

/// The sidecar has done what the answer says, or has not.
pub(super) fn on_reply<H: Host>(
    held: HeldAnswer,
    outcome: &CommandOutcome,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let HeldAnswer { decided, answer, kind } = held;
    let Some((context, commands)) = decided.commanded() else { return Phase::Decided(decided) };
    let replaced = |reason, result, problem: String| Replaced { reason, result, kind: Some(kind), problem };
    let told = match outcome {
        CommandOutcome::Done(reply) => tell(reply, &answer, commands, cx.config),
        CommandOutcome::Refused(problem) => {
            let reason = match problem.code {
                ProblemCode::StateConflict => DenyReason::SessionTerminated,
                _ => DenyReason::SessionCommandRefused,
            };
            let fields = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.message));
            let text: Vec<String> = fields.chain(problem.detail.clone()).collect();
            Err(replaced(reason, CommandResult::Refused, text.join("; ")))
        }
        CommandOutcome::Failed => {
            Err(replaced(DenyReason::StoreUnavailable, CommandResult::Failed, "the sidecar has not done it".to_owned()))
        }
    };
    match told {
        Ok(changes) => {
            note(context, Some(kind), CommandResult::Done, "", effects);
            let decided = decided.answered(&answer, cx, effects);
            effects.push(Effect::ChangeAnswer(changes));
            effects.push(Effect::ReleaseAnswer);
            Phase::Decided(decided)
        }
        Err(replaced) => replace(decided, &replaced, cx, effects),
    }
}

/// What the answer tells the client of it: its new token, or that its cookie is to go.
fn tell(
    reply: &SessionCommandReply,
    answer: &Headers,
    commands: &SessionCommands,
    config: &Config,
) -> Result<Vec<HeaderChange>, Replaced> {
    let mut changes = caching::never_stored(answer);
    match (&reply.token, commands.token) {
        (Some(SessionToken { token, .. }), TokenDelivery::Header) => {
            changes.push(HeaderChange::set(TOKEN, token.as_str()));
        }
        (Some(SessionToken { token, max_age, .. }), TokenDelivery::Cookie) => {
            let line = config.cookie.keep(token, *max_age).ok_or_else(|| Replaced {
                reason: DenyReason::SessionCommandRefused,
                result: CommandResult::Refused,
                kind: None,
                problem: "the cookie would be too large".to_owned(),
            })?;
            changes.extend(without_cookie(answer, &config.cookie.name));
            changes.push(HeaderChange::add("set-cookie", line));
        }
        (None, TokenDelivery::Cookie) if reply.logged_out => {
            changes.extend(without_cookie(answer, &config.cookie.name));
            changes.extend(config.cookie.removal().into_iter().map(|line| HeaderChange::add("set-cookie", line)));
        }
        (None, TokenDelivery::Cookie | TokenDelivery::Header) => {}
    }
    if let Some(kinds) = commands.clear_site_data.as_deref().filter(|_| reply.logged_out) {
        changes.push(HeaderChange::set("clear-site-data", kinds));
    }
    Ok(changes)
}

/// What takes the upstream's own cookies of our name out: there is one line of that name in an answer.
fn without_cookie(answer: &Headers, name: &str) -> Vec<HeaderChange> {
    let is_ours = |line: &[u8]| line.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii() == name.as_bytes();
    if !answer.all("set-cookie").any(is_ours) {
        return Vec::new();
    }
    let others =
        answer.all("set-cookie").filter(|line| !is_ours(line)).map(|line| HeaderChange::add("set-cookie", line));
    [HeaderChange::Remove("set-cookie".to_owned())].into_iter().chain(others).collect()
}

/// The upstream's answer is replaced by ours, with nothing of it left: no cookie, no `Location`.
fn replace<H: Host>(
    decided: Decided,
    replaced: &Replaced,
    cx: &StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    if let Some((context, _)) = decided.commanded() {
        note(context, replaced.kind, replaced.result, &replaced.problem, effects);
        let route = decided.route();
        let reply = denial::reply(replaced.reason, &context.style, &cx.config.realm, None, route.policy.cors.as_ref());
        effects.push(Effect::Reply(secured(reply, route, context.style.scheme.is_https())));
    }
    Phase::Decided(decided.replaced())
}

/// Envoy does not show us a reply that takes the place of an answer: what every answer carries is put in here.
fn secured(mut reply: Reply, route: &Route, is_https: bool) -> Reply {
    let answer: Headers = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for change in route.policy.security_headers.changes(&answer, is_https) {
        if let HeaderChange::Set(name, value) = change
            && let Ok(value) = String::from_utf8(value)
        {
            reply.headers.retain(|(other, _)| *other != name);
            reply.headers.push((name, value));
        }
    }
    reply
}

/// Counts, and tells the access log, what has become of what the answer says.
fn note(
    context: &CommandContext,
    kind: Option<SessionCommandKind>,
    result: CommandResult,
    problem: &str,
    effects: &mut Vec<Effect>,
) {
    effects.push(Effect::Count(Counter::SessionCommand(result)));
    let command = kind.map_or("unknown", SessionCommandKind::as_str);
    let problem =
        if problem.is_empty() { String::new() } else { format!(" problem=\"{}\"", problem.replace('"', "'")) };
    let decision = &context.decision;
    effects.push(Effect::Describe(format!("{decision} command={command} result={}{problem}", result.as_str())));
}
