//! The phases of a request. What each event leads to in each of them is said in [`Phase::step`].

use super::{
    decided::Decided,
    pending::PendingRequest,
    permit::Permit,
    room::{Place, Unverified},
};
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
    /// The place that the request takes up while it is held.
    pub const fn place(&self) -> Option<Place> {
        Some(match self {
            Self::AwaitTurn(..) => Place::Unverified(Unverified::Turn),
            Self::AwaitKeys(_) => Place::Unverified(Unverified::Key),
            Self::AwaitCheck(_, None, _) => Place::Unverified(Unverified::Opaque),
            Self::AwaitLimits(_, permit, _) if permit.identity().is_none() => Place::Unverified(Unverified::Anonymous),
            Self::AwaitLimits(..) | Self::AwaitCheck(..) => Place::Verified,
            Self::Start | Self::Decided(_) => return None,
        })
    }
}
