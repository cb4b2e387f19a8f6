//! Private keys in PEM files: reading one, and making one.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jwt_simple::{
    JWTError,
    prelude::{ES256KeyPair, ES384KeyPair, Ed25519KeyPair},
};
use pkcs8::{LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument, der::Decode as _};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use super::{
    algorithm::{Algorithm, KeyType},
    invalid::InvalidKey,
    key::Key,
    signer,
};
use crate::rng::{Random, random_bytes};

/// What keys are in a PKCS#8 document: RFC 8017 (RSA), RFC 5480 (curves), RFC 8410 (Ed25519).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The key in the file at `path`.
///
/// # Errors
/// [`InvalidKey`] says what is wrong with it; `algorithm` must fit the key where it is given.
pub(super) fn read(path: &Path, algorithm: Option<Algorithm>) -> Result<Key, InvalidKey> {
    let pem = fs::read(path).map_err(|error| InvalidKey(format!("{}: {}", path.display(), error.kind())))?;
    parse(&pem, algorithm).map_err(|InvalidKey(problem)| InvalidKey(format!("{}: {problem}", path.display())))
}

fn parse(pem: &[u8], algorithm: Option<Algorithm>) -> Result<Key, InvalidKey> {
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        InvalidKey("has no private key in PEM form (an encrypted one must be decrypted first)".to_owned())
    })?;
    match der {
        PrivateKeyDer::Pkcs1(der) => key_pair(der.secret_pkcs1_der(), KeyType::Rsa, algorithm),
        PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der(), algorithm),
        PrivateKeyDer::Sec1(_) => Err(InvalidKey(
            "is in SEC1 form (EC PRIVATE KEY): convert it with `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`"
                .to_owned(),
        )),
        _ => Err(InvalidKey("has a private key of an unknown form".to_owned())),
    }
}

fn pkcs8(der: &[u8], algorithm: Option<Algorithm>) -> Result<Key, InvalidKey> {
    let unusable = |_| InvalidKey("cannot be used: it is not a valid PKCS#8 document".to_owned());
    let info = PrivateKeyInfoRef::from_der(der).map_err(unusable)?;
    let curve = info.algorithm.parameters_oid().ok();
    let key_type = match (info.algorithm.oid, curve) {
        (RSA, _) => KeyType::Rsa,
        (ELLIPTIC_CURVE, Some(P256)) => KeyType::P256,
        (ELLIPTIC_CURVE, Some(P384)) => KeyType::P384,
        (ED25519, _) => KeyType::Ed25519,
        _ => return Err(InvalidKey("is neither an RSA, P-256, P-384 nor Ed25519 key".to_owned())),
    };
    // The form without the public key (RFC 5208), which follows from the private one; the library does
    // not read the other (RFC 5958) of every type.
    let bare = PrivateKeyInfoRef::new(info.algorithm, info.private_key);
    let bare = SecretDocument::encode_msg(&bare).map_err(unusable)?;
    let key = key_pair(bare.as_bytes(), key_type, algorithm)?;
    match info.public_key {
        Some(given) if key_type == KeyType::Ed25519 && !key.has_point(given.raw_bytes()) => {
            Err(InvalidKey("has a public part that is not that of its private one".to_owned()))
        }
        _ => Ok(key),
    }
}

fn key_pair(der: &[u8], key_type: KeyType, algorithm: Option<Algorithm>) -> Result<Key, InvalidKey> {
    let algorithm = chosen(key_type, algorithm)?;
    let pair = signer::key_pair(der, algorithm).map_err(|error| match error.downcast_ref() {
        Some(JWTError::WeakKey) => InvalidKey("is too small: an RSA key needs at least 2048 bits".to_owned()),
        Some(JWTError::UnsupportedRSAModulus) => {
            InvalidKey("is too large: an RSA key may have at most 4096 bits".to_owned())
        }
        _ if key_type == KeyType::Rsa => {
            InvalidKey("cannot be used: its numbers do not fit, or its public exponent is not 65537".to_owned())
        }
        _ => InvalidKey("cannot be used: its private and its public part do not fit".to_owned()),
    })?;
    Key::from_pair(pair, algorithm)
}

/// The algorithm for a key of that type: the one asked for if it fits.
fn chosen(key_type: KeyType, algorithm: Option<Algorithm>) -> Result<Algorithm, InvalidKey> {
    match algorithm {
        None => Ok(key_type.default_algorithm()),
        Some(algorithm) if algorithm.key_type() == key_type => Ok(algorithm),
        Some(algorithm) => Err(InvalidKey(format!(
            "is {}, but {algorithm} needs {}",
            key_type.as_str(),
            algorithm.key_type().as_str()
        ))),
    }
}

/// What became of [`generate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// The file was there before, perhaps made by another process meanwhile; it was left as it is.
    Existed,
    /// The file was made.
    Made,
}

/// Makes a key and writes it to `path`, readable by its owner only. A file that is there is left as it
/// is, and nobody ever sees half a file.
///
/// # Errors
/// [`InvalidKey`] where no such key can be made here, or the file cannot be written.
pub fn generate(path: &Path, algorithm: Algorithm, random: &dyn Random) -> Result<Generated, InvalidKey> {
    let failed = |error: io::Error| InvalidKey(format!("{}: cannot be written: {}", path.display(), error.kind()));
    let pem = pem_of_new_key(algorithm)?;
    let suffix = random_bytes::<8>(random).map_err(|error| InvalidKey(error.to_string()))?;
    let draft = beside(path, u64::from_be_bytes(suffix));
    let written = write_private(&draft, pem.as_bytes())
        // A link, unlike a rename, refuses to replace what is there.
        .and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match written {
        Ok(()) => removed.map(|()| Generated::Made).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Generated::Existed),
        Err(error) => Err(failed(error)),
    }
}

fn beside(path: &Path, suffix: u64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix:016x}"));
    path.with_file_name(name)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn pem_of_new_key(algorithm: Algorithm) -> Result<pkcs8::der::zeroize::Zeroizing<String>, InvalidKey> {
    let failed = |_| InvalidKey("the key cannot be written".to_owned());
    let der = match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::generate().to_der(),
        Algorithm::Es256 => ES256KeyPair::generate().to_der().map_err(|_| failed(()))?,
        Algorithm::Es384 => ES384KeyPair::generate().to_der().map_err(|_| failed(()))?,
        other => {
            return Err(InvalidKey(format!(
                "a key for {other} cannot be made here, only for ES256, ES384 and EdDSA; for RSA use `openssl genpkey \
                 -algorithm RSA -pkeyopt rsa_keygen_bits:3072`"
            )));
        }
    };
    let document = SecretDocument::try_from(der.as_slice()).map_err(|_| failed(()))?;
    document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| failed(()))
}
