//! What is kept of requests with an `Idempotency-Key`, in Redis.

use std::time::Duration;

use async_trait::async_trait;

use super::client::RedisStore;
use super::scripts;
use crate::store::lockout::millis;
use crate::store::{IdempotencyHash, IdempotencyRecords, StoreError};

#[async_trait]
impl IdempotencyRecords for RedisStore {
    async fn claim_idempotency(
        &self,
        hash: &IdempotencyHash,
        text: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError> {
        let lifetime = millis(lifetime).max(1).to_string();
        let key = self.keys.idempotency(hash);
        self.run(&scripts::CLAIM_IDEMPOTENCY, &[&key], &[text, &lifetime], self.deadline()).await
    }

    async fn settle_idempotency(
        &self,
        hash: &IdempotencyHash,
        before: &str,
        after: Option<&str>,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let lifetime = millis(lifetime).max(1).to_string();
        let key = self.keys.idempotency(hash);
        let arguments = [before, after.unwrap_or_default(), &lifetime];
        self.run(&scripts::SETTLE_IDEMPOTENCY, &[&key], &arguments, self.deadline()).await
    }
}
