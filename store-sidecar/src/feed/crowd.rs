//! Among how many workers what is left of limits is shared.

use tokio::time::Instant;

/// How many workers there are, as it was known last.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub(super) count: u64,
    /// When it was asked for.
    pub(super) asked: Option<Instant>,
}
