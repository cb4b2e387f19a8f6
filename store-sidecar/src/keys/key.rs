//! One key: signs, and shows itself as a JWK.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use session_gate_protocol::{Jwk, KeyId};

use super::{
    algorithm::{Algorithm, KeyType},
    invalid::InvalidKey,
    signer::{self, Loaded, Signer, SigningFailed},
};

/// A key with the one algorithm that it is used with.
pub struct Key {
    id: KeyId,
    algorithm: Algorithm,
    signer: Signer,
    /// What verifiers need to know; for a shared secret that is the secret itself.
    jwk: Jwk,
    /// Another id that a verifier may find in older tokens.
    former_id: Option<KeyId>,
    /// A token of no claims.
    sample: String,
}

// === impl Key ===

impl Key {
    /// A key that is a shared secret.
    ///
    /// # Errors
    /// [`InvalidKey`] where the secret is too short for the algorithm, or the algorithm is for key
    /// pairs.
    pub fn from_secret(secret: &SecretString, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let text = secret.expose_secret();
        let min = algorithm
            .min_secret_bytes()
            .ok_or_else(|| InvalidKey(format!("is a shared secret, which {algorithm} cannot be used with")))?;
        if text.chars().count() < min {
            return Err(InvalidKey(format!("is too short: {algorithm} needs at least {min} characters")));
        }
        let former_id = signer::former_secret_id(text.as_bytes());
        Self::new(signer::secret(text.as_bytes(), algorithm)?, algorithm, former_id)
    }

    /// A key pair.
    pub(super) fn from_pair(pair: Loaded, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        Self::new(pair, algorithm, None)
    }

    fn new(loaded: Loaded, algorithm: Algorithm, former_id: Option<KeyId>) -> Result<Self, InvalidKey> {
        let Loaded { signer, id, jwk } = loaded;
        #[derive(Serialize)]
        struct Nothing {}
        let sample = signer.sign(Nothing {}).map_err(|error| InvalidKey(error.to_string()))?;
        let jwk = Jwk {
            kid: Some(id.as_str().to_owned()),
            alg: Some(algorithm.as_str().to_owned()),
            key_use: Some("sig".to_owned()),
            ..jwk
        };
        Ok(Self { id, algorithm, signer, jwk, former_id, sample })
    }

    /// The key's id: of a key pair its RFC 7638 thumbprint.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The one algorithm that it is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What a verifier needs, once for each id. **A shared secret is in it as it is.**
    pub fn verification_jwks(&self) -> impl Iterator<Item = Jwk> {
        let former = self.former_id.as_ref().map(|id| Jwk { kid: Some(id.as_str().to_owned()), ..self.jwk.clone() });
        std::iter::once(self.jwk.clone()).chain(former)
    }

    /// What everybody may know: nothing of a shared secret.
    pub fn public_jwk(&self) -> Option<&Jwk> {
        (self.algorithm.key_type() != KeyType::Hmac).then_some(&self.jwk)
    }

    /// Whether that is the public point of an Ed25519 key.
    pub(super) fn has_point(&self, point: &[u8]) -> bool {
        self.jwk.x.as_deref() == Some(&URL_SAFE_NO_PAD.encode(point))
    }

    /// A token of no claims, signed by it.
    pub(super) fn sample(&self) -> &str {
        &self.sample
    }

    /// How long the token of these claims is, in bytes, without signing it.
    pub(super) fn signed_bytes(&self, claims: &impl Serialize) -> Result<usize, serde_json::Error> {
        let payload = |json_bytes: usize| base64::encoded_len(json_bytes, false).unwrap_or(usize::MAX);
        // The sample's payload is `{}`.
        let overhead = self.sample.len().saturating_sub(payload(2));
        Ok(overhead.saturating_add(payload(serde_json::to_vec(claims)?.len())))
    }

    /// The token of these claims.
    ///
    /// # Errors
    /// [`SigningFailed`] where the claims are no JSON object.
    pub(super) fn sign(&self, claims: impl Serialize) -> Result<String, SigningFailed> {
        self.signer.sign(claims)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, algorithm, signer: _, jwk: _, former_id: _, sample: _ } = self;
        f.debug_struct("Key").field("id", id).field("algorithm", algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_secret_is_as_long_as_the_hash() {
        let key = |text: &str, algorithm| Key::from_secret(&SecretString::from(text), algorithm);
        assert!(key(SECRET, Algorithm::Hs256).is_ok());
        for (text, algorithm) in [
            ("0123456789abcdef0123456789abcde", Algorithm::Hs256),
            (SECRET, Algorithm::Hs384),
            (SECRET, Algorithm::Hs512),
            (SECRET, Algorithm::Es256),
        ] {
            let error = key(text, algorithm).unwrap_err().to_string();
            assert!(!error.contains(text) && error.contains(algorithm.as_str()), "{error}");
        }
    }

    #[test]
    fn debug_output_and_the_public_set_lack_the_secret() {
        let key = Key::from_secret(&SecretString::from(SECRET), Algorithm::Hs256).unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains(SECRET) && !shown.contains(&URL_SAFE_NO_PAD.encode(SECRET)));
        assert_eq!(key.public_jwk(), None);
    }

    #[test]
    fn the_id_of_a_secret_is_not_its_thumbprint() {
        let key = Key::from_secret(&SecretString::from(SECRET), Algorithm::Hs256).unwrap();
        // Computed apart from this program: HMAC-SHA-256, and the SHA-256 of RFC 7638.
        assert_eq!(key.id().as_str(), "y3k5zxWJzKfN8-e7SZbk1Z_wZJCGw5TbmFrlno0Rp0k");
        let ids: Vec<_> = key.verification_jwks().filter_map(|jwk| jwk.kid).collect();
        assert_eq!(ids, ["y3k5zxWJzKfN8-e7SZbk1Z_wZJCGw5TbmFrlno0Rp0k", "XOBEfwKZzZgziWfq7yZzhEKNQfihBMioCzRbNmqUH0Y"]);
    }
}
