//! Private keys in PEM files: reading one, and making one.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
    },
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use super::{
    algorithm::{Algorithm, KeyType},
    key::{InvalidKey, Key},
};
use crate::rng::{Random, random_bytes};

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
        PrivateKeyDer::Pkcs1(der) => {
            let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|error| rejected(&error))?;
            Key::from_rsa(pair, chosen(KeyType::Rsa, algorithm)?)
        }
        PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der(), algorithm),
        PrivateKeyDer::Sec1(_) => Err(InvalidKey(
            "is in SEC1 form (EC PRIVATE KEY): convert it with `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`"
                .to_owned(),
        )),
        _ => Err(InvalidKey("has a private key of an unknown form".to_owned())),
    }
}

fn pkcs8(der: &[u8], algorithm: Option<Algorithm>) -> Result<Key, InvalidKey> {
    let random = SystemRandom::new();
    // "Unchecked" only says that the file need not hold the public key: openssl leaves it out.
    match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        Ok(pair) => return chosen(KeyType::Ed25519, algorithm).and_then(|_| Key::from_ed25519(pair)),
        Err(error) if !is_of_another_type(&error) => return Err(rejected(&error)),
        Err(_) => {}
    }
    for (curve, key_type) in
        [(&ECDSA_P256_SHA256_FIXED_SIGNING, KeyType::P256), (&ECDSA_P384_SHA384_FIXED_SIGNING, KeyType::P384)]
    {
        match EcdsaKeyPair::from_pkcs8(curve, der, &random) {
            Ok(pair) => return Key::from_ecdsa(pair, chosen(key_type, algorithm)?),
            Err(error) if !is_of_another_type(&error) => return Err(rejected(&error)),
            Err(_) => {}
        }
    }
    match RsaKeyPair::from_pkcs8(der) {
        Ok(pair) => Key::from_rsa(pair, chosen(KeyType::Rsa, algorithm)?),
        Err(error) if !is_of_another_type(&error) => Err(rejected(&error)),
        Err(_) => Err(InvalidKey("is neither an RSA, P-256, P-384 nor Ed25519 key".to_owned())),
    }
}

fn is_of_another_type(error: &ring::error::KeyRejected) -> bool {
    error.to_string() == "WrongAlgorithm"
}

fn rejected(error: &ring::error::KeyRejected) -> InvalidKey {
    InvalidKey(match error.to_string().as_str() {
        "TooSmall" => "is too small: an RSA key needs at least 2048 bits".to_owned(),
        "TooLarge" => "is too large: an RSA key may have at most 4096 bits".to_owned(),
        "PublicKeyIsMissing" => {
            "lacks its public part: write it anew with `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`".to_owned()
        }
        reason => format!("cannot be used ({reason})"),
    })
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

fn pem_of_new_key(algorithm: Algorithm) -> Result<String, InvalidKey> {
    let random = SystemRandom::new();
    let failed = |_| InvalidKey("the operating system gave no random bytes".to_owned());
    let der = match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random).map_err(failed)?,
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(failed)?,
        Algorithm::Es384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).map_err(failed)?,
        other => {
            return Err(InvalidKey(format!(
                "a key for {other} cannot be made here, only for ES256, ES384 and EdDSA; for RSA use `openssl genpkey \
                 -algorithm RSA -pkeyopt rsa_keygen_bits:3072`"
            )));
        }
    };
    let text = STANDARD.encode(der.as_ref());
    // RFC 7468: lines of 64 characters.
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}
