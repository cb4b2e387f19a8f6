//! The host's clocks.

use std::time::Duration;

use session_gate_protocol::UnixSeconds;

/// What the host's clocks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, by which tokens expire. It may be set.
    pub wall: UnixSeconds,
    /// A clock that never goes back, from some moment on, by which the age of knowledge is measured.
    pub monotonic: Duration,
}
