//! What opaque tokens say, in Redis: a record under each token's hash.

use session_gate_protocol::{Claims, SlotTag, UnixSeconds};

use super::client::RedisStore;
use super::scripts;
use super::values::secs;
use crate::store::{MAX_LIFETIME, StoreError, StoreErrorKind};

impl RedisStore {
    pub(super) async fn write_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        expires_at: UnixSeconds,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(claims).map_err(corrupt)?;
        let arguments = [&expires_at.0.to_string(), &secs(MAX_LIFETIME), json.as_str()];
        self.run(&scripts::PUT_OPAQUE, &[&self.keys.opaque(tag, hash)], &arguments, self.deadline()).await
    }

    pub(super) async fn read_opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        let json: Option<String> =
            self.run(&scripts::OPAQUE, &[&self.keys.opaque(tag, hash)], &[], self.deadline()).await?;
        json.map(|json| serde_json::from_str(&json).map_err(corrupt)).transpose()
    }
}

/// Says nothing of the record, which may hold an application's own data.
fn corrupt(_: serde_json::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "a stored token cannot be read")
}
