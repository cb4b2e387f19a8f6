//! Who may issue tokens, and what their tokens must be like.

use std::{collections::HashMap, rc::Rc, time::Duration};

use serde_json::Value;
use session_gate_jose::{self as jose, Algorithm, HostCrypto, KeySet, TokenClaims};
use session_gate_protocol::{Claims, DenyReason};

use super::{FetchedKeys, VerifiedClaims};

/// Who may issue tokens, found by name in one step however many they are.
#[derive(Debug, Default)]
pub struct Issuers(HashMap<String, Rc<Issuer>>);

/// An issuer, and what its tokens must be like.
#[derive(Debug)]
pub struct Issuer {
    /// The `iss` of its tokens, compared exactly.
    pub name: String,
    /// Who we are to it: a token's `aud` must have one of these. Empty: tokens must have no `aud`
    /// (RFC 7519, section 4.1.3).
    pub audiences: Vec<String>,
    /// Algorithms that its keys may be for; empty: each key's own.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// The claim with the scopes.
    pub scope_claim: String,
    /// What takes its tokens back.
    pub revocation: Revocation,
    /// Whether its opaque tokens are accepted, too.
    pub opaque: bool,
    /// Whether a token that is bound to a key (`cnf`: DPoP, RFC 9449; mTLS, RFC 8705) is accepted from whoever bears it.
    pub accept_bound: bool,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// The configuration.
    Inline(KeySet),
    /// The sidecar.
    Sidecar,
}

/// What takes an issuer's tokens back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The sidecar has minted them: they end with their session, and by their own id.
    Sessions,
    /// Another has: rules of the feed revoke them.
    Feed,
    /// Nothing: they are good until they expire.
    None,
}

/// Why a token gave no claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is refused.
    Deny(DenyReason),
    /// The keys that are here do not tell; the sidecar may have newer ones.
    KeyMissing,
}

impl From<DenyReason> for Refusal {
    fn from(reason: DenyReason) -> Self {
        Self::Deny(reason)
    }
}

impl Issuers {
    /// The issuers, by name.
    pub fn new(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        Self(issuers.into_iter().map(|issuer| (issuer.name.clone(), Rc::new(issuer))).collect())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Issuer>> {
        self.0.values()
    }

    /// Whether some issuer's keys come from the sidecar.
    pub fn need_sidecar_keys(&self) -> bool {
        self.0.values().any(|issuer| matches!(issuer.keys, KeySource::Sidecar))
    }

    /// Whether opaque tokens of some issuer are accepted.
    pub fn accept_opaque(&self) -> bool {
        self.0.values().any(|issuer| issuer.opaque)
    }

    /// Checks everything about a token that does not change with time; time is checked with
    /// [`VerifiedClaims::check_time`] at every use. `fetched` are the sidecar's keys, once they are here.
    ///
    /// # Errors
    /// [`Refusal::KeyMissing`] where newer keys could help, else the reason.
    pub fn verify(
        &self,
        token: &str,
        fetched: Option<&FetchedKeys>,
        host: &dyn HostCrypto,
    ) -> Result<VerifiedClaims, Refusal> {
        let unverified = jose::parse(token)?;
        let payload = unverified.payload()?;
        let issuer = self.0.get(jose::issuer(&payload)?).ok_or(DenyReason::TokenIssuerUnknown)?;
        let keys = match &issuer.keys {
            KeySource::Inline(keys) => keys,
            KeySource::Sidecar => fetched.and_then(|keys| keys.of(issuer)).ok_or(Refusal::KeyMissing)?,
        };
        keys.verify(&unverified, host).map_err(|reason| match (reason, &issuer.keys) {
            (DenyReason::TokenKeyUnknown, KeySource::Sidecar) => Refusal::KeyMissing,
            _ => Refusal::Deny(reason),
        })?;
        // Everything below is believed: the issuer has signed it.
        unverified.check_replicated(&payload)?;
        let claims = TokenClaims::read(&payload, &issuer.scope_claim)?;
        Ok(VerifiedClaims::new(issuer, claims, None)?)
    }

    /// What the sidecar has said of an opaque token: as good as a verified JWT.
    ///
    /// # Errors
    /// `TokenIssuerUnknown` where no issuer's opaque tokens are accepted that is named so, and as for a
    /// JWT with such claims.
    pub fn accept(&self, said: &Claims) -> Result<VerifiedClaims, DenyReason> {
        let issuer = self.0.get(&said.iss).filter(|issuer| issuer.opaque).ok_or(DenyReason::TokenIssuerUnknown)?;
        let Ok(Value::Object(payload)) = serde_json::to_value(said) else { return Err(DenyReason::TokenMalformed) };
        let claims = TokenClaims::read(&payload, "scope")?;
        VerifiedClaims::new(issuer, claims, Some(payload))
    }
}
