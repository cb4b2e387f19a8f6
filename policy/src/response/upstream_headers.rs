//! The headers by which upstreams know whom they serve: ours alone to set.

use session_gate_protocol::{Scopes, SessionStatus};

use crate::{
    http::{
        headers::{HeaderChange, Headers, collide_as_cgi_variables},
        session_headers::is_reserved,
    },
    knowledge::Identity,
};

/// Names of the headers that upstreams trust, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHeaders {
    /// Carries the token's `sub`.
    pub user_id: String,
    /// Carries the token's `sid`.
    pub session_id: String,
    /// Carries whether the second factor is still missing, on routes that accept that.
    pub session_status: String,
    /// Carries the token's scopes, blank between two.
    pub scopes: String,
    /// Carries the token's `jti`.
    pub token_id: String,
    /// Carries the token's `iss`: a subject is unique only for its issuer (RFC 7519, section 4.1.2).
    pub issuer: String,
}

impl TrustedHeaders {
    /// Removes from a request's headers, or its trailers, whatever an upstream might take for one of
    /// these: [`collide_as_cgi_variables`].
    pub fn removal(&self, request: &Headers) -> Vec<HeaderChange> {
        let mut removed: Vec<&str> = Vec::new();
        for (name, _) in request.iter() {
            if self.is_trusted(name) && !removed.contains(&name) {
                removed.push(name);
            }
        }
        removed.into_iter().map(|name| HeaderChange::Remove(name.to_owned())).collect()
    }

    /// `Connection` without the names of these: a header that it names is for the next hop only (RFC 9110, section
    /// 7.6.1), and a proxy behind us would drop ours. None where it names none of them.
    pub fn connection_without_ours(&self, request: &Headers) -> Option<HeaderChange> {
        let options = || request.all("connection").flat_map(|line| line.split(|&b| b == b',')).map(<[u8]>::trim_ascii);
        let is_ours = |option: &&[u8]| {
            let name = String::from_utf8_lossy(option);
            self.is_trusted(&name)
        };
        options().find(is_ours)?;
        let kept: Vec<&[u8]> = options().filter(|option| !option.is_empty() && !is_ours(option)).collect();
        Some(if kept.is_empty() {
            HeaderChange::Remove("connection".to_owned())
        } else {
            HeaderChange::set("connection", kept.join(&b", "[..]))
        })
    }

    /// Whether an upstream might take a header of that name for one of these, or for what the gate says of sessions.
    fn is_trusted(&self, name: &str) -> bool {
        // All of them begin alike, and most headers do not.
        name.as_bytes().first().is_some_and(|first| first.eq_ignore_ascii_case(&b'x'))
            && (self.names().iter().any(|trusted| collide_as_cgi_variables(trusted, name)) || is_reserved(name))
    }

    /// Tells the upstream whom it serves, and what that may do.
    pub fn of(&self, identity: &Identity, scopes: &Scopes) -> Vec<HeaderChange> {
        let claims = &identity.claims;
        let mut headers = vec![
            HeaderChange::set(&self.user_id, claims.subject().as_str()),
            HeaderChange::set(&self.issuer, claims.issuer()),
        ];
        if let Some(session) = &identity.session {
            headers.push(HeaderChange::set(&self.session_id, session.id.as_str()));
        }
        if !scopes.is_empty() {
            headers.push(HeaderChange::set(&self.scopes, scopes.to_string()));
        }
        if let Some(token) = claims.token_id() {
            headers.push(HeaderChange::set(&self.token_id, token));
        }
        headers
    }

    /// Tells the upstream of a route that accepts sessions without their second factor whether this is one.
    pub fn status(&self, identity: &Identity) -> HeaderChange {
        let status = if identity.is_pending_2fa { SessionStatus::Pending2fa } else { SessionStatus::Active };
        HeaderChange::set(&self.session_status, status.as_str())
    }

    fn names(&self) -> [&str; 6] {
        [&self.user_id, &self.session_id, &self.session_status, &self.scopes, &self.token_id, &self.issuer]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> TrustedHeaders {
        TrustedHeaders {
            user_id: "x-user-id".into(),
            session_id: "x-session-id".into(),
            session_status: "x-session-status".into(),
            scopes: "x-scopes".into(),
            token_id: "x-token-id".into(),
            issuer: "x-token-issuer".into(),
        }
    }

    #[test]
    fn connection_cannot_nominate_what_the_gate_says() {
        let connection = |lines: &[&str]| {
            let request: Headers = lines.iter().map(|line| ("connection", *line)).collect();
            trusted().connection_without_ours(&request)
        };
        let set = |value: &str| Some(HeaderChange::set("connection", value));
        assert_eq!(connection(&["upgrade, x-user-id"]), set("upgrade"));
        assert_eq!(connection(&["Upgrade,X_User-ID , x-scopes", "te"]), set("Upgrade, te"));
        assert_eq!(connection(&["x-token-issuer"]), Some(HeaderChange::Remove("connection".to_owned())));
        assert_eq!(connection(&["upgrade, x-other"]), None);
        assert_eq!(connection(&[]), None);
    }

    #[test]
    fn a_clients_trusted_headers_go_in_every_spelling_and_no_others() {
        let request: Headers = [
            ("x-user-id", "a"),
            ("x-user-id", "b"),
            ("x_user_id", "c"),
            ("X-User_Id", "d"),
            ("x.user.id", "e"),
            ("x~user!id", "f"),
            ("x-session-id", "g"),
            ("x-scopes", "h"),
            ("x-token-id", "i"),
            ("X_Session_Status", "j"),
            ("x-user-ids", "stays"),
            ("user-id", "stays"),
            ("xuserid", "stays"),
        ]
        .into_iter()
        .collect();
        let removed: Vec<_> = trusted().removal(&request);
        let expected = [
            "x-user-id",
            "x_user_id",
            "X-User_Id",
            "x.user.id",
            "x~user!id",
            "x-session-id",
            "x-scopes",
            "x-token-id",
            "X_Session_Status",
        ];
        assert_eq!(removed, expected.map(|name| HeaderChange::Remove(name.to_owned())));
    }
}
