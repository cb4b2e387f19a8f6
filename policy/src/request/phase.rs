//! The phases of a request. What each event leads to in each of them is said in [`Phase::step`].

use super::{decided::Decided, pending::PendingRequest, permit::Permit, room::Unverified};
use crate::{ids::CallId, knowledge::Identity};

/// Where a request is.
#[derive(Debug)]
pub enum Phase {
    /// Its headers have not been seen.
    Start,
    /// Its token has not been looked at; it is held until the sidecar has replied about the limits that come first.
    AwaitTurn(PendingRequest, CallId),
    /// It is held until the sidecar has replied with its keys.
    AwaitKeys(PendingRequest),
    /// The feed cannot tell about its token, which was verified or is opaque; it is held until the sidecar
    /// has replied.
    AwaitCheck(PendingRequest, Option<Identity>, CallId),
    /// It may pass as far as its token goes; it is held until the sidecar has replied about its limits.
    AwaitLimits(PendingRequest, Permit, CallId),
    /// It was forwarded or refused; its answer is on the way, or goes on.
    Decided(Decided),
}

impl Phase {
    /// Why the request is held, where nobody has vouched for who sends it.
    pub(super) const fn unverified(&self) -> Option<Unverified> {
        match self {
            Self::AwaitTurn(..) => Some(Unverified::Turn),
            Self::AwaitKeys(_) => Some(Unverified::Key),
            Self::AwaitCheck(_, None, _) => Some(Unverified::Opaque),
            Self::AwaitLimits(_, permit, _) if permit.identity().is_none() => Some(Unverified::Anonymous),
            Self::AwaitLimits(..) | Self::AwaitCheck(..) | Self::Start | Self::Decided(_) => None,
        }
    }

    /// Whether the request is held.
    pub const fn is_held(&self) -> bool {
        match self {
            Self::AwaitTurn(..) | Self::AwaitKeys(_) | Self::AwaitCheck(..) | Self::AwaitLimits(..) => true,
            Self::Start | Self::Decided(_) => false,
        }
    }
}
