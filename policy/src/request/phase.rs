//! The phases of a request. What each event leads to in each of them is said in [`Phase::step`].

use super::{decided::Decided, pending::PendingRequest, permit::Permit};
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
    /// Whether the request is held for somebody whom nobody has vouched for: it has no token, or one that was not looked
    /// at, whose key is missing, or that is opaque.
    pub const fn is_unverified(&self) -> bool {
        match self {
            Self::AwaitTurn(..) | Self::AwaitKeys(_) | Self::AwaitCheck(_, None, _) => true,
            Self::AwaitLimits(_, permit, _) => permit.identity().is_none(),
            Self::AwaitCheck(..) | Self::Start | Self::Decided(_) => false,
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
