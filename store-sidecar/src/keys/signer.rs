//! The private part of a key: signs tokens with jwt-simple.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike as _, ECDSAP384KeyPairLike as _, ES256KeyPair, ES384KeyPair, Ed25519KeyPair,
    EdDSAKeyPairLike as _, HS256Key, HS384Key, HS512Key, HeaderOptions, JWTClaims, MACLike as _, PS256KeyPair,
    PS384KeyPair, PS512KeyPair, RS256KeyPair, RS384KeyPair, RS512KeyPair, RSAKeyPairLike as _,
};
use serde::Serialize;
use session_gate_protocol::{Jwk, KeyId};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{algorithm::Algorithm, invalid::InvalidKey};

/// The `typ` of every token's header: an access token (RFC 9068), and so nothing else (RFC 8725,
/// section 3.11).
pub(super) const TOKEN_TYP: &str = "at+jwt";

/// A private key, bound to its algorithm and its id.
pub(super) enum Signer {
    EdDsa(Ed25519KeyPair),
    Es256(ES256KeyPair),
    Es384(ES384KeyPair),
    Hs256(HS256Key),
    Hs384(HS384Key),
    Hs512(HS512Key),
    Ps256(PS256KeyPair),
    Ps384(PS384KeyPair),
    Ps512(PS512KeyPair),
    Rs256(RS256KeyPair),
    Rs384(RS384KeyPair),
    Rs512(RS512KeyPair),
}

/// The token could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the token could not be signed")]
pub struct SigningFailed;

/// A signer, its id and its JWK.
pub(super) struct Loaded {
    pub(super) signer: Signer,
    pub(super) id: KeyId,
    pub(super) jwk: Jwk,
}

impl Signer {
    /// The token of these claims: `{"alg", "kid", "typ"}` and nothing else in its header.
    pub(super) fn sign(&self, claims: impl Serialize) -> Result<String, SigningFailed> {
        let claims = alone(claims);
        let options = HeaderOptions { content_type: None, signature_type: Some(TOKEN_TYP.to_owned()) };
        match self {
            Self::EdDsa(key) => key.sign_with_options(claims, &options),
            Self::Es256(key) => key.sign_with_options(claims, &options),
            Self::Es384(key) => key.sign_with_options(claims, &options),
            Self::Hs256(key) => key.authenticate_with_options(claims, &options),
            Self::Hs384(key) => key.authenticate_with_options(claims, &options),
            Self::Hs512(key) => key.authenticate_with_options(claims, &options),
            Self::Ps256(key) => key.sign_with_options(claims, &options),
            Self::Ps384(key) => key.sign_with_options(claims, &options),
            Self::Ps512(key) => key.sign_with_options(claims, &options),
            Self::Rs256(key) => key.sign_with_options(claims, &options),
            Self::Rs384(key) => key.sign_with_options(claims, &options),
            Self::Rs512(key) => key.sign_with_options(claims, &options),
        }
        .map_err(|_| SigningFailed)
    }
}

/// Our claims are complete: the library adds none of its own.
fn alone<C>(custom: C) -> JWTClaims<C> {
    JWTClaims {
        issued_at: None,
        expires_at: None,
        invalid_before: None,
        issuer: None,
        subject: None,
        audiences: None,
        jwt_id: None,
        nonce: None,
        custom,
    }
}

/// A key pair from its DER form, PKCS#8 or, for RSA, PKCS#1. Its id is its thumbprint (RFC 7638).
pub(super) fn key_pair(der: &[u8], algorithm: Algorithm) -> Result<Loaded, jwt_simple::Error> {
    macro_rules! load {
        ($variant:ident, $pair:ident) => {{
            let pair = $pair::from_der(der)?;
            let id = pair.jwk_thumbprint();
            let jwk = pair.public_key().to_jwk();
            (Signer::$variant(pair.with_key_id(&id)), id, jwk)
        }};
    }
    let (signer, id, jwk) = match algorithm {
        Algorithm::EdDsa => load!(EdDsa, Ed25519KeyPair),
        Algorithm::Es256 => load!(Es256, ES256KeyPair),
        Algorithm::Es384 => load!(Es384, ES384KeyPair),
        Algorithm::Ps256 => load!(Ps256, PS256KeyPair),
        Algorithm::Ps384 => load!(Ps384, PS384KeyPair),
        Algorithm::Ps512 => load!(Ps512, PS512KeyPair),
        Algorithm::Rs256 => load!(Rs256, RS256KeyPair),
        Algorithm::Rs384 => load!(Rs384, RS384KeyPair),
        Algorithm::Rs512 => load!(Rs512, RS512KeyPair),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            return Err(jwt_simple::JWTError::InvalidKeyPair.into());
        }
    };
    Ok(Loaded {
        signer,
        id: id.parse().map_err(|_| jwt_simple::JWTError::InvalidKeyPair)?,
        jwk: serde_json::from_str(&jwk)?,
    })
}

/// A shared secret. Its id tells as little of the secret as a token signed with it does: an HMAC under
/// the secret, not its thumbprint, which anybody could look up in a table (RFC 7638, section 7).
pub(super) fn secret(secret: &[u8], algorithm: Algorithm) -> Result<Loaded, InvalidKey> {
    let id = secret_id(secret).ok_or_else(|| InvalidKey("cannot be used".to_owned()))?;
    let signer = match algorithm {
        Algorithm::Hs384 => Signer::Hs384(HS384Key::from_bytes(secret).with_key_id(id.as_str())),
        Algorithm::Hs512 => Signer::Hs512(HS512Key::from_bytes(secret).with_key_id(id.as_str())),
        _ => Signer::Hs256(HS256Key::from_bytes(secret).with_key_id(id.as_str())),
    };
    let jwk = Jwk { kty: "oct".to_owned(), k: Some(URL_SAFE_NO_PAD.encode(secret)), ..Jwk::default() };
    Ok(Loaded { signer, id, jwk })
}

fn secret_id(secret: &[u8]) -> Option<KeyId> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).ok()?.chain_update(b"session-gate kid 1");
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()).parse().ok()
}

/// The id that a shared secret had up to 0.1: its thumbprint (RFC 7638). Tokens with it are still
/// accepted; none is made.
pub(super) fn former_secret_id(secret: &[u8]) -> Option<KeyId> {
    let json = format!(r#"{{"k":"{}","kty":"oct"}}"#, URL_SAFE_NO_PAD.encode(secret));
    URL_SAFE_NO_PAD.encode(Sha256::digest(json)).parse().ok()
}
