//! Whether what an answer says of sessions is followed: by its route, and by what its request can ask for.

use session_gate_protocol::{DenyReason, SessionCommand, SessionCommandKind};

use super::{
    command_context::{CommandContext, SentBy},
    decided::Decided,
};
use crate::{
    http::{headers::Headers, session_headers},
    metric::CommandResult,
    routing::SessionCommands,
};

/// What comes of an answer.
pub(super) enum Verdict {
    /// It says nothing that is to be followed.
    Passes,
    /// It says something that this request cannot ask for: nothing is done, and it passes without.
    Ignored(SessionCommandKind, &'static str),
    Followed(SessionCommand),
    /// It is replaced, and counts as a failed login of that account: where failures count, what is refused for a right
    /// password must not be told from what is refused for a wrong one while the account is locked.
    Counted {
        kind: SessionCommandKind,
        account: String,
        replaced: Replaced,
    },
    Replaced(Replaced),
}

/// Why an answer is replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) reason: DenyReason,
    pub(super) result: CommandResult,
    pub(super) kind: Option<SessionCommandKind>,
    /// What the access log says, for whoever writes the application.
    pub(super) problem: String,
    /// After how many seconds the client may come again; none: the reason's own time.
    pub(super) retry_after: Option<u64>,
}

/// Why a logout is passed over.
const ONLY_READS: &str = "the request only reads, and is no link that its user has followed where that counts";

pub(super) fn judge(
    context: &CommandContext,
    commands: &SessionCommands,
    decided: &Decided,
    answer: &Headers,
) -> Verdict {
    let command = match session_headers::read(answer, commands.do_failures_count()) {
        Ok(None) => return Verdict::Passes,
        Ok(Some(command)) => command,
        Err(unreadable) => {
            return Verdict::Replaced(Replaced {
                reason: DenyReason::SessionHeaderInvalid,
                result: CommandResult::Invalid,
                kind: None,
                problem: unreadable.to_string(),
                retry_after: None,
            });
        }
    };
    let kind = command.kind();
    let account = commands.do_failures_count().then(|| guessed(&command, decided)).flatten();
    match (judge_command(context, commands, decided, answer, command), account) {
        (Verdict::Replaced(replaced), Some(account)) => Verdict::Counted { kind, account, replaced },
        (verdict, _) => verdict,
    }
}

/// Whose password or second factor was guessed at, by what the answer says.
fn guessed(command: &SessionCommand, decided: &Decided) -> Option<String> {
    match command {
        SessionCommand::Login { user_id, .. } => Some(user_id.as_str().to_owned()),
        SessionCommand::Elevate { .. } => decided.user().map(|user| user.as_str().to_owned()),
        SessionCommand::LoginFailed { account } => (!account.trim().is_empty()).then(|| account.clone()),
        SessionCommand::LoginAttempt { .. }
        | SessionCommand::Logout { .. }
        | SessionCommand::PasswordChanged { .. } => None,
    }
}

fn judge_command(
    context: &CommandContext,
    commands: &SessionCommands,
    decided: &Decided,
    answer: &Headers,
    command: SessionCommand,
) -> Verdict {
    let replaced = |reason, kind, problem| {
        let result = CommandResult::Refused;
        Verdict::Replaced(Replaced { reason, result, kind, problem, retry_after: None })
    };
    let kind = command.kind();
    let refused = |problem: &str| replaced(DenyReason::SessionCommandRefused, Some(kind), problem.to_owned());
    if context.may_be_cached(answer) {
        return refused("the answer may be a cache's");
    }
    if answer.get(":status") == Some(b"101") {
        return refused("the answer is a handshake");
    }
    match (context.sent_by, kind) {
        (SentBy::Prefetch | SentBy::Read | SentBy::Navigation, SessionCommandKind::Logout) => {
            return Verdict::Ignored(kind, ONLY_READS);
        }
        (SentBy::Link, SessionCommandKind::Logout) if !commands.on_navigation => {
            return Verdict::Ignored(kind, ONLY_READS);
        }
        (SentBy::ForeignPage, _) => {
            let problem = "a page of another site has sent the request".to_owned();
            return replaced(DenyReason::CsrfRefused, Some(kind), problem);
        }
        // However it was asked for: a guess is a guess.
        (_, SessionCommandKind::LoginFailed) => {}
        (SentBy::Prefetch, _) => return refused("a browser fetches it ahead"),
        (SentBy::Link | SentBy::Navigation, _) if !commands.on_navigation => {
            return refused("the request only reads, and session_commands.on_navigation is not set");
        }
        (SentBy::Navigation, SessionCommandKind::PasswordChanged) | (SentBy::Read, _) => {
            return refused("the request only reads");
        }
        (SentBy::Link | SentBy::Navigation | SentBy::Action, _) => {}
    }
    if let SessionCommand::LoginFailed { account } = &command
        && account.trim().is_empty()
    {
        return Verdict::Ignored(kind, "nobody is named");
    }
    let needs_session = !matches!(kind, SessionCommandKind::Login | SessionCommandKind::LoginFailed);
    if decided.is_of_another_issuer() && needs_session {
        return refused("the request's token is another issuer's: its session cannot be named here");
    }
    match commands.check(&command, decided.signed_in()) {
        Ok(()) => Verdict::Followed(command),
        Err(problem) => refused(&problem),
    }
}
