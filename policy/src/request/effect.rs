//! What a step asks of the host.

use super::permit::Permit;
use crate::{
    http::headers::HeaderChange, ids::Callout, metric::Counter, response::denial::Reply, sidecar::client::Call,
};

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Call the sidecar about this and all other requests that ask the same: the reply is that to the
    /// callout. The call belongs to whatever the host was called for, which need not be this request.
    Call(Callout, Call),
    /// Apply these changes to the answer.
    ChangeAnswer(Vec<HeaderChange>),
    /// Count one.
    Count(Counter),
    /// Tell the access log.
    Describe(String),
    /// End it: its session has ended while its answer went on.
    EndStream,
    /// Apply these changes to the request and let it pass.
    Forward(Permit, Vec<HeaderChange>),
    /// Hold its answer back, until it is released or replaced by a reply.
    HoldAnswer,
    /// Let the answer that was held back go.
    ReleaseAnswer,
    /// Answer it.
    Reply(Reply),
}
