//! What is kept of requests with an `Idempotency-Key`, in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::tables::MemoryStore;
use crate::store::{IdempotencyHash, IdempotencyRecords, StoreError};

#[async_trait]
impl IdempotencyRecords for MemoryStore {
    async fn claim_idempotency(
        &self,
        hash: &IdempotencyHash,
        text: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let kept = logins.idempotency.get(hash, now).cloned();
        if kept.is_none() {
            logins.idempotency.take(hash);
            logins.idempotency.put(hash.clone(), text.to_owned(), end(now, lifetime), now);
        }
        Ok(kept)
    }

    async fn settle_idempotency(
        &self,
        hash: &IdempotencyHash,
        before: &str,
        after: Option<&str>,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let kept = logins.idempotency.get(hash, now).map(String::as_str);
        if kept != Some(before) {
            return Ok(kept == after);
        }
        logins.idempotency.take(hash);
        if let Some(after) = after {
            logins.idempotency.put(hash.clone(), after.to_owned(), end(now, lifetime), now);
        }
        Ok(true)
    }
}

fn end(now: u64, lifetime: Duration) -> u64 {
    now.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
}
