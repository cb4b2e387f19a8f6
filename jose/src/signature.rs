//! Whether a signature is a key's signature of a text.

use hmac::Hmac;
use sha2::{Sha256, Sha384, Sha512};

use crate::{
    algorithm::Algorithm,
    key::{Material, VerifyingKey},
};

/// Cryptography that the host brings along, faster than this module's own: Envoy verifies with
/// BoringSSL. It is asked first for what it can do, and must come to the same verdict.
pub trait HostCrypto {
    /// Whether the signature is good; `None` if this host cannot tell.
    fn verify(&self, job: &HostSignature<'_>) -> Option<bool>;
}

/// What a host is asked to verify: RSASSA-PKCS1-v1_5 or ECDSA.
#[derive(Debug)]
pub struct HostSignature<'a> {
    /// `sha256`, `sha384` or `sha512`.
    pub hash: &'static str,
    /// The public key as DER SubjectPublicKeyInfo.
    pub public_key: &'a [u8],
    /// The signature; an ECDSA one in DER form.
    pub signature: Vec<u8>,
    /// What was signed.
    pub text: &'a [u8],
}

/// A host without cryptography: everything is verified here.
#[derive(Clone, Copy, Debug)]
pub struct NoHostCrypto;

impl HostCrypto for NoHostCrypto {
    fn verify(&self, _job: &HostSignature<'_>) -> Option<bool> {
        None
    }
}

impl VerifyingKey {
    /// Whether `signature` is this key's signature of `text` under its one algorithm. The length is
    /// checked first: RFC 7518 leaves one for each key.
    pub fn verify(&self, text: &[u8], signature: &[u8], host: &dyn HostCrypto) -> bool {
        match (self.algorithm(), &self.material) {
            (Algorithm::EdDSA, Material::Ed25519(key)) => ed25519(key, text, signature),
            (Algorithm::ES256, Material::P256(key)) => self.es256(key, text, signature, host),
            (Algorithm::ES384, Material::P384(key)) => self.es384(key, text, signature, host),
            (Algorithm::HS256, Material::Secret(secret)) => hmac::<Hmac<Sha256>>(secret, text, signature),
            (Algorithm::HS384, Material::Secret(secret)) => hmac::<Hmac<Sha384>>(secret, text, signature),
            (Algorithm::HS512, Material::Secret(secret)) => hmac::<Hmac<Sha512>>(secret, text, signature),
            (algorithm, Material::Rsa(key)) => self.rsa(algorithm, key, text, signature, host),
            // Binding a key to its algorithm has made every other pair impossible.
            (_, _) => false,
        }
    }

    fn ask_host(&self, host: &dyn HostCrypto, hash: &'static str, signature: Vec<u8>, text: &[u8]) -> Option<bool> {
        host.verify(&HostSignature { hash, public_key: self.spki_der()?, signature, text })
    }

    fn es256(&self, key: &p256::ecdsa::VerifyingKey, text: &[u8], signature: &[u8], host: &dyn HostCrypto) -> bool {
        use p256::ecdsa::signature::Verifier as _;
        // Refuses any other length, and r or s of zero or not below the order.
        let Ok(signature) = p256::ecdsa::Signature::from_slice(signature) else { return false };
        self.ask_host(host, "sha256", signature.to_der().as_bytes().to_vec(), text)
            .unwrap_or_else(|| key.verify(text, &signature).is_ok())
    }

    fn es384(&self, key: &p384::ecdsa::VerifyingKey, text: &[u8], signature: &[u8], host: &dyn HostCrypto) -> bool {
        use p384::ecdsa::signature::Verifier as _;
        let Ok(signature) = p384::ecdsa::Signature::from_slice(signature) else { return false };
        self.ask_host(host, "sha384", signature.to_der().as_bytes().to_vec(), text)
            .unwrap_or_else(|| key.verify(text, &signature).is_ok())
    }

    fn rsa(
        &self,
        algorithm: Algorithm,
        key: &rsa::PublicKey,
        text: &[u8],
        signature: &[u8],
        host: &dyn HostCrypto,
    ) -> bool {
        use rsa::{pkcs1v15, pss, signature::Verifier as _, traits::PublicKeyParts as _};
        // RFC 8017, section 8.2.2: as long as the modulus, or it is none.
        if signature.len() != key.size() {
            return false;
        }
        let pkcs1 = |hash| self.ask_host(host, hash, signature.to_vec(), text);
        macro_rules! verify {
            ($scheme:ident, $hash:ty) => {
                $scheme::Signature::try_from(signature).is_ok_and(|signature| {
                    $scheme::VerifyingKey::<$hash>::new(key.clone()).verify(text, &signature).is_ok()
                })
            };
        }
        match algorithm {
            Algorithm::RS256 => pkcs1("sha256").unwrap_or_else(|| verify!(pkcs1v15, Sha256)),
            Algorithm::RS384 => pkcs1("sha384").unwrap_or_else(|| verify!(pkcs1v15, Sha384)),
            Algorithm::RS512 => pkcs1("sha512").unwrap_or_else(|| verify!(pkcs1v15, Sha512)),
            Algorithm::PS256 => verify!(pss, Sha256),
            Algorithm::PS384 => verify!(pss, Sha384),
            Algorithm::PS512 => verify!(pss, Sha512),
            _ => false,
        }
    }
}

fn ed25519(key: &ed25519_dalek::VerifyingKey, text: &[u8], signature: &[u8]) -> bool {
    use ed25519_dalek::Verifier as _;
    ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify(text, &signature).is_ok())
}

/// In constant time. A tag of another length than the hash's is none.
fn hmac<M: hmac::KeyInit + hmac::Mac>(secret: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let Ok(mac) = <M as hmac::KeyInit>::new_from_slice(secret) else { return false };
    mac.chain_update(text).verify_slice(signature).is_ok()
}
