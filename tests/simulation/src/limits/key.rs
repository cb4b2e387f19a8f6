//! What a limit counts by itself.

use std::fmt;

use super::settings::KeyName;

/// What a limit counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The limit.
    pub limit: usize,
    /// Whose requests.
    pub of: KeyName,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit {} of {}", self.limit, self.of)
    }
}
