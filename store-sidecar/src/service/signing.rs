//! Where tokens are signed.

use std::sync::Arc;

use session_gate_protocol::Claims;
use tokio::task::spawn_blocking;

use super::{Service, ServiceError};
use crate::keys::KeyType;

impl Service {
    /// The token of these claims. An RSA signature takes milliseconds: it is made on a thread of its own,
    /// so that requests that need none do not wait for it.
    pub(super) async fn sign(&self, claims: &Claims) -> Result<String, ServiceError> {
        let keys = self.keys();
        if keys.signing().algorithm().key_type() != KeyType::Rsa {
            return Ok(keys.mint(claims)?);
        }
        let internal = |error: tokio::task::JoinError| ServiceError::Internal(Box::new(error));
        // The semaphore is never closed.
        let permit = Arc::clone(&self.slow_signatures).acquire_owned().await;
        let claims = claims.clone();
        let signed = spawn_blocking(move || {
            let _permit = permit;
            keys.mint(&claims)
        });
        Ok(signed.await.map_err(internal)??)
    }
}
