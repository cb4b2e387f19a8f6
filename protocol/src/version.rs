//! How filter and sidecar know what the other one understands.

/// The header with which a filter says, in each request to the sidecar, which version of this protocol it speaks. One
/// that does not send it speaks version 1, and is answered in that version's form.
pub const PROTOCOL_HEADER: &str = "session-gate-protocol";

/// The version that this crate describes. What it adds to version 1: a feed's reply says its `protocol`, a checked
/// session its `generation`, and changes may be of a kind that the filter does not know.
pub const PROTOCOL_VERSION: u32 = 2;
