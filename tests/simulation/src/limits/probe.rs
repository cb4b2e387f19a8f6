//! A probe: whether all that a limit must have left can be had.

use super::key::Key;
use crate::clocks::Millis;

/// A key that nobody uses any more, of which all is asked for that must be left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) key: Key,
    /// When its window begins.
    pub(crate) begins: Millis,
    /// From when on all is asked for. Before that, some is leased and left unused.
    pub(crate) hammers: Millis,
    /// When its window ends, nearly.
    pub(crate) ends: Millis,
    pub(crate) admitted: u64,
    /// How many were in leases that ended without a word.
    pub(crate) lapsed: u64,
    /// How many were in leases at last.
    pub(crate) leased: u64,
    /// How many the store had left at last.
    pub(crate) left: u64,
    /// How many were refused since their worker had no room for one more that waits.
    pub(crate) crowded_out: u64,
}
