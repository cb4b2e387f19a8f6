//! Project Wycheproof's signature vectors, as the keys and signatures of JWS.
//!
//! A vector signs its own message, not a token's first two parts, so it cannot be made into a whole
//! token; it goes through everything that decides about a token's signature: the key as a JWK, the
//! signature in its JWS form, and the verdict. Expected is what JWS asks for, which is now and then
//! stricter than the vector: a truncated HMAC tag or a PSS salt of another length is no signature.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_gate_protocol::Jwk;
use wycheproof::{ecdsa, eddsa, mac, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

/// A key and what is checked with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Group {
    /// Where it comes from.
    pub name: String,
    /// The key, bound to one algorithm by its `alg`.
    pub jwk: Jwk,
    /// The vectors.
    pub cases: Vec<Case>,
}

/// One vector. Bytes are base64url.
#[derive(Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its number in its file.
    pub id: u64,
    /// What was signed.
    pub text: String,
    /// The signature in its JWS form.
    pub signature: String,
    /// Whether it is one; `None`: implementations may differ, but every path must agree.
    pub good: Option<bool>,
}

/// Every vector for an algorithm of JWS.
///
/// # Errors
/// A file of another shape than expected.
pub fn groups() -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (algorithm, data) in ec_sets() {
        add(&mut groups, algorithm, data, ec_key, "sig", |_| true)?;
    }
    add(&mut groups, "EdDSA", eddsa::TestName::Ed25519.json_data(), okp_key, "sig", |_| true)?;
    for (algorithm, data) in rsa_sets() {
        add(&mut groups, algorithm, data, rsa_key, "sig", |_| true)?;
    }
    for (algorithm, data, salt) in pss_sets() {
        add(&mut groups, algorithm, data, rsa_key, "sig", move |group| group["sLen"] == salt)?;
    }
    for (algorithm, data, tag_bits) in hmac_sets() {
        add_hmac(&mut groups, algorithm, data, tag_bits)?;
    }
    Ok(groups)
}

fn ec_sets() -> [(&'static str, &'static str); 2] {
    use ecdsa::TestName;
    [
        ("ES256", TestName::EcdsaSecp256r1Sha256P1363.json_data()),
        ("ES384", TestName::EcdsaSecp384r1Sha384P1363.json_data()),
    ]
}

fn rsa_sets() -> [(&'static str, &'static str); 9] {
    use pkcs1::TestName;
    [
        ("RS256", TestName::Rsa2048Sha256.json_data()),
        ("RS256", TestName::Rsa3072Sha256.json_data()),
        ("RS256", TestName::Rsa4096Sha256.json_data()),
        ("RS384", TestName::Rsa2048Sha384.json_data()),
        ("RS384", TestName::Rsa3072Sha384.json_data()),
        ("RS384", TestName::Rsa4096Sha384.json_data()),
        ("RS512", TestName::Rsa2048Sha512.json_data()),
        ("RS512", TestName::Rsa3072Sha512.json_data()),
        ("RS512", TestName::Rsa4096Sha512.json_data()),
    ]
}

/// With the salt length that RFC 7518, section 3.5, asks for: sets of another one must all be refused.
fn pss_sets() -> [(&'static str, &'static str, u64); 8] {
    use pss::TestName;
    [
        ("PS256", TestName::RsaPss2048Sha256Mgf1SaltLen32.json_data(), 32),
        ("PS256", TestName::RsaPss3072Sha256Mgf1SaltLen32.json_data(), 32),
        ("PS256", TestName::RsaPss4096Sha256Mgf1SaltLen32.json_data(), 32),
        ("PS256", TestName::RsaPss2048Sha256Mgf1SaltLen0.json_data(), 32),
        ("PS384", TestName::RsaPss2048Sha384Mgf1SaltLen48.json_data(), 48),
        ("PS384", TestName::RsaPss4096Sha384Mgf1SaltLen48.json_data(), 48),
        ("PS512", TestName::RsaPss4096Sha512Mgf1SaltLen64.json_data(), 64),
        ("PS512", TestName::RsaPss4096Sha512Mgf1SaltLen32.json_data(), 64),
    ]
}

fn hmac_sets() -> [(&'static str, &'static str, u64); 3] {
    use mac::TestName;
    [
        ("HS256", TestName::HmacSha256.json_data(), 256),
        ("HS384", TestName::HmacSha384.json_data(), 384),
        ("HS512", TestName::HmacSha512.json_data(), 512),
    ]
}

fn add(
    groups: &mut Vec<Group>,
    algorithm: &str,
    data: &str,
    key: fn(&Value) -> Result<Jwk>,
    signature: &str,
    is_jws: impl Fn(&Value) -> bool,
) -> Result<()> {
    let set: Value = serde_json::from_str(data)?;
    for group in list(&set, "testGroups")? {
        let jwk = Jwk { alg: Some(algorithm.to_owned()), ..key(&group["publicKey"])? };
        let cases =
            list(group, "tests")?.iter().map(|test| case(test, signature, is_jws(group))).collect::<Result<_>>()?;
        groups.push(Group { name: algorithm.to_owned(), jwk, cases });
    }
    Ok(())
}

/// Here each vector has a key of its own.
fn add_hmac(groups: &mut Vec<Group>, algorithm: &str, data: &str, tag_bits: u64) -> Result<()> {
    let set: Value = serde_json::from_str(data)?;
    for group in list(&set, "testGroups")? {
        // A key shorter than the hash is refused as such (RFC 7518, section 3.2).
        let is_jws = group["tagSize"] == tag_bits && group["keySize"].as_u64() >= Some(tag_bits);
        for test in list(group, "tests")? {
            let jwk = Jwk {
                kty: "oct".to_owned(),
                alg: Some(algorithm.to_owned()),
                k: Some(base64url(&test["key"])?),
                ..Jwk::default()
            };
            groups.push(Group { name: algorithm.to_owned(), jwk, cases: vec![case(test, "tag", is_jws)?] });
        }
    }
    Ok(())
}

fn case(test: &Value, signature: &str, is_jws: bool) -> Result<Case> {
    let good = match test["result"].as_str().context("a vector without result")? {
        "valid" => Some(is_jws),
        // Wrong in the other scheme for some other reason, the right salt length for instance.
        "invalid" if !is_jws => None,
        "invalid" => Some(false),
        _ => None,
    };
    let id = test["tcId"].as_u64().context("a vector without number")?;
    Ok(Case { id, text: base64url(&test["msg"])?, signature: base64url(&test[signature])?, good })
}

fn ec_key(key: &Value) -> Result<Jwk> {
    let point = hex(&key["uncompressed"])?;
    let coordinates = point.get(1..).context("a point without coordinates")?;
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Ok(Jwk {
        kty: "EC".to_owned(),
        crv: Some(if x.len() == 32 { "P-256" } else { "P-384" }.to_owned()),
        x: Some(URL_SAFE_NO_PAD.encode(x)),
        y: Some(URL_SAFE_NO_PAD.encode(y)),
        ..Jwk::default()
    })
}

fn okp_key(key: &Value) -> Result<Jwk> {
    let (kty, crv) = ("OKP".to_owned(), Some("Ed25519".to_owned()));
    Ok(Jwk { kty, crv, x: Some(base64url(&key["pk"])?), ..Jwk::default() })
}

fn rsa_key(key: &Value) -> Result<Jwk> {
    // The vectors write numbers as ASN.1 does, JWK without the zero in front.
    let number = |name: &str| -> Result<_> {
        let octets = hex(&key[name])?;
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        Ok(octets.get(zeros..).map(|rest| URL_SAFE_NO_PAD.encode(rest)))
    };
    Ok(Jwk { kty: "RSA".to_owned(), n: number("modulus")?, e: number("publicExponent")?, ..Jwk::default() })
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name].as_array().with_context(|| format!("no list {name}"))
}

fn base64url(text: &Value) -> Result<String> {
    hex(text).map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

fn hex(text: &Value) -> Result<Vec<u8>> {
    let digits = text.as_str().context("no hexadecimal text")?.as_bytes();
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    digits.chunks(2).map(byte).collect()
}
