//! What happens to a request.

use std::rc::Rc;

use session_gate_protocol::CheckReply;

use crate::{http::headers::Headers, sidecar::in_flight::Asked};

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers have come.
    Request(Headers),
    /// The sidecar's keys have come, or could not be had; either way nothing newer will come soon.
    Keys,
    /// The sidecar has replied about the credential.
    Check(Rc<CheckOutcome>),
    /// The sidecar has replied about limits, or could not.
    Limits,
    /// The headers of its answer have come: the upstream's, ours, or Envoy's own.
    Answer(Headers),
    /// It goes on, and it is time to look whether it still may.
    Alarm,
}

/// What the sidecar has said about a credential; no reply: nothing that could be used.
#[derive(Clone, Debug)]
pub struct CheckOutcome {
    /// What it says.
    pub reply: Option<CheckReply>,
    /// When it was asked.
    pub asked: Asked,
}
