//! As whom a request is served.

use std::{borrow::Cow, rc::Rc, time::Duration};

use session_gate_protocol::{CheckReply, CheckVerdict, CheckedSession, Fingerprint, Scopes, SessionId, UnixSeconds};
use session_gate_revocation::{SessionNames, SessionScopes};

use crate::{
    sidecar::in_flight::Asked,
    token::{Revocation, VerifiedClaims},
};

/// As whom a request is served: always with the session that it is served in, what that permits, and whether its
/// second factor is missing.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the token says.
    pub claims: VerifiedClaims,
    /// The session that it is served in.
    pub session: Option<ServedSession>,
    /// Whether the session waits for its second factor, as far as is known.
    pub is_pending_2fa: bool,
    /// When the sidecar was asked that has last said that it is good.
    pub confirmed: Option<Asked>,
}

/// A session that a request is served in.
#[derive(Clone, Debug)]
pub struct ServedSession {
    /// Its id.
    pub id: SessionId,
    /// What it is known by in the feed.
    pub names: SessionNames,
    /// What its tokens permit, as the sidecar has said; the feed may know of a later version.
    pub scopes: Option<SessionScopes>,
    /// In which epoch of the feed it has said so: versions of different epochs cannot be compared.
    pub said_in: Option<Rc<str>>,
    /// When it ends whatever happens, where that is known.
    pub ends: Option<UnixSeconds>,
    /// After which time without use it ends.
    pub idle_timeout: Option<Duration>,
}

impl ServedSession {
    /// A session that the sidecar has told of when it was asked in that epoch.
    pub fn checked(session: &CheckedSession, user: &str, epoch: Option<Rc<str>>) -> Self {
        let CheckedSession { session_id, expires_at, idle_timeout, scopes, version, generation } = session;
        Self {
            id: session_id.clone(),
            names: SessionNames::of(session_id, user, *generation),
            scopes: Some(SessionScopes { version: *version, scopes: scopes.clone() }),
            said_in: epoch,
            ends: Some(*expires_at),
            idle_timeout: idle_timeout.map(Duration::from_secs),
        }
    }
}

impl Identity {
    /// A token, before the sidecar was asked about it. `known` is the session that another issuer's token is known to
    /// be served in.
    pub fn of(claims: VerifiedClaims, known: Option<&ServedSession>) -> Self {
        let session = match claims.revocation() {
            Revocation::Sessions => claims.own_session().map(|(id, names)| ServedSession {
                id: id.clone(),
                names,
                scopes: None,
                said_in: None,
                ends: claims.session_ends(),
                idle_timeout: claims.idle_timeout(),
            }),
            Revocation::Feed => known.cloned(),
            Revocation::None => None,
        };
        let is_pending_2fa = claims.is_pending_2fa();
        Self { claims, session, is_pending_2fa, confirmed: None }
    }

    /// The same after the sidecar has spoken. It names the session only where it has one to serve the token in; one of
    /// the sidecar's own names its session itself.
    #[must_use]
    pub fn confirmed(mut self, reply: &CheckReply, asked: Asked) -> Self {
        if let Some(session) = &reply.session {
            let user = self.claims.subject().as_str();
            self.session = Some(ServedSession::checked(session, user, asked.epoch.clone()));
        } else if self.claims.revocation() != Revocation::Sessions {
            self.session = None;
        }
        self.is_pending_2fa = reply.verdict == CheckVerdict::SessionPending2fa;
        self.confirmed = Some(asked);
        self
    }

    /// What the session that it is served in is known by in the feed, or the one that its token names.
    pub fn session_name(&self) -> Option<Fingerprint> {
        let served = self.session.as_ref().map(|session| session.names.session);
        served.or_else(|| self.claims.named_session().map(|(_, name)| name))
    }

    /// After which time without use its session ends.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.session.as_ref().and_then(|session| session.idle_timeout)
    }

    /// What it may do; `latest` is what was said last of its session's scopes.
    pub fn scopes<'a>(&'a self, latest: Option<&'a SessionScopes>) -> Cow<'a, Scopes> {
        match latest.and_then(|latest| latest.scopes.as_ref()) {
            None => Cow::Borrowed(self.claims.scopes()),
            Some(session) if self.claims.is_narrowed() => Cow::Owned(self.claims.scopes().common(session)),
            Some(session) => Cow::Borrowed(session),
        }
    }
}
