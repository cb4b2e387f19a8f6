//! Tokens that nobody should accept, and the keys to make them with.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

/// base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token's three parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Parts {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of(token: &str) -> Result<Self> {
        let parts: Vec<Vec<u8>> =
            token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part)).collect::<Result<_, _>>()?;
        let [header, claims, signature] = parts.as_slice() else { bail!("a token has three parts") };
        Ok(Self {
            header: serde_json::from_slice(header)?,
            claims: serde_json::from_slice(claims)?,
            signature: signature.clone(),
        })
    }

    /// The same header with one member changed; `Null` removes it.
    pub fn with_header(&self, name: &str, value: Value) -> Value {
        with(&self.header, name, value)
    }

    /// The same claims with one changed; `Null` removes it.
    pub fn with_claim(&self, name: &str, value: Value) -> Value {
        with(&self.claims, name, value)
    }
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
    }
    object
}

/// Something that signs.
pub trait Signer {
    /// Signs these bytes.
    ///
    /// # Errors
    /// Where it cannot.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;

    /// A token with this header and these claims.
    ///
    /// # Errors
    /// Where signing fails.
    fn token(&self, header: &Value, claims: &Value) -> Result<String> {
        self.token_of_text(&header.to_string(), &claims.to_string())
    }

    /// The same, of texts that need not be JSON.
    ///
    /// # Errors
    /// Where signing fails.
    fn token_of_text(&self, header: &str, claims: &str) -> Result<String> {
        let input = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", base64url(signature)))
    }
}

/// An ES256 key.
#[derive(Debug)]
pub struct EcKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl EcKey {
    /// A new key.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn generate() -> Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(opaque)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// The key of a PEM file: the sidecar's own.
    ///
    /// # Errors
    /// Where it is no such file.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let base64: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        Self::from_pkcs8(&STANDARD.decode(base64)?)
    }

    fn from_pkcs8(document: &[u8]) -> Result<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &random).map_err(opaque)?;
        Ok(Self { pair, random })
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": base64url(x), "y": base64url(y)})
    }
}

impl Signer for EcKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(self.pair.sign(&self.random, message).map_err(opaque)?.as_ref().to_vec())
    }
}

/// An RS256 key.
#[derive(Debug)]
pub struct RsaKey {
    private: rsa::PrivateKey,
    pair: RsaKeyPair,
}

impl RsaKey {
    /// A new key of 2048 bits.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn generate() -> Result<Self> {
        let mut random = rand_core::UnwrapErr(getrandom::SysRng);
        let private = rsa::PrivateKey::new(&mut random, 2048)?;
        let document = private.to_pkcs8_der()?;
        let pair = RsaKeyPair::from_pkcs8(document.as_bytes()).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { private, pair })
    }

    /// The public key as a JWK.
    pub fn jwk(&self, key_id: &str) -> Value {
        let public = self.private.to_public_key();
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": key_id,
            "n": base64url(public.n().to_be_bytes_trimmed_vartime()),
            "e": base64url(public.e().to_be_bytes_trimmed_vartime()),
        })
    }

    /// What an attacker may take for the HMAC secret: the public key in every form in which it is
    /// handed around.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn public_forms(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let public = self.private.to_public_key();
        let der = public.to_public_key_der()?;
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", wrapped(der.as_bytes()));
        Ok(vec![
            ("DER", der.as_bytes().to_vec()),
            ("PEM", pem.clone().into_bytes()),
            ("PEM without its last line feed", pem.trim_end().as_bytes().to_vec()),
            ("the modulus", public.n().to_be_bytes_trimmed_vartime().to_vec()),
            ("the modulus as text", base64url(public.n().to_be_bytes_trimmed_vartime()).into_bytes()),
            ("nothing", Vec::new()),
        ])
    }
}

impl Signer for RsaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let padding: &dyn ring::signature::RsaEncoding = &RSA_PKCS1_SHA256;
        self.pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(opaque)?;
        Ok(signature)
    }
}

/// An HS256 key.
#[derive(Debug)]
pub struct HmacKey(pub Vec<u8>);

impl Signer for HmacKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        Ok(ring::hmac::sign(&key, message).as_ref().to_vec())
    }
}

/// Signs with nothing, as `alg: none` asks.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned;

impl Signer for Unsigned {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// base64 in lines of 64 characters.
fn wrapped(bytes: &[u8]) -> String {
    let text: Vec<char> = STANDARD.encode(bytes).chars().collect();
    text.chunks(64).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
}

fn opaque(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// Now, in seconds since 1970: tokens are judged against the real clock.
#[expect(clippy::disallowed_methods, reason = "the Envoy under test has no other clock")]
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
