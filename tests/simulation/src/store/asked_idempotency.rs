//! The questions to the store about requests with an `Idempotency-Key`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use store_sidecar::store::{IdempotencyHash, IdempotencyRecords, StoreError};

use super::{Op, ReplicaStore, SharedStore, refusing::Does::Add};

#[async_trait]
impl IdempotencyRecords for ReplicaStore {
    async fn claim_idempotency(
        &self,
        hash: &IdempotencyHash,
        text: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError> {
        let (hash, text) = (hash.clone(), text.to_owned());
        let claim = move |shared: Arc<SharedStore>| async move {
            shared.current().claim_idempotency(&hash, &text, lifetime).await
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(claim(shared)))).await
    }

    async fn settle_idempotency(
        &self,
        hash: &IdempotencyHash,
        before: &str,
        after: Option<&str>,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let (hash, before, after) = (hash.clone(), before.to_owned(), after.map(str::to_owned));
        let settle = move |shared: Arc<SharedStore>| async move {
            shared.current().settle_idempotency(&hash, &before, after.as_deref(), lifetime).await
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(settle(shared)))).await
    }
}
