//! What an application says of sessions in its answer: judged by the route and the request, done by the sidecar while the
//! answer waits, and then told to the client.
//!
//! Nothing is half-made: an answer that says what cannot be read, is not allowed or could not be done is replaced.

use session_gate_protocol::{
    DenyReason, LoginGuard, ProblemCode, SessionCommand, SessionCommandKind, SessionCommandReply,
    SessionCommandRequest, SessionToken,
};

use super::{
    command_context::CommandContext,
    command_verdict::{Replaced, Verdict, judge},
    context::StepContext,
    decided::Decided,
    effect::Effect,
    event::CommandOutcome,
    phase::{HeldAnswer, Phase},
    renew::is_token,
    room::Unverified,
};
use crate::{
    config::Config,
    host::{ClientInfo, Host},
    http::{
        credential::is_b64token,
        headers::{HeaderChange, Headers},
        session_headers::TOKEN,
    },
    ids::Callout,
    metric::{CommandResult, Counter},
    response::{
        caching,
        denial::{Denial, Reply},
    },
    routing::{Route, SessionCommands, TokenDelivery},
    sidecar::in_flight::Asked,
};

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
        Verdict::Ignored(kind, problem) => {
            note(context, Some(kind), CommandResult::Ignored, problem, effects);
            Phase::Decided(decided.answered(&answer, cx, effects))
        }
        Verdict::Replaced(replaced) => replace(decided, &replaced, &answer, cx, effects),
        Verdict::Followed(command) => {
            let kind = command.kind();
            ask(decided, answer, Asking { command, kind, otherwise: None }, cx, effects)
        }
        Verdict::Counted { kind, account, replaced } => {
            let command = SessionCommand::LoginFailed { account };
            ask(decided, answer, Asking { command, kind, otherwise: Some(replaced) }, cx, effects)
        }
    }
}

/// What the sidecar is asked to do.
struct Asking {
    command: SessionCommand,
    /// What the answer says.
    kind: SessionCommandKind,
    /// By what the answer is replaced when that is done; none: it leaves.
    otherwise: Option<Replaced>,
}

/// Has the sidecar do it while the answer waits.
fn ask<H: Host>(
    decided: Decided,
    answer: Headers,
    Asking { command, kind, otherwise }: Asking,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let Some((context, commands)) = decided.commanded() else { return Phase::Decided(decided) };
    let failed = |reason, problem: &str| {
        let problem = problem.to_owned();
        Replaced { reason, result: CommandResult::Failed, kind: Some(kind), problem, retry_after: None }
    };
    let is_full = match decided.is_anonymous() {
        true => cx.room.is_full_for(Unverified::Command),
        false => cx.room.is_full(),
    };
    if is_full {
        let failed = failed(DenyReason::Overloaded, "too many requests wait");
        return replace(decided, &failed, &answer, cx, effects);
    }
    let request = SessionCommandRequest {
        command,
        token: context.token.as_deref().map(str::to_owned),
        ip_address: ClientInfo::new(cx.host, cx.id, &context.user_agent).address(),
        user_agent: (!context.user_agent.is_empty()).then(|| context.user_agent.to_string()),
        guard: commands.do_failures_count().then(|| LoginGuard {
            device_token: context.device_token.clone(),
            issue_device_token: commands.token == TokenDelivery::Cookie,
        }),
    };
    let Some(http) = cx.config.sidecar.as_ref().and_then(|sidecar| sidecar.session_command(&request)) else {
        let failed = failed(DenyReason::StoreUnavailable, "no sidecar");
        return replace(decided, &failed, &answer, cx, effects);
    };
    let call = cx.commands.start((), Asked::default(), cx.sender, vec![(cx.id, ())]);
    effects.push(Effect::Call(Callout::SessionCommand(call), http));
    effects.push(Effect::HoldAnswer);
    Phase::AwaitCommand(Box::new(HeldAnswer { decided, answer, kind, otherwise }))
}

/// The sidecar has done what the answer says, or has not.
pub(super) fn on_reply<H: Host>(
    held: HeldAnswer,
    outcome: &CommandOutcome,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    let HeldAnswer { mut decided, answer, kind, otherwise } = held;
    let Some((context, commands)) = decided.commanded() else { return Phase::Decided(decided) };
    let replaced =
        |reason, result, problem: String| Replaced { reason, result, kind: Some(kind), problem, retry_after: None };
    let told = match outcome {
        CommandOutcome::Done(SessionCommandReply { locked_for: Some(seconds), .. }) => Err(Replaced {
            retry_after: Some(*seconds),
            ..replaced(DenyReason::LoginLocked, CommandResult::Locked, "too many logins have failed".to_owned())
        }),
        CommandOutcome::Done(reply) => match otherwise {
            Some(replaced) => Err(replaced),
            None => tell((kind, reply), &answer, commands, cx.config),
        },
        CommandOutcome::Refused(problem) => {
            let reason = match (problem.code, kind) {
                // There is no current session that could do it.
                (
                    ProblemCode::StateConflict,
                    SessionCommandKind::Elevate | SessionCommandKind::Logout | SessionCommandKind::PasswordChanged,
                ) => DenyReason::SessionTerminated,
                (ProblemCode::SessionLimitReached, _) => DenyReason::SessionLimitReached,
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
            decided.keep_token();
            let decided = decided.answered(&answer, cx, effects);
            effects.push(Effect::ChangeAnswer(changes));
            effects.push(Effect::ReleaseAnswer);
            Phase::Decided(decided)
        }
        Err(replaced) => replace(decided, &replaced, &answer, cx, effects),
    }
}

/// What the answer tells the client of it: its new token, or that its cookie is to go.
fn tell(
    (kind, reply): (SessionCommandKind, &SessionCommandReply),
    answer: &Headers,
    commands: &SessionCommands,
    config: &Config,
) -> Result<Vec<HeaderChange>, Replaced> {
    let replaced = |reason, result, problem: &str| {
        let problem = problem.to_owned();
        Replaced { reason, result, kind: Some(kind), problem, retry_after: None }
    };
    let needs_token = matches!(kind, SessionCommandKind::Login | SessionCommandKind::Elevate);
    if !reply.token.as_ref().map_or(!needs_token, |given| is_token(given, config)) {
        return Err(replaced(
            DenyReason::StoreUnavailable,
            CommandResult::Failed,
            "the sidecar gives no token that can be one",
        ));
    }
    let mut changes = caching::never_stored(answer);
    match (&reply.token, commands.token) {
        (Some(SessionToken { token, .. }), TokenDelivery::Header) => {
            changes.push(HeaderChange::set(TOKEN, token.as_str()));
        }
        (Some(SessionToken { token, max_age, .. }), TokenDelivery::Cookie) => {
            let line = config.cookie.keep(token, *max_age).ok_or_else(|| {
                replaced(DenyReason::SessionCommandRefused, CommandResult::Refused, "the cookie would be too large")
            })?;
            changes.extend(config.cookie.removed_from(answer));
            changes.push(HeaderChange::add("set-cookie", line));
            changes.extend(device_cookie(reply, config).map(|line| HeaderChange::add("set-cookie", line)));
        }
        (None, TokenDelivery::Cookie) if reply.logged_out => {
            changes.extend(config.cookie.removed_from(answer));
            changes.extend(config.cookie.removal().into_iter().map(|line| HeaderChange::add("set-cookie", line)));
        }
        (None, TokenDelivery::Cookie | TokenDelivery::Header) => {}
    }
    if let Some(kinds) = commands.clear_site_data.as_deref().filter(|_| reply.logged_out) {
        changes.push(HeaderChange::set("clear-site-data", kinds));
    }
    Ok(changes)
}

/// The line that has a browser keep the device token that the sidecar has given it.
fn device_cookie(reply: &SessionCommandReply, config: &Config) -> Option<String> {
    let device = reply.device.as_ref().filter(|device| is_b64token(device.token.as_bytes()))?;
    config.cookie.keep_device(&device.token, device.max_age)
}

/// The upstream's answer is replaced by ours, with nothing of it left: no cookie, no `Location`.
fn replace<H: Host>(
    decided: Decided,
    replaced: &Replaced,
    answer: &Headers,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    if let Some((context, _)) = decided.commanded() {
        note(context, replaced.kind, replaced.result, &replaced.problem, effects);
        let route = decided.route();
        let denial = Denial {
            cors: route.policy.cors.as_ref(),
            retry_after: replaced.retry_after,
            ..Denial::of(replaced.reason, &cx.config.realm, &cx.config.error_page)
        };
        let reply = denial.reply(&context.style);
        effects.push(Effect::Reply(secured(reply, route, context.style.scheme.is_https())));
    }
    Phase::Decided(decided.replaced(answer, cx))
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
    let problem = if problem.is_empty() {
        String::new()
    } else {
        format!(" problem=\"{}\"", problem.replace(|c: char| c == '"' || c.is_control(), "'"))
    };
    let decision = &context.decision;
    effects.push(Effect::Describe(format!("{decision} command={command} result={}{problem}", result.as_str())));
}
