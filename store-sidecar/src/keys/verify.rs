//! Verifies tokens that were minted here, to the letter: what this service did not write itself, byte
//! by byte in its one form, is refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use session_gate_protocol::{Audience, Claims, UnixSeconds};
use std::time::Duration;
use thiserror::Error;

use super::{KeyRing, TOKEN_TYP};

/// No token of ours comes near this; what is longer is refused before it is looked at.
pub(super) const MAX_VERIFIED_BYTES: usize = 8192;

/// Claims whose signature has been verified. Made only here. Whether they are in force at a moment is
/// a question of its own: [`VerifiedClaims::in_force`].
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedClaims(Claims);

/// Why a token is none of ours. Callers learn no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The key has another algorithm.
    #[error("the token's algorithm is not its key's")]
    Algorithm,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Somebody else issued it.
    #[error("the token is of another issuer")]
    Issuer,
    /// No such key.
    #[error("the token's key is unknown")]
    KeyUnknown,
    /// It is no JWT in the one form that is written here.
    #[error("the token is malformed")]
    Malformed,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
}

/// The header has exactly these members: `crit`, `jwk`, `jku` and the like do not exist.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

// === impl KeyRing ===

impl KeyRing {
    /// The claims of a token that was minted here for `audience`, expired or not.
    ///
    /// # Errors
    /// [`Refusal`] of everything else.
    pub fn verify(&self, token: &str, issuer: &str, audience: &str) -> Result<VerifiedClaims, Refusal> {
        if token.len() > MAX_VERIFIED_BYTES {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        // The payload's alphabet has no dot, so a fourth part fails to decode.
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Malformed)?;
        if header.typ != TOKEN_TYP {
            return Err(Refusal::Malformed);
        }
        let key = self.key(&header.kid).ok_or(Refusal::KeyUnknown)?;
        if header.alg != key.algorithm().as_str() {
            return Err(Refusal::Algorithm);
        }
        if !key.verifies(signed.as_bytes(), &decode(signature)?) {
            return Err(Refusal::Signature);
        }
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)?;
        if claims.iss != issuer {
            return Err(Refusal::Issuer);
        }
        let ours = match &claims.aud {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        };
        if ours { Ok(VerifiedClaims(claims)) } else { Err(Refusal::Audience) }
    }
}

/// base64url without padding, and only in its one spelling: the engine refuses padding, blanks and
/// bits left over.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

// === impl VerifiedClaims ===

impl VerifiedClaims {
    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.0
    }

    /// Whether they are in force at `now`, for verifiers whose clocks differ by up to `leeway`.
    pub fn in_force(&self, now: UnixSeconds, leeway: Duration) -> bool {
        now < self.0.exp.after(leeway) && self.0.nbf <= now.after(leeway)
    }
}
