//! Keys to verify with: a JWK (RFC 7517, 7518, 8037) that was judged and bound to one algorithm.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{BoxedUint, traits::PublicKeyParts as _};
use session_gate_protocol::Jwk;
use thiserror::Error;

use crate::algorithm::Algorithm;

/// RFC 7518, sections 3.3 and 3.5.
const MIN_RSA_BITS: usize = 2048;
/// Beyond it a verification costs a worker milliseconds.
const MAX_RSA_BITS: usize = 8192;

/// A key that one algorithm may verify with. `Debug` shows no key material.
#[derive(Clone)]
pub struct VerifyingKey {
    key_id: Option<String>,
    algorithm: Algorithm,
    pub(super) material: Material,
    /// For hosts that verify: made once, since a worker needs it for every signature.
    spki_der: Option<Vec<u8>>,
}

/// What the algorithms need. The variant decides which algorithms are possible at all.
#[derive(Clone)]
pub(super) enum Material {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Rsa(Box<rsa::PublicKey>),
    Secret(Vec<u8>),
}

/// What is wrong with a key: the member, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{member}: {allowed}")]
pub struct KeyProblem {
    /// The JWK's member.
    pub member: &'static str,
    /// What it must be.
    pub allowed: String,
    /// Whether the key may well be good for somebody else: of a type, a curve or an algorithm that is not supported here,
    /// or not wanted.
    pub is_unsupported: bool,
}

fn problem(member: &'static str, allowed: impl Into<String>) -> KeyProblem {
    KeyProblem { member, allowed: allowed.into(), is_unsupported: false }
}

fn unsupported(member: &'static str, allowed: impl Into<String>) -> KeyProblem {
    KeyProblem { is_unsupported: true, ..problem(member, allowed) }
}

impl VerifyingKey {
    /// Judges a key and binds it to its algorithm: the one that its `alg` names, else the one of
    /// `preferred` that goes with its type, else the type's usual one (ES256, ES384, EdDSA, RS256,
    /// HS256).
    ///
    /// # Errors
    /// The first member that is missing or wrong: an unknown type or curve, a point not on its curve,
    /// an RSA modulus outside 2048 to 8192 bits, a secret shorter than its algorithm's hash (RFC
    /// 7518, section 3.2), a use other than signatures, a private part.
    pub fn from_jwk(jwk: &Jwk, preferred: &[Algorithm]) -> Result<Self, KeyProblem> {
        if jwk.key_use.as_deref().is_some_and(|key_use| key_use != "sig") {
            return Err(problem("use", "must be \"sig\", or left out"));
        }
        if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err(problem("key_ops", "must include \"verify\", or be left out"));
        }
        if jwk.d.is_some() {
            return Err(problem("d", "must be left out: this is a private key, give the public one"));
        }
        let material = Material::from_jwk(jwk)?;
        let algorithm = bind(jwk, &material, preferred)?;
        if let Material::Secret(secret) = &material {
            let min = min_secret_bytes(algorithm);
            if secret.len() < min {
                return Err(problem("k", format!("must have at least {min} bytes for {}", algorithm.as_str())));
            }
        }
        let spki_der = material.to_spki_der();
        Ok(Self { key_id: jwk.kid.clone(), algorithm, material, spki_der })
    }

    /// The id that a token's header names it by.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The one algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key as DER SubjectPublicKeyInfo (RFC 5280, section 4.1); `None` for a secret.
    pub fn spki_der(&self) -> Option<&[u8]> {
        self.spki_der.as_deref()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, algorithm, material: _, spki_der: _ } = self;
        f.debug_struct("VerifyingKey").field("key_id", key_id).field("algorithm", algorithm).finish_non_exhaustive()
    }
}

impl Material {
    fn from_jwk(jwk: &Jwk) -> Result<Self, KeyProblem> {
        match jwk.kty.as_str() {
            "RSA" => rsa_key(jwk),
            "EC" => ec_key(jwk),
            "OKP" => okp_key(jwk),
            "oct" => Ok(Self::Secret(bytes("k", jwk.k.as_deref())?)),
            _ => Err(unsupported("kty", "must be \"RSA\", \"EC\", \"OKP\" or \"oct\"")),
        }
    }

    fn to_spki_der(&self) -> Option<Vec<u8>> {
        use p256::pkcs8::EncodePublicKey as _;
        let document = match self {
            Self::Ed25519(key) => key.to_public_key_der(),
            Self::P256(key) => key.to_public_key_der(),
            Self::P384(key) => key.to_public_key_der(),
            Self::Rsa(key) => key.to_public_key_der(),
            Self::Secret(_) => return None,
        };
        document.ok().map(|document| document.as_bytes().to_vec())
    }

    const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Ed25519(_) => &[Algorithm::EdDSA],
            Self::P256(_) => &[Algorithm::ES256],
            Self::P384(_) => &[Algorithm::ES384],
            Self::Rsa(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::Secret(_) => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
        }
    }
}

fn bind(jwk: &Jwk, material: &Material, preferred: &[Algorithm]) -> Result<Algorithm, KeyProblem> {
    let possible = material.algorithms();
    let usual = possible.first().copied().unwrap_or(Algorithm::RS256);
    let bound = match jwk.alg.as_deref() {
        Some(name) => Algorithm::from_name(name).filter(|named| possible.contains(named)),
        None => Some(preferred.iter().copied().find(|wanted| possible.contains(wanted)).unwrap_or(usual)),
    };
    bound.filter(|bound| preferred.is_empty() || preferred.contains(bound)).ok_or_else(|| {
        let names: Vec<_> = possible
            .iter()
            .filter(|algorithm| preferred.is_empty() || preferred.contains(algorithm))
            .map(|algorithm| algorithm.as_str())
            .collect();
        if names.is_empty() {
            unsupported("kty", "must be of a type that one of the issuer's `algorithms` can use")
        } else {
            // One that is known and goes with another type is a mistake.
            let fits = |name| Algorithm::from_name(name).is_none_or(|named| possible.contains(&named));
            let is_unsupported = jwk.alg.as_deref().is_some_and(fits);
            let allowed = format!("must be one of {} for this key", names.join(", "));
            KeyProblem { is_unsupported, ..problem("alg", allowed) }
        }
    })
}

const fn min_secret_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

fn bytes(member: &'static str, text: Option<&str>) -> Result<Vec<u8>, KeyProblem> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| problem(member, "must be base64url without padding"))
}

/// RFC 7518, section 2: the fewest octets that a number needs.
fn number(member: &'static str, text: Option<&str>) -> Result<BoxedUint, KeyProblem> {
    let octets = bytes(member, text)?;
    if octets.first() == Some(&0) {
        return Err(problem(member, "must not begin with a zero octet"));
    }
    Ok(BoxedUint::from_be_slice_vartime(&octets))
}

fn rsa_key(jwk: &Jwk) -> Result<Material, KeyProblem> {
    let modulus = number("n", jwk.n.as_deref())?;
    let exponent = number("e", jwk.e.as_deref())?;
    let bits = modulus.bit_width_vartime() as usize;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(problem("n", format!("must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")));
    }
    let key = rsa::PublicKey::new_with_size_limits(modulus, exponent, MIN_RSA_BITS..=MAX_RSA_BITS)
        .map_err(|_| problem("e", "must be an odd number from 3 to 2^33 - 1, with an odd modulus"))?;
    // The library allows 2; RFC 8017, section 3.1, begins at 3.
    if *key.e() < BoxedUint::from(3_u8) {
        return Err(problem("e", "must be an odd number of at least 3"));
    }
    Ok(Material::Rsa(Box::new(key)))
}

fn ec_key(jwk: &Jwk) -> Result<Material, KeyProblem> {
    let x = bytes("x", jwk.x.as_deref())?;
    let y = bytes("y", jwk.y.as_deref())?;
    // RFC 7518, section 6.2.1.2: each coordinate has the curve's full length.
    let point = |length: usize| {
        if x.len() == length && y.len() == length {
            Ok([&[0x04], x.as_slice(), y.as_slice()].concat())
        } else {
            Err(problem("x", format!("must, like y, have {length} bytes")))
        }
    };
    let off_curve = || problem("x", "must, with y, be a point on the curve");
    match jwk.crv.as_deref() {
        Some("P-256") => {
            let key = p256::PublicKey::from_sec1_bytes(&point(32)?).map_err(|_| off_curve())?;
            Ok(Material::P256(key.into()))
        }
        Some("P-384") => {
            let key = p384::PublicKey::from_sec1_bytes(&point(48)?).map_err(|_| off_curve())?;
            Ok(Material::P384(key.into()))
        }
        Some(_) => Err(unsupported("crv", "must be \"P-256\" or \"P-384\"")),
        None => Err(problem("crv", "must be \"P-256\" or \"P-384\"")),
    }
}

fn okp_key(jwk: &Jwk) -> Result<Material, KeyProblem> {
    match jwk.crv.as_deref() {
        Some("Ed25519") => {}
        Some(_) => return Err(unsupported("crv", "must be \"Ed25519\"")),
        None => return Err(problem("crv", "must be \"Ed25519\"")),
    }
    let point: [u8; 32] = bytes("x", jwk.x.as_deref())?.try_into().map_err(|_| problem("x", "must have 32 bytes"))?;
    let key =
        ed25519_dalek::VerifyingKey::from_bytes(&point).map_err(|_| problem("x", "must be a point on the curve"))?;
    // A key of small order accepts one signature for many messages.
    if key.is_weak() {
        return Err(problem("x", "must not be a point of small order"));
    }
    Ok(Material::Ed25519(key))
}

#[cfg(test)]
mod tests;
