//! What a store keeps of requests that come with an `Idempotency-Key`.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::error::StoreError;

/// What a request is known by: a hash, in base64url, of which nobody finds what it was made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyHash(String);

impl IdempotencyHash {
    /// The one with this text: characters of base64url.
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The one of that number, for tests.
    #[cfg(any(test, feature = "test-util"))]
    pub fn numbered(number: u64) -> Self {
        Self(format!("{number:043}"))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log.
        f.write_str(self.0.get(..10).unwrap_or_default())
    }
}

/// What is kept of such requests: a text that the service alone understands.
///
/// **Done twice**, as a Cluster's client may do what it has no answer to, a claim finds its own text, and a change finds
/// itself done.
///
/// # Errors
/// Each method fails as those of [`Store`](crate::store::Store) do.
#[async_trait]
pub trait IdempotencyRecords: Send + Sync + 'static {
    /// Keeps `text` for `lifetime` where nothing is kept under that hash; else changes nothing, and returns what is.
    async fn claim_idempotency(
        &self,
        hash: &IdempotencyHash,
        text: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError>;

    /// Keeps `after` for `lifetime` in the place of `before`; none: nothing is kept any more. Returns whether that is so:
    /// where something else is kept, or nothing, nothing is changed.
    async fn settle_idempotency(
        &self,
        hash: &IdempotencyHash,
        before: &str,
        after: Option<&str>,
        lifetime: Duration,
    ) -> Result<bool, StoreError>;
}
