//! The keys in use.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use session_gate_protocol::{Claims, DenyReason, JwkSet};
use thiserror::Error;

use super::{
    invalid::InvalidKey,
    key::Key,
    signer::SigningFailed,
    verify::{VerifiedClaims, Verifier},
};

/// The keys in use: one that signs, and others that still verify. No two have the same id.
pub struct KeyRing {
    signing: Key,
    others: Vec<Key>,
    verifier: Verifier,
}

/// A token could not be made.
#[derive(Clone, Debug, Error)]
pub enum MintError {
    /// The claims cannot be written as JSON.
    #[error("the claims cannot be written as JSON")]
    Claims,
    /// The signature could not be made.
    #[error(transparent)]
    Signature(#[from] SigningFailed),
}

/// The keys in use now; exchanged as a whole when they are read anew.
pub struct CurrentKeys(RwLock<Arc<KeyRing>>);

// === impl KeyRing ===

impl KeyRing {
    /// A ring of which the first key signs.
    ///
    /// # Errors
    /// [`InvalidKey`] where there is no key, the same one twice, or one that does not verify what it
    /// has signed.
    pub fn new(keys: Vec<Key>) -> Result<Self, InvalidKey> {
        for (i, key) in keys.iter().enumerate() {
            // The id says which algorithm is meant: the same key with two of them would be ambiguous.
            if keys.iter().take(i).any(|other| other.id() == key.id()) {
                return Err(InvalidKey("names the same key twice".to_owned()));
            }
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or_else(|| InvalidKey("has no key".to_owned()))?;
        let others: Vec<Key> = keys.collect();
        let verifier = Verifier::new(std::iter::once(&signing).chain(&others))?;
        Ok(Self { signing, others, verifier })
    }

    /// The key that signs.
    pub fn signing(&self) -> &Key {
        &self.signing
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.signing).chain(&self.others)
    }

    /// What everybody may know, for `/.well-known/jwks.json`: never a shared secret.
    pub fn public_keys(&self) -> JwkSet {
        JwkSet { keys: self.keys().filter_map(Key::public_jwk).cloned().collect() }
    }

    /// What a verifier needs, **shared secrets included**.
    pub fn verification_keys(&self) -> JwkSet {
        JwkSet { keys: self.keys().flat_map(Key::verification_jwks).collect() }
    }

    /// The token of these claims, signed. Takes microseconds, and with an RSA key milliseconds.
    ///
    /// # Errors
    /// [`MintError`] where the claims cannot be signed.
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        Ok(self.signing.sign(claims)?)
    }

    /// How long the token of these claims is, in bytes, without signing it.
    ///
    /// # Errors
    /// [`MintError`] where the claims are no JSON.
    pub fn minted_bytes(&self, claims: &Claims) -> Result<usize, MintError> {
        self.signing.signed_bytes(claims).map_err(|_| MintError::Claims)
    }

    /// The claims of a token that was minted here by `issuer` for `audience`, expired or not.
    ///
    /// # Errors
    /// Why any other is refused.
    pub fn verify(&self, token: &str, issuer: &str, audience: &str) -> Result<VerifiedClaims, DenyReason> {
        self.verifier.verify(token, issuer, audience)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signing, others, verifier: _ } = self;
        f.debug_struct("KeyRing").field("signing", signing).field("others", others).finish_non_exhaustive()
    }
}

// === impl CurrentKeys ===

impl CurrentKeys {
    /// Starts with `ring`.
    pub fn new(ring: KeyRing) -> Self {
        Self(RwLock::new(Arc::new(ring)))
    }

    /// The keys in use now.
    pub fn get(&self) -> Arc<KeyRing> {
        // Nothing panics while it holds the lock, and a ring is exchanged as a whole: never half done.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on `ring` is in use.
    pub fn replace(&self, ring: KeyRing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

impl fmt::Debug for CurrentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CurrentKeys").field(&self.get()).finish()
    }
}
