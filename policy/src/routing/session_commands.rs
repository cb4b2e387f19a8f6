//! What a route's application may say of sessions.

use session_gate_protocol::{Scopes, SessionCommand, SessionCommandKind, UserId};

use crate::http::account::AccountSource;

/// What a route's application may say of sessions in its answers, and up to where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionCommands {
    /// Which commands are followed.
    pub allow: Vec<SessionCommandKind>,
    /// The scopes that it may give.
    pub scopes: Scopes,
    /// What it may say that a user has proved (RFC 8176).
    pub amr: Vec<String>,
    /// The classes of sessions that it may choose.
    pub classes: Vec<String>,
    /// Whether it may name another user than the one signed in, where the route serves nobody else.
    pub switch_user: bool,
    /// Whether answers to page loads are followed too: those that come back from an identity provider.
    pub on_navigation: bool,
    /// How the client gets its token.
    pub token: TokenDelivery,
    /// Where a login names its account, so that the lock is asked before the upstream sees it; none: only its answer does.
    pub account_from: Option<AccountSource>,
    /// Whether the answer must repeat the request's nonce.
    pub require_nonce: bool,
    /// `Clear-Site-Data` of an answer that logs out; none: it has none.
    pub clear_site_data: Option<String>,
}

/// How a client gets its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenDelivery {
    /// In the session cookie: a browser.
    #[default]
    Cookie,
    /// In `x-session-token`: another client.
    Header,
}

impl SessionCommands {
    /// Whether the route allows that command, with all that it says. `signed_in`: the user of a route that serves nobody
    /// else.
    ///
    /// # Errors
    /// What it does not allow, and the setting that says so.
    pub fn check(&self, command: &SessionCommand, signed_in: Option<&UserId>) -> Result<(), String> {
        if !self.allow.contains(&command.kind()) {
            return Err(format!("session_commands.allow lacks {}", command.kind().as_str()));
        }
        match command {
            SessionCommand::Elevate { scopes, amr } => self.check_grant(scopes.as_ref(), amr, None),
            SessionCommand::Login { user_id, scopes, amr, class, .. } => {
                self.check_user(Some(user_id), signed_in)?;
                self.check_grant(Some(scopes), amr, class.as_deref())
            }
            SessionCommand::LoginAttempt { .. }
            | SessionCommand::LoginFailed { .. }
            | SessionCommand::Logout { .. } => Ok(()),
            SessionCommand::PasswordChanged { user_id } => self.check_user(user_id.as_ref(), signed_in),
        }
    }

    /// Whether failed logins count, and the lock is asked before a login.
    pub fn do_failures_count(&self) -> bool {
        self.allow.contains(&SessionCommandKind::LoginFailed)
    }

    fn check_user(&self, named: Option<&UserId>, signed_in: Option<&UserId>) -> Result<(), String> {
        match named.zip(signed_in) {
            Some((named, signed_in)) if named != signed_in && !self.switch_user => {
                Err("names another user than the one signed in, and session_commands.switch_user is not set".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_grant(&self, scopes: Option<&Scopes>, amr: &[String], class: Option<&str>) -> Result<(), String> {
        if let Some(scope) = scopes.and_then(|scopes| scopes.iter().find(|scope| !self.scopes.contains(scope))) {
            return Err(format!("session_commands.scopes lacks {scope}"));
        }
        if let Some(method) = amr.iter().find(|method| !self.amr.contains(method)) {
            return Err(format!("session_commands.amr lacks {method}"));
        }
        match class.filter(|class| !self.classes.iter().any(|allowed| allowed == class)) {
            Some(class) => Err(format!("session_commands.classes lacks {class}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use session_gate_protocol::LogoutScope;

    use super::*;

    fn login(user: &str, scopes: &str, amr: &str, class: Option<&str>) -> SessionCommand {
        SessionCommand::Login {
            user_id: user.parse().unwrap(),
            scopes: Scopes::parse_list(scopes).unwrap(),
            amr: vec![amr.to_owned()],
            class: class.map(str::to_owned),
            pending_2fa: false,
        }
    }

    fn route() -> SessionCommands {
        SessionCommands {
            allow: vec![SessionCommandKind::Login, SessionCommandKind::Elevate, SessionCommandKind::PasswordChanged],
            scopes: Scopes::parse_list("read write").unwrap(),
            amr: vec!["pwd".to_owned()],
            classes: vec!["remember".to_owned()],
            ..SessionCommands::default()
        }
    }

    #[test]
    fn nothing_is_given_beyond_what_the_route_names() {
        assert_eq!(route().check(&login("alice", "read", "pwd", Some("remember")), None), Ok(()));
        for (beyond, setting) in [
            (login("alice", "read admin", "pwd", None), "session_commands.scopes lacks admin"),
            (login("alice", "", "otp", None), "session_commands.amr lacks otp"),
            (login("alice", "", "pwd", Some("kiosk")), "session_commands.classes lacks kiosk"),
            (SessionCommand::Logout { sessions: LogoutScope::All }, "session_commands.allow lacks logout"),
        ] {
            assert_eq!(route().check(&beyond, None), Err(setting.to_owned()));
        }
        let elevate = |scopes: Option<&str>| SessionCommand::Elevate {
            scopes: scopes.map(|scopes| Scopes::parse_list(scopes).unwrap()),
            amr: Vec::new(),
        };
        assert!(route().check(&elevate(Some("admin")), None).is_err());
        assert_eq!(route().check(&elevate(None), None), Ok(()));
        let nothing = SessionCommands::default();
        assert!(nothing.check(&login("alice", "", "pwd", None), None).is_err());
    }

    #[test]
    fn whom_a_route_serves_alone_nobody_else_takes_the_place_of() {
        let (alice, bob) = ("alice".parse().unwrap(), login("bob", "", "pwd", None));
        assert!(route().check(&bob, Some(&alice)).is_err());
        assert_eq!(route().check(&login("alice", "", "pwd", None), Some(&alice)), Ok(()));
        assert_eq!(route().check(&bob, None), Ok(()));
        let changed =
            |user: Option<&str>| SessionCommand::PasswordChanged { user_id: user.map(|id| id.parse().unwrap()) };
        assert!(route().check(&changed(Some("bob")), Some(&alice)).is_err());
        assert_eq!(route().check(&changed(None), Some(&alice)), Ok(()));
        assert_eq!(SessionCommands { switch_user: true, ..route() }.check(&bob, Some(&alice)), Ok(()));
    }
}
