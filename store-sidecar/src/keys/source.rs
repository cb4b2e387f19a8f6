//! Where the keys come from, and how they are read.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{
    algorithm::Algorithm,
    invalid::InvalidKey,
    key::Key,
    pem::{self, generate},
    ring::KeyRing,
};
use crate::rng::Random;

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
fn read_file(file: &Path, algorithm: Option<Algorithm>, signs: bool) -> Result<Key, InvalidKey> {
    pem::read(file, algorithm).or_else(|problem| if signs { Err(problem) } else { pem::read(file, None) })
}
