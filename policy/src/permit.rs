//! Who may pass. A [`Permit`] is made here and nowhere else, and nothing reaches an upstream without
//! one: each way to it below names what must hold.

use std::time::Duration;

use session_gate_protocol::{AllowReason, CheckVerdict, DenyReason};

use crate::{
    feed::NothingKnown,
    route::{Authentication, FailureMode, RoutePolicy},
    token::{Revocation, VerifiedClaims},
};

/// The right to be forwarded. Consumed by forwarding.
#[derive(Debug)]
pub struct Permit {
    reason: AllowReason,
    claims: Option<VerifiedClaims>,
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
        Authentication::Optional => Ok(Permit { reason: AllowReason::Anonymous, claims: None }),
        Authentication::Public => Ok(Permit { reason: AllowReason::Public, claims: None }),
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
        .map(|_| Permit { reason: AllowReason::Preflight, claims: None })
}

/// What a verified token needs on this route before the store is asked: its scopes.
///
/// # Errors
/// `ScopeInsufficient`; `SessionMissing` where the route asks for a session that the token cannot have.
pub fn check_route(route: &RoutePolicy, claims: &VerifiedClaims) -> Result<(), DenyReason> {
    if route.scopes.as_ref().is_some_and(|rule| !rule.is_met_by(claims.scopes())) {
        return Err(DenyReason::ScopeInsufficient);
    }
    let has_session = claims.session_id().is_some() && claims.revocation() == Revocation::Check;
    if route.require_session && !has_session { Err(DenyReason::SessionMissing) } else { Ok(()) }
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
    /// For a token that the store was asked about.
    pub fn with_session(claims: VerifiedClaims, _proof: LiveSession) -> Self {
        Self { reason: AllowReason::Token, claims: Some(claims) }
    }

    /// For a token of an issuer that the store knows nothing about. `None` for any other.
    pub fn without_session(claims: &VerifiedClaims) -> Option<Self> {
        match claims.revocation() {
            Revocation::Check => None,
            Revocation::None => Some(Self { reason: AllowReason::Token, claims: Some(claims.clone()) }),
        }
    }

    /// The one place where a failure becomes a decision: the store could not be asked about a token
    /// that is otherwise good. `feed_age` is how old the last proof of the feed is; what the feed knows
    /// against the token refuses it all the same.
    ///
    /// # Errors
    /// `failed_with`, unless the route's failure mode is `allow`, or `last_known` and the feed was heard
    /// of within its time.
    pub fn after_failure(
        route: &RoutePolicy,
        claims: VerifiedClaims,
        failed_with: DenyReason,
        feed_age: Option<Duration>,
    ) -> Result<Self, DenyReason> {
        match route.failure_mode {
            FailureMode::Allow => Ok(Self { reason: AllowReason::FailureMode, claims: Some(claims) }),
            FailureMode::LastKnown(within) if feed_age.is_some_and(|age| age <= within) => {
                Ok(Self { reason: AllowReason::LastKnown, claims: Some(claims) })
            }
            FailureMode::Deny | FailureMode::LastKnown(_) => Err(failed_with),
        }
    }

    /// Why it may pass.
    pub fn reason(&self) -> AllowReason {
        self.reason
    }

    /// Whom the upstream serves, if that is known.
    pub fn claims(&self) -> Option<&VerifiedClaims> {
        self.claims.as_ref()
    }
}
