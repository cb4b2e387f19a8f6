//! What an answer says of sessions.

use std::fmt;

use session_gate_protocol::{LogoutScope, Scopes, SessionCommand, UserId, bounded_account};

use super::{
    field::{Bare, Field},
    names::{ELEVATE, LOGIN, LOGIN_FAILED, LOGOUT, PASSWORD_CHANGED},
};
use crate::http::headers::Headers;

/// Why what an answer says of sessions cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The header.
    pub header: &'static str,
    /// What is wrong with it, and what is allowed.
    pub message: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.header, self.message)
    }
}

const COMMANDS: [&str; 5] = [ELEVATE, LOGIN, LOGIN_FAILED, LOGOUT, PASSWORD_CHANGED];

/// Reads what an answer says of sessions: at most one thing. None: nothing. Failed logins are passed over where they do not
/// count.
///
/// # Errors
/// It cannot be read to the letter of RFC 9651, has a parameter that is not known, or there is more than one.
pub fn read(answer: &Headers, do_failures_count: bool) -> Result<Option<SessionCommand>, Unreadable> {
    let mut lines = answer.iter().filter_map(|(name, value)| {
        let header = COMMANDS.into_iter().find(|command| *command == name)?;
        (do_failures_count || header != LOGIN_FAILED).then_some((header, value))
    });
    let Some((header, value)) = lines.next() else { return Ok(None) };
    let unreadable = |message: String| Unreadable { header, message };
    if let Some((other, _)) = lines.next() {
        let message = if other == header { "duplicate header".to_owned() } else { format!("beside {other}") };
        return Err(unreadable(message));
    }
    let field = Field::parse(value);
    let field = field.ok_or_else(|| unreadable("not a valid item of RFC 9651".to_owned()))?;
    let command = match header {
        ELEVATE => elevate(field),
        LOGIN => login(field),
        LOGIN_FAILED => login_failed(field),
        LOGOUT => logout(field),
        _ => password_changed(field),
    };
    command.map(Some).map_err(unreadable)
}

fn login(field: Field) -> Result<SessionCommand, String> {
    let Bare::Text(user) = field.bare else { return Err("must be a string: the user's id".to_owned()) };
    let user_id = user_id(user)?;
    let (mut scopes, mut amr, mut class, mut pending_2fa) = (Scopes::default(), Vec::new(), None, false);
    for (name, value) in field.parameters {
        match (name.as_str(), value) {
            ("scopes", Bare::Text(text)) => scopes = scopes_of(&text)?,
            ("amr", Bare::Text(text)) => amr = words(&text),
            ("class", Bare::Text(text) | Bare::Token(text)) => class = Some(text),
            ("pending_2fa", Bare::Boolean(value)) => pending_2fa = value,
            (name, _) => return Err(unfit(name, "scopes, amr and class are strings, pending_2fa is a boolean")),
        }
    }
    Ok(SessionCommand::Login { user_id, scopes, amr, class, pending_2fa })
}

/// The name may be anything that somebody has typed, and is as long as it may be.
fn login_failed(field: Field) -> Result<SessionCommand, String> {
    without_parameters(&field)?;
    let Bare::Text(account) = field.bare else { return Err("must be a string: the user's id".to_owned()) };
    Ok(SessionCommand::LoginFailed { account: bounded_account(&account).to_owned() })
}

fn elevate(field: Field) -> Result<SessionCommand, String> {
    if field.bare != Bare::Boolean(true) {
        return Err("must be ?1".to_owned());
    }
    let (mut scopes, mut amr) = (None, Vec::new());
    for (name, value) in field.parameters {
        match (name.as_str(), value) {
            ("scopes", Bare::Text(text)) => scopes = Some(scopes_of(&text)?),
            ("amr", Bare::Text(text)) => amr = words(&text),
            (name, _) => return Err(unfit(name, "scopes and amr are strings")),
        }
    }
    Ok(SessionCommand::Elevate { scopes, amr })
}

fn logout(field: Field) -> Result<SessionCommand, String> {
    without_parameters(&field)?;
    let Bare::Token(sessions) = field.bare else { return Err("must be current, others or all".to_owned()) };
    let sessions = match sessions.as_str() {
        "all" => LogoutScope::All,
        "current" => LogoutScope::Current,
        "others" => LogoutScope::Others,
        _ => return Err("must be current, others or all".to_owned()),
    };
    Ok(SessionCommand::Logout { sessions })
}

fn password_changed(field: Field) -> Result<SessionCommand, String> {
    without_parameters(&field)?;
    let user_id = match field.bare {
        Bare::Boolean(true) => None,
        Bare::Text(user) => Some(user_id(user)?),
        Bare::Boolean(false) | Bare::Token(_) | Bare::Other => {
            return Err("must be ?1, or a string: the user's id".to_owned());
        }
    };
    Ok(SessionCommand::PasswordChanged { user_id })
}

fn user_id(text: String) -> Result<UserId, String> {
    UserId::try_from(text).map_err(|error| error.to_string())
}

fn scopes_of(text: &str) -> Result<Scopes, String> {
    Scopes::parse_list(text).map_err(|error| format!("scopes: {error}, with one space between two"))
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn unfit(name: &str, allowed: &str) -> String {
    format!("{name}: an unknown parameter, or of another type; {allowed}")
}

fn without_parameters(field: &Field) -> Result<(), String> {
    match field.parameters.first() {
        Some((name, _)) => Err(unfit(name, "there are no parameters")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(header: &'static str, value: &str) -> Result<Option<SessionCommand>, Unreadable> {
        read(&[(header, value)].into_iter().collect(), true)
    }

    #[test]
    fn what_is_said_of_sessions_is_read() {
        let login = said(LOGIN, r#""alice";scopes="write read";amr="pwd otp";class="remember";pending_2fa"#).unwrap();
        let expected = SessionCommand::Login {
            user_id: "alice".parse().unwrap(),
            scopes: Scopes::parse_list("read write").unwrap(),
            amr: vec!["pwd".to_owned(), "otp".to_owned()],
            class: Some("remember".to_owned()),
            pending_2fa: true,
        };
        assert_eq!(login, Some(expected));
        let elevated = said(ELEVATE, r#"?1;amr="otp""#).unwrap();
        assert_eq!(elevated, Some(SessionCommand::Elevate { scopes: None, amr: vec!["otp".to_owned()] }));
        let others = said(LOGOUT, "others").unwrap();
        assert_eq!(others, Some(SessionCommand::Logout { sessions: LogoutScope::Others }));
        let changed = |user: Option<&str>| {
            Ok(Some(SessionCommand::PasswordChanged { user_id: user.map(|user| user.parse().unwrap()) }))
        };
        assert_eq!(said(PASSWORD_CHANGED, "?1"), changed(None));
        assert_eq!(said(PASSWORD_CHANGED, "%\"zo%c3%ab\""), changed(Some("zoë")));
        let failed = |account: &str| Ok(Some(SessionCommand::LoginFailed { account: account.to_owned() }));
        assert_eq!(said(LOGIN_FAILED, "\"alice\""), failed("alice"));
        for odd in ["", " ", " a\u{1}\u{301}"] {
            let escaped: String = odd.bytes().map(|byte| format!("%{byte:02x}")).collect();
            assert_eq!(said(LOGIN_FAILED, &format!("%\"{escaped}\"")), failed(odd));
        }
        let long = format!("%\"{}%c3%ab\"", "a".repeat(1023));
        assert_eq!(said(LOGIN_FAILED, &long), failed(&"a".repeat(1023)), "of a longer one the beginning counts");
        assert_eq!(read(&[("x-other", "a"), (LOGIN_FAILED, "b")].into_iter().collect(), false), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_to_the_letter_is_an_error_that_names_it() {
        for (header, value) in [
            (LOGIN, "alice"),
            (LOGIN, ""),
            (LOGIN, r#""""#),
            (LOGIN, r#"" alice""#),
            (LOGIN, r#""alice";role="admin""#),
            (LOGIN, r#""alice";scopes=read"#),
            (LOGIN, r#""alice";scopes="read  write""#),
            (LOGIN, r#""alice";scopes=("read")"#),
            (LOGIN, r#""alice";pending_2fa="yes""#),
            (LOGIN, r#""alice", "bob""#),
            (LOGOUT, r#""current""#),
            (LOGOUT, "mine"),
            (LOGOUT, "all;now"),
            (LOGIN_FAILED, "alice"),
            (LOGIN_FAILED, r#""alice";by="x""#),
            (ELEVATE, "?0"),
            (ELEVATE, "?1;class=\"remember\""),
            (PASSWORD_CHANGED, "?0"),
            (PASSWORD_CHANGED, "alice"),
        ] {
            assert_eq!(said(header, value).unwrap_err().header, header, "{value}");
        }
        let long = format!("\"{}\"", "a".repeat(257));
        assert!(said(LOGIN, &long).is_err());
    }

    #[test]
    fn an_answer_says_one_thing() {
        let twice = read(&[(LOGOUT, "all"), (LOGOUT, "all")].into_iter().collect(), true).unwrap_err();
        assert_eq!(twice.to_string(), "x-session-logout: duplicate header");
        let both = read(&[(LOGIN, "\"alice\""), (LOGOUT, "all")].into_iter().collect(), true).unwrap_err();
        assert_eq!(both.to_string(), "x-session-login: beside x-session-logout");
    }
}
