//! What a token and a session are known by.

use session_gate_protocol::{Fingerprint, SessionId};

/// What a token, its session and its user are known by.
#[derive(Clone, Debug)]
pub struct TokenNames {
    /// The user, whoever issued the token.
    pub user: Fingerprint,
    /// The user as the issuer's.
    pub account: Fingerprint,
    /// The token, where it is the sidecar's.
    pub token: Option<Fingerprint>,
    /// What the issuer calls token, session and user: what rules may name.
    pub claims: Vec<Fingerprint>,
}

/// What a session of the sidecar's is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionNames {
    /// The session.
    pub session: Fingerprint,
    /// Its user.
    pub user: Fingerprint,
    /// Its generation among the user's sessions.
    pub generation: u64,
}

impl TokenNames {
    /// Of a token, as its issuer tells it. `is_ours`: the sidecar has minted it.
    pub fn of(issuer: &str, subject: &str, session: Option<&str>, token: Option<&str>, is_ours: bool) -> Self {
        let claim = |name, value| Fingerprint::of_claim(issuer, name, value);
        let account = claim("sub", subject);
        let named = [token.map(|id| claim("jti", id)), session.map(|id| claim("sid", id)), Some(account)];
        Self {
            user: Fingerprint::of_user(subject),
            account,
            token: token.filter(|_| is_ours).map(Fingerprint::of_token),
            claims: named.into_iter().flatten().collect(),
        }
    }
}

impl SessionNames {
    /// Of a session.
    pub fn of(session: &SessionId, user: &str, generation: u64) -> Self {
        let session = Fingerprint::of_session(session.as_str());
        Self { session, user: Fingerprint::of_user(user), generation }
    }
}
