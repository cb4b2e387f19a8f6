//! The keys that sign tokens: where they come from, and what others need to verify them.

mod algorithm;
mod key;
mod pem;
mod signer;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use secrecy::SecretString;
use session_gate_protocol::{Claims, DenyReason, JwkSet};
use thiserror::Error;

use self::verify::Verifier;
pub use self::{
    algorithm::{Algorithm, KeyType},
    key::{InvalidKey, Key},
    pem::{Generated, generate},
    signer::SigningFailed,
    verify::VerifiedClaims,
};
use crate::rng::Random;

/// The `typ` of every token's header: an access token (RFC 9068), and so nothing else (RFC 8725,
/// section 3.11).
const TOKEN_TYP: &str = "at+jwt";

/// Where the keys come from.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// What signs.
    pub signing: Signing,
    /// The secret before this one: only verifies.
    pub previous_secret: Option<SecretString>,
}

/// What signs.
#[derive(Clone, Debug)]
pub enum Signing {
    /// PEM files; the first signs.
    Files {
        /// The files: one at least.
        files: Vec<PathBuf>,
        /// The algorithm of RSA keys.
        algorithm: Option<Algorithm>,
    },
    /// One PEM file, made if it is missing.
    Generated(PathBuf),
    /// A shared secret.
    Secret {
        /// The secret.
        secret: SecretString,
        /// HS256, HS384 or HS512.
        algorithm: Algorithm,
    },
}

/// Which of the sources is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// Which source.
    pub origin: KeyOrigin,
    /// What is wrong.
    pub problem: InvalidKey,
}

/// One source of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The list of key files.
    Files,
    /// The file that is generated.
    Generated,
    /// The secret before this one.
    PreviousSecret,
    /// The secret.
    Secret,
}

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

// === impl KeySource ===

impl KeySource {
    /// The keys; a file that is to be generated is made now if it is missing.
    ///
    /// # Errors
    /// Everything that is wrong, not just the first.
    pub fn load(&self, random: &dyn Random) -> Result<KeyRing, Vec<KeyProblem>> {
        if let Signing::Generated(path) = &self.signing
            && !path.exists()
        {
            generate(path, Algorithm::Es256, random)
                .map_err(|problem| vec![KeyProblem { origin: KeyOrigin::Generated, problem }])?;
        }
        self.read()
    }

    /// Everything that is wrong with the keys, without making any. A file that is to be generated may
    /// be missing.
    pub fn problems(&self) -> Vec<KeyProblem> {
        match &self.signing {
            Signing::Generated(path) if !path.exists() => self.previous().err().into_iter().collect(),
            _ => self.read().err().unwrap_or_default(),
        }
    }

    fn read(&self) -> Result<KeyRing, Vec<KeyProblem>> {
        let mut problems = Vec::new();
        let mut keys = Vec::new();
        let mut take = |origin, read: Result<Key, InvalidKey>| match read {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(KeyProblem { origin, problem }),
        };
        match &self.signing {
            Signing::Files { files, algorithm } => {
                for (i, file) in files.iter().enumerate() {
                    take(KeyOrigin::Files, read_file(file, *algorithm, i == 0));
                }
            }
            Signing::Generated(file) => take(KeyOrigin::Generated, pem::read(file, None)),
            Signing::Secret { secret, algorithm } => take(KeyOrigin::Secret, Key::from_secret(secret, *algorithm)),
        }
        match self.previous() {
            Ok(key) => keys.extend(key),
            Err(problem) => problems.push(problem),
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        KeyRing::new(keys).map_err(|problem| vec![KeyProblem { origin: self.origin(), problem }])
    }

    fn previous(&self) -> Result<Option<Key>, KeyProblem> {
        let algorithm = match self.signing {
            Signing::Secret { algorithm, .. } => algorithm,
            Signing::Files { .. } | Signing::Generated(_) => Algorithm::Hs256,
        };
        self.previous_secret
            .as_ref()
            .map(|secret| Key::from_secret(secret, algorithm))
            .transpose()
            .map_err(|problem| KeyProblem { origin: KeyOrigin::PreviousSecret, problem })
    }

    fn origin(&self) -> KeyOrigin {
        match self.signing {
            Signing::Files { .. } => KeyOrigin::Files,
            Signing::Generated(_) => KeyOrigin::Generated,
            Signing::Secret { .. } => KeyOrigin::Secret,
        }
    }
}

/// The first key must fit the algorithm that was asked for; a later one, kept for a rotation between
/// kinds of keys, uses it only if it fits.
fn read_file(file: &std::path::Path, algorithm: Option<Algorithm>, signs: bool) -> Result<Key, InvalidKey> {
    pem::read(file, algorithm).or_else(|problem| if signs { Err(problem) } else { pem::read(file, None) })
}

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
