//! A token that was found good.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    time::Duration,
};

use serde_json::{Map, Value};
use session_gate_jose::{self as jose, OwnClaims, TokenClaims};
use session_gate_protocol::{DenyReason, Fingerprint, Scopes, SessionId, SlotTag, TokenId, UnixSeconds, UserId};
use session_gate_revocation::{RulesGeneration, SessionNames, TokenNames};

use super::{
    claim_headers::ClaimValue,
    issuer::{Issuer, Revocation},
};
use crate::http::header_value::encoded;

/// The claims of a token whose signature, issuer and audience are right; its time is to be checked at
/// each use ([`VerifiedClaims::check_time`]). Only this module makes one. `Debug` shows no more than
/// whom it is about.
#[derive(Clone)]
pub struct VerifiedClaims(Rc<Verified>);

struct Verified {
    issuer: Rc<Issuer>,
    claims: TokenClaims,
    names: TokenNames,
    session: NamedSession,
    /// What upstreams are told of its claims.
    told: Box<[ClaimValue]>,
    encoded: EncodedIds,
    /// All claims of an opaque token, which cannot be read from its text.
    all: Option<Map<String, Value>>,
    /// Claims that somebody has asked for that are not among the others: limits name a few.
    read: RefCell<BTreeMap<String, Option<Value>>>,
    cleared: Cell<Option<RulesGeneration>>,
}

/// The session of the sidecar's that a token names.
#[derive(Clone, Debug)]
enum NamedSession {
    /// None.
    None,
    /// As whose it was minted by the sidecar itself.
    Own(SessionId, SessionNames),
    /// Another issuer's token names one of ours.
    Foreign(SessionId, Fingerprint),
}

/// What stands in headers for what cannot stand there as it is.
#[derive(Default)]
struct EncodedIds {
    subject: Option<Box<str>>,
    issuer: Option<Box<str>>,
    token_id: Option<Box<str>>,
}

impl EncodedIds {
    fn of(issuer: &Issuer, claims: &TokenClaims) -> Self {
        Self {
            subject: encoded(claims.subject.as_str()),
            issuer: encoded(&issuer.name),
            token_id: claims.token_id.as_deref().and_then(encoded),
        }
    }

    fn bytes(&self) -> usize {
        let Self { subject, issuer, token_id } = self;
        [subject, issuer, token_id].into_iter().flatten().map(|id| id.len()).sum()
    }
}

/// The longest value of a claim that is kept.
const MAX_READ: usize = 256;

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

impl VerifiedClaims {
    pub(super) fn new(
        issuer: &Rc<Issuer>,
        mut claims: TokenClaims,
        told: Box<[ClaimValue]>,
        all: Option<Map<String, Value>>,
    ) -> Result<Self, DenyReason> {
        let is_for_us = |audience: &String| issuer.audiences.contains(audience);
        let audience_fits = match &claims.audiences {
            None => issuer.audiences.is_empty(),
            Some(audiences) => audiences.iter().any(is_for_us),
        };
        if !audience_fits {
            return Err(DenyReason::TokenAudienceRefused);
        }
        if claims.is_bound && !issuer.accept_bound {
            // Its proof is not looked at here: whoever has stolen it has none.
            return Err(DenyReason::TokenClaimUnusable);
        }
        let is_ours = issuer.revocation == Revocation::Sessions;
        let Named { names, session } = name(issuer, &claims)?;
        let encoded = EncodedIds::of(issuer, &claims);
        let own = if is_ours { std::mem::take(&mut claims.own) } else { OwnClaims::default() };
        Ok(Self(Rc::new(Verified {
            issuer: Rc::clone(issuer),
            claims: TokenClaims { own, ..claims },
            names,
            session,
            told,
            encoded,
            all,
            read: RefCell::default(),
            cleared: Cell::new(None),
        })))
    }

    /// What it is known by in the feed.
    pub fn names(&self) -> &TokenNames {
        &self.0.names
    }

    /// The session that it was minted for by the sidecar.
    pub fn own_session(&self) -> Option<(&SessionId, SessionNames)> {
        match &self.0.session {
            NamedSession::Own(id, names) => Some((id, *names)),
            NamedSession::None | NamedSession::Foreign(..) => None,
        }
    }

    /// What the session of the sidecar's is known by that it names, whoever has issued it.
    pub fn named_session(&self) -> Option<(&SessionId, Fingerprint)> {
        match &self.0.session {
            NamedSession::None => None,
            NamedSession::Own(id, names) => Some((id, names.session)),
            NamedSession::Foreign(id, name) => Some((id, *name)),
        }
    }

    /// Whether it is served in a session only: the route asks for one, or the token names one of ours, by which it is then
    /// judged. Of an id of another form, its issuer's own, nobody here knows anything.
    pub fn need_session(&self, does_route: bool) -> bool {
        does_route || self.named_session().is_some()
    }

    /// All of its claims, read anew from its text.
    pub fn all(&self, token: TokenText<'_>) -> Option<Map<String, Value>> {
        self.0.all.clone().or_else(|| jose::parse(token.0).ok()?.payload().ok())
    }

    /// One of its claims. It is read from the token's text the first time, and one that is large or no scalar each time.
    pub fn claim(&self, token: TokenText<'_>, name: &str) -> Option<Value> {
        if let Some(value) = self.0.read.borrow().get(name) {
            return value.clone();
        }
        let value = self.all(token).and_then(|mut all| all.remove(name));
        let is_small = match &value {
            None | Some(Value::Null | Value::Bool(_) | Value::Number(_)) => true,
            Some(Value::String(text)) => text.len() <= MAX_READ,
            Some(Value::Array(_) | Value::Object(_)) => false,
        };
        if is_small {
            self.0.read.borrow_mut().insert(name.to_owned(), value.clone());
        }
        value
    }

    /// Whose token it is, as headers say it.
    pub fn subject_in_header(&self) -> &str {
        self.0.encoded.subject.as_deref().unwrap_or(self.subject().as_str())
    }

    /// Who issued it, as headers say it.
    pub fn issuer_in_header(&self) -> &str {
        self.0.encoded.issuer.as_deref().unwrap_or(self.issuer())
    }

    /// Its id, as headers say it.
    pub fn token_id_in_header(&self) -> Option<&str> {
        self.0.encoded.token_id.as_deref().or(self.token_id())
    }

    /// What upstreams are told of its claims: headers' names and values.
    pub fn told(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.told.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many bytes it holds beside its text, at most: a JSON value takes several times its text in memory, and a short
    /// text in a list or a set more than itself.
    pub(super) fn held_bytes(&self) -> usize {
        const ELEMENT: usize = 64;
        /// The first node of a set and of a map, and the buckets of the allocator.
        const FIRST_NODES: usize = 1024;
        let TokenClaims { subject, audiences, token_id, session_id, scopes, .. } = &self.0.claims;
        let ids = [token_id, session_id].into_iter().flatten().map(String::len).sum::<usize>();
        let audiences = audiences.iter().flatten().map(|audience| ELEMENT + audience.len()).sum::<usize>();
        let scopes = scopes.iter().map(|scope| ELEMENT + scope.as_str().len()).sum::<usize>();
        let of_member = |(name, value): (&String, &Value)| ELEMENT + name.len() + 4 * value.to_string().len();
        let all = self.0.all.iter().flatten().map(of_member).sum::<usize>();
        let told = self.0.told.iter().map(|(_, value)| ELEMENT + value.len()).sum::<usize>();
        let ids = ids + self.0.encoded.bytes();
        size_of::<Verified>() + FIRST_NODES + MAX_READ + subject.as_str().len() + ids + audiences + scopes + told + all
    }

    /// For which rules it is known that none is against it.
    pub fn cleared(&self) -> Option<RulesGeneration> {
        self.0.cleared.get()
    }

    /// None of these rules is against it.
    pub fn clear(&self, cleared: RulesGeneration) {
        self.0.cleared.set(Some(cleared));
    }

    /// Checks `exp` and `nbf`: a token is good from the second of its `nbf` to just before that of
    /// its `exp`, each with the issuer's leeway.
    ///
    /// # Errors
    /// `TokenExpired`, `TokenNotYetValid`.
    pub fn check_time(&self, now: UnixSeconds) -> Result<(), DenyReason> {
        let leeway = self.0.issuer.leeway.as_secs_f64();
        let now = now.as_f64();
        if now >= self.expires_at() {
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
        self.0.claims.own.idle_timeout
    }

    /// When its session ends whatever happens, as far as it says.
    pub fn session_ends(&self) -> Option<UnixSeconds> {
        self.0.claims.own.session_ends
    }

    /// Its `exp`, in seconds since 1970.
    pub fn exp(&self) -> f64 {
        self.0.claims.expires_at
    }

    /// When it expires, in seconds since 1970, its issuer's leeway included.
    pub fn expires_at(&self) -> f64 {
        self.0.claims.expires_at + self.0.issuer.leeway.as_secs_f64()
    }

    /// Whether its session waited for the second factor when it was minted.
    pub fn is_pending_2fa(&self) -> bool {
        self.0.claims.own.pending_2fa
    }

    /// Whether it never permits more than it says.
    pub fn is_narrowed(&self) -> bool {
        self.0.claims.own.narrowed
    }

    /// Whether another token may take its place.
    pub fn is_renewable(&self) -> bool {
        self.0.claims.own.renewal.is_some()
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

impl fmt::Debug for VerifiedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedClaims")
            .field("issuer", &self.0.issuer.name)
            .field("subject", self.subject())
            .finish_non_exhaustive()
    }
}

struct Named {
    names: TokenNames,
    session: NamedSession,
}

/// What a token and its session are known by. The sidecar's own tokens have ids of its own making, or something else
/// than the sidecar has signed them.
fn name(issuer: &Issuer, claims: &TokenClaims) -> Result<Named, DenyReason> {
    let is_ours = issuer.revocation == Revocation::Sessions;
    let subject = claims.subject.as_str();
    let (sid, jti) = (claims.session_id.as_deref(), claims.token_id.as_deref());
    let names = TokenNames::of(&issuer.name, subject, sid, jti, is_ours);
    let session = sid.map(str::parse::<SessionId>);
    let session = match session {
        Some(Ok(id)) if is_ours => {
            let names = SessionNames::of(&id, subject, claims.own.generation);
            NamedSession::Own(id, names)
        }
        // The sidecar looks for the user's own sessions only.
        Some(Ok(id)) if issuer.revocation == Revocation::Feed && id.tag() == SlotTag::of_user(&claims.subject) => {
            let name = Fingerprint::of_session(id.as_str());
            NamedSession::Foreign(id, name)
        }
        Some(Err(_)) if is_ours => return Err(DenyReason::TokenClaimUnusable),
        _ => NamedSession::None,
    };
    if is_ours && jti.is_none_or(|id| id.parse::<TokenId>().is_err()) {
        return Err(DenyReason::TokenClaimUnusable);
    }
    Ok(Named { names, session })
}
