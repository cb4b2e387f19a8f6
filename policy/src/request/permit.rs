//! The right to be forwarded. A [`Permit`] is made here and nowhere else, and nothing reaches an upstream without
//! one: each way to it below names what must hold.

use std::rc::Rc;

use session_gate_protocol::{AllowReason, DenyReason};

use super::dead_credential::verdict_on_credential;
use crate::{
    http::credential::Source,
    knowledge::{Identity, Served},
    routing::{Authentication, RoutePolicy},
};

/// The right to be forwarded. Consumed by forwarding.
#[derive(Debug)]
pub struct Permit {
    reason: AllowReason,
    identity: Option<Rc<Identity>>,
}

impl Permit {
    /// For an identity that may be served.
    pub fn of(identity: Identity, proof: &Served) -> Self {
        Self { reason: proof.reason(), identity: Some(Rc::new(identity)) }
    }

    /// For a request that has no credential: a public route lets it pass, and so does one where authentication is
    /// optional.
    ///
    /// # Errors
    /// `NoRule` where nothing is served, `CredentialMissing` on any other.
    pub fn without_credential(route: &RoutePolicy) -> Result<Self, DenyReason> {
        match route.authentication {
            Authentication::Optional => Ok(Self { reason: AllowReason::Anonymous, identity: None }),
            Authentication::Public => Ok(Self { reason: AllowReason::Public, identity: None }),
            Authentication::Refused => Err(DenyReason::NoRule),
            Authentication::Required => Err(DenyReason::CredentialMissing),
        }
    }

    /// For a browser that still sends a cookie whose login is over, which only the upstream's pages could take away:
    /// where authentication is optional it comes as if without. Nobody gains by that; who leaves the cookie out gets
    /// the same.
    ///
    /// # Errors
    /// `reason` itself where it is another, for any other credential, and where a token is required.
    pub fn after_login(reason: DenyReason, source: Option<Source>, route: &RoutePolicy) -> Result<Self, DenyReason> {
        let is_over = source == Some(Source::Cookie) && verdict_on_credential(reason).is_some();
        if is_over && route.authentication == Authentication::Optional {
            return Self::without_credential(route);
        }
        Err(reason)
    }

    /// Why it may pass.
    pub const fn reason(&self) -> AllowReason {
        self.reason
    }

    /// Whom the upstream serves, if that is known.
    pub const fn identity(&self) -> Option<&Rc<Identity>> {
        self.identity.as_ref()
    }
}
