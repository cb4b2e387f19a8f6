//! Another issuer, whose tokens say whose they are, and perhaps in which session: the service has not made them, and can
//! only tell what has become of that session and of its user's.

use anyhow::{Result, anyhow};
use secrecy::SecretString;
use session_gate_protocol::{AllowReason, Audience, Claims, DenyReason, JwkSet, SessionId, TokenId, UnixSeconds};
use store_sidecar::{
    keys::{Algorithm, KeyRing, KeySource, Signing},
    rng::{NoRandomness, Random},
};

use crate::{decision::Decision, demands::Demand, numbers::SessionNumber};

/// What it is called.
pub const ISSUER: &str = "https://login.example";
/// How long its tokens are good, in seconds, if no shorter.
pub const LIFETIME: u64 = 3_600;
/// How far its clock may be from the workers', in seconds.
pub const LEEWAY: u64 = 30;

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 8] = [
    ("foreign tokens", "admitted"),
    ("foreign tokens", "admitted by their session"),
    ("foreign tokens", "admitted when they are over, within the leeway"),
    ("foreign tokens", "admitted, dated ahead"),
    ("foreign tokens", "cut off"),
    ("foreign tokens", "refused without a session"),
    ("foreign tokens", "refused without an answer"),
    ("foreign tokens", "refused with the session that they name"),
];

/// What such a token says of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sid {
    /// Nothing: any of its user's will do.
    Absent,
    /// That one.
    Named(SessionNumber),
    /// One that there has never been.
    Unknown,
}

/// What is signed.
#[derive(Debug)]
pub struct Draft {
    /// Whose it is.
    pub user: String,
    /// The session that it names.
    pub session: Option<SessionId>,
    /// What it permits.
    pub scope: &'static str,
    /// When it is issued, and good from then on.
    pub issued: UnixSeconds,
    /// For how long, in seconds.
    pub lifetime: u64,
    /// What its id is made from.
    pub random: [u8; 16],
}

/// Its keys come as they are.
struct Nothing;

impl Random for Nothing {
    fn fill(&self, _bytes: &mut [u8]) -> Result<(), NoRandomness> {
        Err(NoRandomness)
    }
}

fn keys() -> Result<KeyRing> {
    let secret = SecretString::from("another issuer's secret, for a simulation and for nothing else");
    let source = KeySource { signing: Signing::Secret { secret, algorithm: Algorithm::Hs256 }, previous_secret: None };
    source.load(&Nothing).map_err(|problems| anyhow!("the keys cannot be used: {problems:?}"))
}

/// Its keys, for whoever verifies its tokens.
///
/// # Errors
/// Where they cannot be made.
pub fn jwks() -> Result<JwkSet> {
    Ok(keys()?.verification_keys())
}

/// A token of its own, and when it expires.
///
/// # Errors
/// Where it cannot be signed.
pub fn token(draft: Draft) -> Result<(String, UnixSeconds)> {
    let Draft { user, session, scope, issued, lifetime, random } = draft;
    let expires = UnixSeconds(issued.0 + lifetime);
    let claims = Claims {
        iss: ISSUER.to_owned(),
        sub: user.parse()?,
        aud: Audience::One("simulation".to_owned()),
        exp: expires,
        nbf: issued,
        iat: issued,
        jti: TokenId::new(&random),
        sid: session,
        generation: 0,
        session_exp: None,
        scope: scope.to_owned(),
        auth_time: None,
        amr: Vec::new(),
        idle: None,
        pending_2fa: false,
        narrowed: false,
        renewal: None,
        ip_hash: None,
        ua_hash: None,
        metadata: Default::default(),
    };
    Ok((keys()?.mint(&claims)?, expires))
}

/// What has been shown by a decision about such a token.
pub fn exercised(decision: Decision, demand: Option<Demand>) -> Option<&'static str> {
    let needs_session = demand == Some(Demand::Session);
    match decision {
        Decision::Allow(AllowReason::Token) if needs_session => Some("admitted by their session"),
        Decision::Allow(_) => Some("admitted"),
        Decision::Deny(DenyReason::TokenRevoked) => Some("cut off"),
        Decision::Deny(DenyReason::SessionUnknown) => Some("refused without a session"),
        Decision::Deny(DenyReason::StoreUnavailable) if needs_session => Some("refused without an answer"),
        Decision::Deny(DenyReason::SessionTerminated | DenyReason::SessionSuspended) => {
            Some("refused with the session that they name")
        }
        Decision::Deny(_) => None,
    }
}

/// What has been shown of an issuer whose clock is wrong, by a decision about a token that it has issued then and that
/// expires then, while the store's wall shows `now`.
pub fn by_clock(decision: Decision, (issued, expires): (u64, u64), now: u64) -> Option<&'static str> {
    match decision {
        Decision::Allow(AllowReason::Token) if issued > now + 1 => Some("admitted, dated ahead"),
        Decision::Allow(AllowReason::Token) if now > expires + 1 => {
            Some("admitted when they are over, within the leeway")
        }
        _ => None,
    }
}
