//! Opaque tokens of the sidecar's own: only it can read them, so a worker asks about each once. Those that nobody has made
//! are tried, too.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::Result;
use session_gate_protocol::{
    AllowReason, CheckReply, CheckRequest, CheckVerdict, CheckedCredential, DenyReason, OpaqueToken,
};

use crate::{
    clocks::{Millis, WorkerClock},
    decision::Decision,
    numbers::TokenNumber,
    sidecar::{Answer, ApiCall},
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 8] = [
    ("calls", "mint, opaque"),
    ("opaque tokens", "admitted alone"),
    ("opaque tokens", "admitted, said a sidecar"),
    ("opaque tokens", "made up, refused by what was said"),
    ("opaque tokens", "made up, said a sidecar"),
    ("opaque tokens", "refused with their session"),
    ("opaque tokens", "revoked"),
    ("opaque tokens", "unknown: their time is over, or they are lost"),
];

/// For how long a worker may go by it that there is no such token.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What a worker was told of such tokens.
#[derive(Debug, Default)]
pub struct KnownOpaque {
    read: HashSet<TokenNumber>,
    /// Those that it surely remembers.
    held: HashSet<TokenNumber>,
    /// Those that do not exist, and when it was told so.
    unknown: HashMap<String, Millis>,
}

impl KnownOpaque {
    /// It was told what that token says, and may have looked at it.
    pub fn note(&mut self, token: TokenNumber, has_looked: bool) {
        self.read.insert(token);
        self.held.extend(has_looked.then_some(token));
    }

    /// There may be other keys: it forgets all tokens that it has verified.
    pub fn forget(&mut self) {
        self.held.clear();
    }

    /// Whether it was ever told what that token says.
    pub fn has_read(&self, token: TokenNumber) -> bool {
        self.read.contains(&token)
    }

    /// Whether it still knows.
    pub fn holds(&self, token: TokenNumber) -> bool {
        self.held.contains(&token)
    }

    /// It was told that there is no such token: what it has read of it before is forgotten.
    pub fn note_unknown(&mut self, token: Option<TokenNumber>, text: String, now: Millis) {
        token.into_iter().for_each(|token| _ = self.held.remove(&token));
        self.unknown.insert(text, now);
    }

    /// Whether it still goes by that.
    pub fn is_unknown(&self, token: &str, now: Millis, clock: &WorkerClock) -> bool {
        self.unknown.get(token).is_some_and(|told| clock.between(*told, now) < REMEMBERED)
    }
}

/// A token of that user that nobody has made.
///
/// # Errors
/// Where there can be no such user.
pub fn made_up(user: &str, random: &[u8; 32]) -> Result<String> {
    Ok(OpaqueToken::new(&user.parse()?, random).expose().to_owned())
}

/// The token that a worker asks to have read.
pub fn asked_about(call: &ApiCall) -> Option<String> {
    match serde_json::from_slice::<CheckRequest>(&call.body).ok()?.credential {
        CheckedCredential::Opaque { token } => Some(token),
        CheckedCredential::Foreign { .. } | CheckedCredential::Own(_) => None,
    }
}

/// Whether the answer says that there is no such token.
pub fn is_unknown(answer: &Answer) -> bool {
    let reply = serde_json::from_slice::<CheckReply>(&answer.body);
    reply.is_ok_and(|reply| reply.verdict == CheckVerdict::CredentialUnknown)
}

/// What has been shown by a decision about such a token.
pub fn exercised(decision: Decision, asked: Option<bool>) -> Option<&'static str> {
    match decision {
        Decision::Allow(AllowReason::Token) if asked.is_none() => Some("admitted alone"),
        Decision::Allow(AllowReason::Token) => Some("admitted, said a sidecar"),
        Decision::Deny(DenyReason::TokenRevoked) => Some("revoked"),
        Decision::Deny(DenyReason::TokenUnknown) => Some("unknown: their time is over, or they are lost"),
        Decision::Deny(DenyReason::SessionExpired | DenyReason::SessionTerminated | DenyReason::SessionSuspended) => {
            Some("refused with their session")
        }
        Decision::Allow(_) | Decision::Deny(_) => None,
    }
}
