//! The phases of a request. What each event leads to in each of them is said in [`Phase::step`].

use session_gate_protocol::SessionCommandKind;

use super::{
    command_verdict::Replaced,
    decided::Decided,
    pending::PendingRequest,
    permit::Permit,
    room::{Place, Unverified},
};
use crate::{http::headers::Headers, ids::CallId, knowledge::Identity};

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
    /// Its token's time is over, and not its session's; it is held until the sidecar has replied with another.
    AwaitRenewal(PendingRequest, CallId),
    /// It may pass as far as its token goes; it is held until the sidecar has replied about its limits.
    AwaitLimits(PendingRequest, Permit, CallId),
    /// It may pass, and is held until the sidecar has replied whether the account that it names is locked.
    AwaitLock(PendingRequest, Permit, CallId),
    /// It was forwarded or refused; its answer is on the way, or goes on.
    Decided(Decided),
    /// Its answer says something of sessions, and is held until the sidecar has done it.
    AwaitCommand(Box<HeldAnswer>),
}

/// An answer that is held.
#[derive(Debug)]
pub struct HeldAnswer {
    pub(super) decided: Decided,
    /// Its headers, as the upstream has sent them.
    pub(super) answer: Headers,
    /// What it says of sessions.
    pub(super) kind: SessionCommandKind,
    /// By what it is replaced when the sidecar has counted it; none: it leaves.
    pub(super) otherwise: Option<Replaced>,
}

impl Phase {
    /// The place that the request takes up while it is held.
    pub const fn place(&self) -> Option<Place> {
        Some(match self {
            Self::AwaitTurn(..) => Place::Unverified(Unverified::Turn),
            Self::AwaitKeys(_) => Place::Unverified(Unverified::Key),
            Self::AwaitRenewal(..) => Place::Unverified(Unverified::Expired),
            Self::AwaitCheck(_, None, _) => Place::Unverified(Unverified::Opaque),
            Self::AwaitLimits(_, permit, _) if permit.identity().is_none() => Place::Unverified(Unverified::Anonymous),
            Self::AwaitCommand(held) if held.decided.is_anonymous() => Place::Unverified(Unverified::Command),
            Self::AwaitLock(_, permit, _) if permit.identity().is_none() => Place::Unverified(Unverified::Login),
            Self::AwaitLimits(..) | Self::AwaitLock(..) | Self::AwaitCheck(..) | Self::AwaitCommand(_) => {
                Place::Verified
            }
            Self::Start | Self::Decided(_) => return None,
        })
    }

    /// The request, once it is decided.
    pub fn decided(&self) -> Option<&Decided> {
        match self {
            Self::Decided(decided) => Some(decided),
            Self::AwaitCommand(held) => Some(&held.decided),
            Self::Start
            | Self::AwaitTurn(..)
            | Self::AwaitKeys(_)
            | Self::AwaitCheck(..)
            | Self::AwaitRenewal(..)
            | Self::AwaitLock(..)
            | Self::AwaitLimits(..) => None,
        }
    }
}
