//! From a token's text to [`VerifiedClaims`], the proof that it is good.

use std::{
    cell::{Cell, OnceCell},
    collections::HashMap,
    fmt,
    rc::Rc,
    time::Duration,
};

use serde_json::{Map, Value};
use session_gate_protocol::{Claims, DenyReason, Fingerprint, Scopes, UnixSeconds, UserId};

use crate::{
    feed::Cleared,
    jose::{self, Algorithm, HostCrypto, KeySet, TokenClaims},
};

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
    Check,
    /// Another has: rules of the feed revoke them.
    Feed,
    /// Nothing: they are good until they expire.
    None,
}

/// The claims of a token whose signature, issuer and audience are right; its time is to be checked at
/// each use ([`VerifiedClaims::check_time`]). Only this module makes one. `Debug` shows no more than
/// whom it is about.
#[derive(Clone)]
pub struct VerifiedClaims(Rc<Verified>);

struct Verified {
    issuer: Rc<Issuer>,
    claims: TokenClaims,
    names: Names,
    /// All claims of an opaque token, which cannot be read from its text.
    all: Option<Map<String, Value>>,
    /// All claims, once somebody has asked for one that is not among the others.
    read: OnceCell<Map<String, Value>>,
    cleared: Cell<Cleared>,
}

/// What a token, its session and its user are known by in the feed.
#[derive(Debug)]
pub struct Names {
    /// The user, whoever issued the token.
    pub user: Fingerprint,
    /// The user as the issuer's.
    pub account: Fingerprint,
    /// The session, where it is the sidecar's.
    pub session: Option<Fingerprint>,
    /// The token, where it is the sidecar's.
    pub token: Option<Fingerprint>,
    /// What the issuer calls token, session and user.
    pub claims: Vec<Fingerprint>,
}

/// A token's text. `Debug` hides it.
#[derive(Clone, Copy)]
pub struct TokenText<'a>(pub &'a str);

impl fmt::Debug for TokenText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

impl TokenText<'_> {
    /// What it is known by.
    pub fn fingerprint(self) -> Fingerprint {
        Fingerprint::of_credential(self.0)
    }
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

impl VerifiedClaims {
    fn new(issuer: &Rc<Issuer>, claims: TokenClaims, all: Option<Map<String, Value>>) -> Result<Self, DenyReason> {
        let is_for_us = |audience: &String| issuer.audiences.contains(audience);
        let audience_fits = match &claims.audiences {
            None => issuer.audiences.is_empty(),
            Some(audiences) => audiences.iter().any(is_for_us),
        };
        if !audience_fits {
            return Err(DenyReason::TokenAudienceRefused);
        }
        let names = Names::of(issuer, &claims);
        Ok(Self(Rc::new(Verified {
            issuer: Rc::clone(issuer),
            claims,
            names,
            all,
            read: OnceCell::new(),
            cleared: Cell::default(),
        })))
    }

    /// What it is known by in the feed.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// All of its claims, read anew from its text.
    pub fn all(&self, token: TokenText<'_>) -> Option<Map<String, Value>> {
        self.0.all.clone().or_else(|| jose::parse(token.0).ok()?.payload().ok())
    }

    /// One of its claims. All of them are read the first time.
    pub fn claim(&self, token: TokenText<'_>, name: &str) -> Option<Value> {
        self.0.read.get_or_init(|| self.all(token).unwrap_or_default()).get(name).cloned()
    }

    /// For which rules it is known that none is against it.
    pub fn cleared(&self) -> Cleared {
        self.0.cleared.get()
    }

    /// None of these rules is against it.
    pub fn clear(&self, cleared: Cleared) {
        self.0.cleared.set(cleared);
    }

    /// Checks `exp` and `nbf`: a token is good from the second of its `nbf` to just before that of
    /// its `exp`, each with the issuer's leeway.
    ///
    /// # Errors
    /// `TokenExpired`, `TokenNotYetValid`.
    pub fn check_time(&self, now: UnixSeconds) -> Result<(), DenyReason> {
        let leeway = self.0.issuer.leeway.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        let now = now.0 as f64;
        if now >= self.0.claims.expires_at + leeway {
            return Err(DenyReason::TokenExpired);
        }
        if self.0.claims.not_before.is_some_and(|start| now < start - leeway) {
            return Err(DenyReason::TokenNotYetValid);
        }
        Ok(())
    }

    /// Who issued it.
    pub fn issuer(&self) -> &str {
        &self.0.issuer.name
    }

    /// Whose token it is.
    pub fn subject(&self) -> &UserId {
        &self.0.claims.subject
    }

    /// The session that it names.
    pub fn session_id(&self) -> Option<&str> {
        self.0.claims.session_id.as_deref()
    }

    /// Its id.
    pub fn token_id(&self) -> Option<&str> {
        self.0.claims.token_id.as_deref()
    }

    /// When it was issued, in seconds since 1970.
    pub fn issued_at(&self) -> Option<f64> {
        self.0.claims.issued_at
    }

    /// After how long without activity its session ends, if ever.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.0.claims.idle_timeout
    }

    /// Whether its session waited for the second factor when it was minted.
    pub fn is_pending_2fa(&self) -> bool {
        self.0.claims.pending_2fa
    }

    /// Whether it never permits more than it says.
    pub fn is_narrowed(&self) -> bool {
        self.0.claims.narrowed
    }

    /// What it says that it permits.
    pub fn scopes(&self) -> &Scopes {
        &self.0.claims.scopes
    }

    /// What takes it back.
    pub fn revocation(&self) -> Revocation {
        self.0.issuer.revocation
    }
}

impl Names {
    fn of(issuer: &Issuer, claims: &TokenClaims) -> Self {
        let is_ours = issuer.revocation == Revocation::Check;
        let claim = |name, value| Fingerprint::of_claim(&issuer.name, name, value);
        let account = claim("sub", claims.subject.as_str());
        let token = claims.token_id.as_deref();
        let session = claims.session_id.as_deref();
        let named = [token.map(|id| claim("jti", id)), session.map(|id| claim("sid", id)), Some(account)];
        Self {
            user: Fingerprint::of_user(claims.subject.as_str()),
            account,
            session: session.filter(|_| is_ours).map(Fingerprint::of_session),
            token: token.filter(|_| is_ours).map(Fingerprint::of_token),
            claims: named.into_iter().flatten().collect(),
        }
    }
}

impl fmt::Debug for VerifiedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedClaims")
            .field("issuer", &self.0.issuer.name)
            .field("subject", self.subject())
            .finish_non_exhaustive()
    }
}

/// The keys that the sidecar gave, judged for each issuer that uses them.
#[derive(Debug)]
pub struct FetchedKeys {
    by_issuer: HashMap<String, Rc<KeySet>>,
}

impl FetchedKeys {
    /// Reads the sidecar's reply. An issuer for which it has no good key keeps its `previous` ones, so
    /// that one never blocks the others. `None` where it is no key set, or has no key for anybody.
    pub fn read(body: &[u8], issuers: &Issuers, previous: Option<&Self>) -> Option<Self> {
        let set = jose::parse_fetched(body)?;
        let mut by_issuer = previous.map(|keys| keys.by_issuer.clone()).unwrap_or_default();
        let mut found = false;
        for issuer in issuers.0.values().filter(|issuer| matches!(issuer.keys, KeySource::Sidecar)) {
            if let Some(keys) = KeySet::lenient(&set, &issuer.algorithms) {
                by_issuer.insert(issuer.name.clone(), Rc::new(keys));
                found = true;
            }
        }
        found.then_some(Self { by_issuer })
    }

    fn of(&self, issuer: &Issuer) -> Option<&KeySet> {
        self.by_issuer.get(&issuer.name).map(Rc::as_ref)
    }
}
