//! Who may issue tokens: a token is verified by what its issuer's must be like.

use std::{collections::HashMap, rc::Rc};

use serde_json::Value;
use session_gate_jose::{self as jose, HostCrypto, TokenClaims};
use session_gate_protocol::{Claims, DenyReason};

use super::{
    claim_headers::ClaimHeaders,
    fetched_keys::FetchedKeys,
    issuer::{Issuer, KeySource},
    verified::VerifiedClaims,
};

/// Who may issue tokens, found by name in one step however many they are.
#[derive(Debug, Default)]
pub struct Issuers {
    by_name: HashMap<String, Rc<Issuer>>,
    /// Which claims of their tokens upstreams are told.
    told: ClaimHeaders,
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
    /// The issuers, by name, and which claims of their tokens upstreams are told.
    pub fn new(issuers: impl IntoIterator<Item = Issuer>, told: ClaimHeaders) -> Self {
        let by_name = issuers.into_iter().map(|issuer| (issuer.name.clone(), Rc::new(issuer))).collect();
        Self { by_name, told }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.by_name.values().map(Rc::as_ref)
    }

    /// Whether opaque tokens of some issuer are accepted.
    pub fn accept_opaque(&self) -> bool {
        self.by_name.values().any(|issuer| issuer.opaque)
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
        let issuer = self.by_name.get(jose::issuer(&payload)?).ok_or(DenyReason::TokenIssuerUnknown)?;
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
        Ok(VerifiedClaims::new(issuer, claims, self.told.read(&payload), None)?)
    }

    /// What the sidecar has said of an opaque token: as good as a verified JWT.
    ///
    /// # Errors
    /// `TokenIssuerUnknown` where no issuer's opaque tokens are accepted that is named so, and as for a
    /// JWT with such claims.
    pub fn accept(&self, said: &Claims) -> Result<VerifiedClaims, DenyReason> {
        let issuer =
            self.by_name.get(&said.iss).filter(|issuer| issuer.opaque).ok_or(DenyReason::TokenIssuerUnknown)?;
        let Ok(Value::Object(payload)) = serde_json::to_value(said) else { return Err(DenyReason::TokenMalformed) };
        let claims = TokenClaims::read(&payload, "scope")?;
        VerifiedClaims::new(issuer, claims, self.told.read(&payload), Some(payload))
    }
}
