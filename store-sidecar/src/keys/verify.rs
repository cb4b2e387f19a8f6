//! Verifies tokens that were minted here, with the strict verifier that workers use: what it accepts is
//! accepted everywhere, and nothing else. The one file of the sidecar that knows that verifier.

use std::time::Duration;

use serde_json::Value;
use session_gate_jose::{self as jose, KeySet, NoHostCrypto};
use session_gate_protocol::{Audience, Claims, DenyReason, JwkSet, UnixSeconds};

use super::{invalid::InvalidKey, key::Key};

/// No token of ours comes near this; what is longer is refused before it is looked at.
pub(super) const MAX_VERIFIED_BYTES: usize = 8192;

/// The keys, ready to verify with.
#[derive(Debug)]
pub(super) struct Verifier(KeySet);

/// Claims whose signature has been verified. Made only here. Whether they are in force at a moment is
/// a question of its own: [`VerifiedClaims::in_force`].
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedClaims(Claims);

// === impl Verifier ===

impl Verifier {
    /// A verifier of these keys. Each is tried once: what one of them signs, this accepts.
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a Key> + Clone) -> Result<Self, InvalidKey> {
        let unusable = |why: String| InvalidKey(format!("cannot be verified with: {why}"));
        let set = JwkSet { keys: keys.clone().flat_map(Key::verification_jwks).collect() };
        let verifier = KeySet::strict(&set, &[]).map(Self).map_err(|problems| {
            unusable(problems.into_iter().map(|(_, problem)| problem.to_string()).collect::<Vec<_>>().join(", "))
        })?;
        for key in keys {
            let tried = jose::parse(key.sample()).and_then(|sample| verifier.0.verify(&sample, &NoHostCrypto));
            tried.map_err(|reason| unusable(reason.as_str().to_owned()))?;
        }
        Ok(verifier)
    }

    /// The claims of a token that was minted here by `issuer` for `audience`, expired or not.
    pub(super) fn verify(&self, token: &str, issuer: &str, audience: &str) -> Result<VerifiedClaims, DenyReason> {
        if token.len() > MAX_VERIFIED_BYTES {
            return Err(DenyReason::TokenMalformed);
        }
        let unverified = jose::parse(token)?;
        let payload = unverified.payload()?;
        if jose::issuer(&payload)? != issuer {
            return Err(DenyReason::TokenIssuerUnknown);
        }
        self.0.verify(&unverified, &NoHostCrypto)?;
        // Everything below is believed: it is signed.
        unverified.check_replicated(&payload)?;
        let claims: Claims =
            serde_json::from_value(Value::Object(payload)).map_err(|_| DenyReason::TokenClaimUnusable)?;
        let ours = match &claims.aud {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        };
        if ours { Ok(VerifiedClaims(claims)) } else { Err(DenyReason::TokenAudienceRefused) }
    }
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
