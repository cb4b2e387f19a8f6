//! Why a key cannot be used.

use thiserror::Error;

/// A key that cannot be used, without a word of the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidKey(pub(super) String);
