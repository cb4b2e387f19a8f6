//! What names an operation, so that a store knows one that it is asked for again.

use std::fmt;

use crate::rng::{NoRandomness, Random, random_bytes};

/// Names one operation, however often it is sent: a client of a Cluster sends it again where the answer was lost. The store
/// remembers the last one that changed a session, and answers it as the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(u128);

impl OperationId {
    /// A new one.
    ///
    /// # Errors
    /// Where the system has no random numbers to give.
    pub fn new(random: &dyn Random) -> Result<Self, NoRandomness> {
        Ok(Self(u128::from_be_bytes(random_bytes(random)?)))
    }

    /// The one that was written so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().map(Self)
    }

    /// The one of that number, for tests.
    #[cfg(any(test, feature = "test-util"))]
    pub const fn numbered(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
