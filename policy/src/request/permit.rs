//! The right to be forwarded. A [`Permit`] is made here and nowhere else, and nothing reaches an upstream without
//! one: each way to it below names what must hold.

use std::rc::Rc;

use session_gate_protocol::{AllowReason, DenyReason};

use crate::{
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
    /// `CredentialMissing` on any other.
    pub fn without_credential(route: &RoutePolicy) -> Result<Self, DenyReason> {
        match route.authentication {
            Authentication::Optional => Ok(Self { reason: AllowReason::Anonymous, identity: None }),
            Authentication::Public => Ok(Self { reason: AllowReason::Public, identity: None }),
            Authentication::Required => Err(DenyReason::CredentialMissing),
        }
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
