//! What opaque tokens say: nobody but the store can tell by their text.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use session_gate_protocol::{Claims, OpaqueToken};

/// By its hash what each says, and in which life of the store it was put there.
#[derive(Debug, Default)]
pub struct OpaqueTokens(Mutex<HashMap<String, (Claims, u32)>>);

impl OpaqueTokens {
    /// The store has one more.
    pub fn note(&self, hash: String, claims: Claims, generation: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, (claims, generation));
    }

    /// What that token says, if it is an opaque one, and since which life of the store.
    pub fn said_by(&self, token: &str) -> Option<(Claims, u32)> {
        let hash = OpaqueToken::parse(token).ok()?.hash();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }
}
