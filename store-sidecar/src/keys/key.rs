//! One key: signs, verifies, and shows itself as a JWK. The arithmetic is ring's: constant in time
//! where a secret is involved.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey},
};
use secrecy::{ExposeSecret as _, SecretString};
use session_gate_protocol::{Jwk, KeyId};
use thiserror::Error;

use super::{algorithm::Algorithm, thumbprint::thumbprint};

/// A key with the one algorithm that it is used with.
pub struct Key {
    id: KeyId,
    algorithm: Algorithm,
    material: Material,
    /// What verifiers need to know; for a shared secret that is the secret itself.
    jwk: Jwk,
}

enum Material {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(hmac::Key),
    Rsa(RsaKeyPair),
}

/// A key that cannot be used, without a word of the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidKey(pub(super) String);

/// The signature could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signature could not be made")]
pub struct SigningFailed;

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
        let hash = match algorithm {
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        let jwk = Jwk { kty: "oct".to_owned(), k: Some(URL_SAFE_NO_PAD.encode(text)), ..Jwk::default() };
        Self::new(Material::Hmac(hmac::Key::new(hash, text.as_bytes())), algorithm, jwk)
    }

    pub(super) fn from_ecdsa(pair: EcdsaKeyPair, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let crv = if algorithm == Algorithm::Es384 { "P-384" } else { "P-256" };
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let (x, y) = point
            .split_first()
            .and_then(|(_, coordinates)| coordinates.split_at_checked(coordinates.len() / 2))
            .ok_or_else(|| InvalidKey("has no public point".to_owned()))?;
        let jwk = Jwk {
            kty: "EC".to_owned(),
            crv: Some(crv.to_owned()),
            x: Some(URL_SAFE_NO_PAD.encode(x)),
            y: Some(URL_SAFE_NO_PAD.encode(y)),
            ..Jwk::default()
        };
        Self::new(Material::Ecdsa(pair), algorithm, jwk)
    }

    pub(super) fn from_ed25519(pair: Ed25519KeyPair) -> Result<Self, InvalidKey> {
        let jwk = Jwk {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some(URL_SAFE_NO_PAD.encode(pair.public_key())),
            ..Jwk::default()
        };
        Self::new(Material::Ed25519(pair), Algorithm::EdDsa, jwk)
    }

    pub(super) fn from_rsa(pair: RsaKeyPair, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let jwk = Jwk {
            kty: "RSA".to_owned(),
            n: Some(URL_SAFE_NO_PAD.encode(&public.n)),
            e: Some(URL_SAFE_NO_PAD.encode(&public.e)),
            ..Jwk::default()
        };
        Self::new(Material::Rsa(pair), algorithm, jwk)
    }

    fn new(material: Material, algorithm: Algorithm, jwk: Jwk) -> Result<Self, InvalidKey> {
        let id = thumbprint(&jwk).ok_or_else(|| InvalidKey("has no thumbprint".to_owned()))?;
        let jwk = Jwk {
            kid: Some(id.as_str().to_owned()),
            alg: Some(algorithm.as_str().to_owned()),
            key_use: Some("sig".to_owned()),
            ..jwk
        };
        Ok(Self { id, algorithm, material, jwk })
    }

    /// The key's id: its RFC 7638 thumbprint.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The one algorithm that it is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What a verifier needs. **A shared secret is in it as it is.**
    pub fn verification_jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// What everybody may know: nothing of a shared secret.
    pub fn public_jwk(&self) -> Option<&Jwk> {
        match self.material {
            Material::Hmac(_) => None,
            Material::Ecdsa(_) | Material::Ed25519(_) | Material::Rsa(_) => Some(&self.jwk),
        }
    }

    /// The length of a signature, in bytes.
    pub fn signature_bytes(&self) -> usize {
        match (&self.material, self.algorithm) {
            (Material::Rsa(pair), _) => pair.public().modulus_len(),
            (_, Algorithm::Es384) => 96,
            (Material::Ecdsa(_) | Material::Ed25519(_), _) => 64,
            (Material::Hmac(_), algorithm) => algorithm.min_secret_bytes().unwrap_or(64),
        }
    }

    /// The signature of `message`.
    ///
    /// # Errors
    /// [`SigningFailed`] where the operating system has no randomness, which ECDSA and PSS need.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let random = SystemRandom::new();
        match &self.material {
            Material::Ecdsa(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| SigningFailed)
            }
            Material::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Material::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Material::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut bytes = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut bytes).map_err(|_| SigningFailed)?;
                Ok(bytes)
            }
        }
    }

    /// Whether `signature` is this key's signature of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ecdsa(pair) => {
                let algorithm = match self.algorithm {
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
                    _ => &signature::ECDSA_P256_SHA256_FIXED,
                };
                UnparsedPublicKey::new(algorithm, pair.public_key()).verify(message, signature).is_ok()
            }
            Material::Ed25519(pair) => {
                UnparsedPublicKey::new(&signature::ED25519, pair.public_key()).verify(message, signature).is_ok()
            }
            Material::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa(pair) => {
                let algorithm = match self.algorithm {
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA256,
                };
                UnparsedPublicKey::new(algorithm, pair.public_key()).verify(message, signature).is_ok()
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, algorithm, material: _, jwk: _ } = self;
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
}
