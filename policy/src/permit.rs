//! Who may pass. A [`Permit`] is made here and nowhere else, and nothing reaches an upstream without
//! one: each way to it below names what must hold.

use std::{rc::Rc, time::Duration};

use session_gate_protocol::{AllowReason, CheckVerdict, DenyReason, Fingerprint, Scopes};

use crate::{
    feed::NothingKnown,
    route::{Authentication, FailureMode, RoutePolicy},
    token::{Revocation, VerifiedClaims},
};

/// The right to be forwarded. Consumed by forwarding.
#[derive(Debug)]
pub struct Permit {
    reason: AllowReason,
    identity: Option<Rc<Identity>>,
}

/// As whom a request is served.
#[derive(Debug)]
pub struct Identity {
    /// What the token says.
    pub claims: VerifiedClaims,
    /// What it permits, where that is not what it says.
    pub scopes: Option<Scopes>,
    /// The session that it is served in.
    pub session: Option<ServedSession>,
}

/// A session that a request is served in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedSession {
    /// Its id.
    pub id: String,
    /// What it is known by in the feed.
    pub name: Fingerprint,
}

impl Identity {
    /// What the request may do.
    pub fn scopes(&self) -> &Scopes {
        self.scopes.as_ref().unwrap_or(self.claims.scopes())
    }
}

/// The proof that the store has not refused the token: it was asked after the token was verified, or
/// the change feed is current.
#[derive(Clone, Copy, Debug)]
pub struct LiveSession(());

/// What to do with a request that has no credential.
///
/// 1. A public route lets it pass, and so does one where authentication is optional.
/// 2. Any other refuses it.
///
/// # Errors
/// `CredentialMissing`.
pub fn without_credential(route: &RoutePolicy) -> Result<Permit, DenyReason> {
    match route.authentication {
        Authentication::Optional => Ok(Permit { reason: AllowReason::Anonymous, identity: None }),
        Authentication::Public => Ok(Permit { reason: AllowReason::Public, identity: None }),
        Authentication::Required => Err(DenyReason::CredentialMissing),
    }
}

/// A CORS preflight passes where the route is open to the origin that asks: it carries no credential
/// by definition, and its answer says only what may be asked.
pub fn preflight(route: &RoutePolicy, origin: Option<&[u8]>) -> Option<Permit> {
    route
        .cors
        .as_ref()
        .filter(|cors| cors.allows(origin))
        .map(|_| Permit { reason: AllowReason::Preflight, identity: None })
}

/// What a route asks of whomever it serves: scopes.
///
/// # Errors
/// `ScopeInsufficient`.
pub fn check_scopes(route: &RoutePolicy, scopes: &Scopes) -> Result<(), DenyReason> {
    let is_met = route.scopes.as_ref().is_none_or(|rule| rule.is_met_by(scopes));
    if is_met { Ok(()) } else { Err(DenyReason::ScopeInsufficient) }
}

/// Whether a token can be good on a route that asks for a session: one of the sidecar's own has one or
/// has none, another issuer's user may have one, and the rest have none that anybody knows.
///
/// # Errors
/// `SessionMissing`.
pub fn check_session(route: &RoutePolicy, claims: &VerifiedClaims) -> Result<(), DenyReason> {
    let may_have = match claims.revocation() {
        Revocation::Check => claims.session_id().is_some(),
        Revocation::Feed => true,
        Revocation::None => false,
    };
    if route.require_session && !may_have { Err(DenyReason::SessionMissing) } else { Ok(()) }
}

impl LiveSession {
    /// The feed is current and knows nothing against the token.
    pub fn from_feed(_proof: NothingKnown) -> Self {
        Self(())
    }

    /// Reads the store's verdict: live, or waiting for the second factor on a route that serves that.
    ///
    /// # Errors
    /// The reason that goes with any other verdict.
    pub fn from_verdict(verdict: CheckVerdict, route: &RoutePolicy) -> Result<Self, DenyReason> {
        match verdict {
            CheckVerdict::Blocked => Err(DenyReason::Blocked),
            CheckVerdict::CredentialUnknown => Err(DenyReason::TokenUnknown),
            CheckVerdict::Live => Ok(Self(())),
            CheckVerdict::SessionPending2fa if route.accept_pending_2fa => Ok(Self(())),
            CheckVerdict::SessionExpired => Err(DenyReason::SessionExpired),
            CheckVerdict::SessionPending2fa => Err(DenyReason::SessionPending2fa),
            CheckVerdict::SessionSuspended => Err(DenyReason::SessionSuspended),
            CheckVerdict::SessionTerminated => Err(DenyReason::SessionTerminated),
            CheckVerdict::SessionUnknown => Err(DenyReason::SessionUnknown),
            CheckVerdict::TokenRevoked => Err(DenyReason::TokenRevoked),
        }
    }
}

impl Permit {
    /// For a token of which the store or the feed has been asked.
    ///
    /// # Errors
    /// `ScopeInsufficient`.
    pub fn with_session(route: &RoutePolicy, identity: Identity, _proof: LiveSession) -> Result<Self, DenyReason> {
        check_scopes(route, identity.scopes())?;
        Ok(Self { reason: AllowReason::Token, identity: Some(Rc::new(identity)) })
    }

    /// For a token of an issuer that nobody knows anything about. `None` for any other.
    ///
    /// # Errors
    /// `ScopeInsufficient`.
    pub fn without_session(route: &RoutePolicy, claims: &VerifiedClaims) -> Option<Result<Self, DenyReason>> {
        (claims.revocation() == Revocation::None).then(|| {
            check_scopes(route, claims.scopes())?;
            let identity = Identity { claims: claims.clone(), scopes: None, session: None };
            Ok(Self { reason: AllowReason::Token, identity: Some(Rc::new(identity)) })
        })
    }

    /// The one place where a failure becomes a decision: the store could not be asked about a token
    /// that is otherwise good. `feed_age` is how old the last proof of the feed is; what the feed knows
    /// against the token refuses it all the same.
    ///
    /// # Errors
    /// `failed_with`, unless the route's failure mode is `allow`, or `last_known` and the feed was heard
    /// of within its time; `ScopeInsufficient` all the same.
    pub fn after_failure(
        route: &RoutePolicy,
        identity: Identity,
        failed_with: DenyReason,
        feed_age: Option<Duration>,
    ) -> Result<Self, DenyReason> {
        check_scopes(route, identity.scopes())?;
        match route.failure_mode {
            FailureMode::Allow => Ok(Self { reason: AllowReason::FailureMode, identity: Some(Rc::new(identity)) }),
            FailureMode::LastKnown(within) if feed_age.is_some_and(|age| age <= within) => {
                Ok(Self { reason: AllowReason::LastKnown, identity: Some(Rc::new(identity)) })
            }
            FailureMode::Deny | FailureMode::LastKnown(_) => Err(failed_with),
        }
    }

    /// Whether it is for a question of a browser's own.
    pub const fn is_preflight(&self) -> bool {
        matches!(self.reason, AllowReason::Preflight)
    }

    /// Why it may pass.
    pub fn reason(&self) -> AllowReason {
        self.reason
    }

    /// Whom the upstream serves, if that is known.
    pub fn identity(&self) -> Option<&Rc<Identity>> {
        self.identity.as_ref()
    }
}
