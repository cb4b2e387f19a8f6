//! The headers by which upstreams know whom they serve: ours alone to set.

use session_gate_protocol::{Scopes, SessionStatus};

use crate::{
    http::{
        header_value::encoded,
        headers::{HeaderChange, Headers},
        name_set::NameSet,
        session_headers::is_reserved,
    },
    knowledge::Identity,
};

/// The headers that upstreams trust, their names in lower case.
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
    /// Carries when the session ends; none: nobody is told.
    pub expires_at: Option<String>,
    /// Carries the proofs that all of this is the gate's word, for upstreams that look.
    pub proof: String,
    /// All names that are the gate's alone, those of claims among them, and of headers that are not sent.
    pub names: NameSet,
}

impl TrustedHeaders {
    /// Removes from a request's headers, or its trailers, whatever an upstream might take for one of
    /// these.
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
            && (self.names.has(name) || is_reserved(name))
    }

    /// Tells the upstream whom it serves, and what that may do.
    pub fn of(&self, identity: &Identity, scopes: &Scopes) -> Vec<HeaderChange> {
        let claims = &identity.claims;
        let mut headers = vec![
            HeaderChange::set(&self.user_id, claims.subject_in_header()),
            HeaderChange::set(&self.issuer, claims.issuer_in_header()),
        ];
        if let Some(session) = &identity.session {
            headers.push(HeaderChange::set(&self.session_id, session.id.as_str()));
        }
        if !scopes.is_empty() {
            headers.push(HeaderChange::set(&self.scopes, scopes_in_header(scopes)));
        }
        if let Some(token) = claims.token_id_in_header() {
            headers.push(HeaderChange::set(&self.token_id, token));
        }
        if let Some(name) = &self.expires_at {
            headers.push(HeaderChange::set(name, ends_at(identity)));
        }
        headers.extend(claims.told().map(|(name, value)| HeaderChange::set(name, value)));
        headers
    }

    /// Tells the upstream of a route that accepts sessions without their second factor whether this is one.
    pub fn status(&self, identity: &Identity) -> HeaderChange {
        let status = if identity.is_pending_2fa { SessionStatus::Pending2fa } else { SessionStatus::Active };
        HeaderChange::set(&self.session_status, status.as_str())
    }
}

/// A scope may have a `%` (RFC 6749, section 3.3).
fn scopes_in_header(scopes: &Scopes) -> String {
    let text = scopes.to_string();
    encoded(&text).map_or(text, String::from)
}

/// When its session ends whatever happens, in seconds since 1970; where there is none, or nobody has said, when its token does.
fn ends_at(identity: &Identity) -> String {
    match identity.session.as_ref().and_then(|session| session.ends) {
        Some(ends) => ends.0.to_string(),
        None => format!("{:.0}", identity.claims.exp().floor()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{config::Config, testing::config};

    fn trusted() -> TrustedHeaders {
        let mut document = config();
        document["upstream_headers"] = json!({"claims": [{"claim": "email", "header": "x-user-email"}]});
        Config::from_value(document).unwrap().trusted
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
            ("x_user-email", "k"),
            ("x-session-amr", "l"),
            ("X-Session_Auth-Time", "m"),
            ("x-session-expires-at", "n"),
            ("X-Session_proof", "o"),
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
            "x_user-email",
            "x-session-amr",
            "X-Session_Auth-Time",
            "x-session-expires-at",
            "X-Session_proof",
        ];
        assert_eq!(removed, expected.map(|name| HeaderChange::Remove(name.to_owned())));
    }
}
