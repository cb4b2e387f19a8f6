//! What the feed has said, without a word of how old that is.

use session_gate_protocol::{
    CheckedSession, CounterId, DenyReason, EndedList, FeedChange, FeedEntry, Fingerprint, Scopes, UnixSeconds,
};

use super::{Fingerprints, expiring::Expiring, rules::Rules};
use crate::{
    host::Visitor,
    token::{TokenText, VerifiedClaims},
};

/// Everything that is known from the feed. Nothing in it is forgotten before its time.
#[derive(Debug, Default)]
pub struct Knowledge {
    ended: Fingerprints,
    statuses: Expiring<Status>,
    scopes: Expiring<SessionScopes>,
    rules: Rules,
}

/// What was told last of whether a session is suspended.
#[derive(Debug)]
struct Status {
    version: u64,
    is_suspended: bool,
}

/// What the tokens of a session permit.
#[derive(Debug)]
struct SessionScopes {
    version: u64,
    scopes: Option<Scopes>,
}

impl Knowledge {
    /// Sessions and tokens have ended.
    pub fn end(&mut self, ended: &EndedList, now: UnixSeconds) {
        for (fingerprint, until) in &ended.0 {
            self.statuses.remove(*fingerprint);
            self.scopes.remove(*fingerprint);
            self.ended.insert(*fingerprint, *until, now);
        }
    }

    /// A new epoch has begun: a store that was set back may count versions anew.
    pub fn forget_versions(&mut self) {
        self.statuses.values_mut().for_each(|status| status.version = 0);
        self.scopes.values_mut().for_each(|scopes| scopes.version = 0);
    }

    /// Something has changed. Answers whether it counts: what was overtaken before it was told does not.
    pub fn apply(&mut self, entry: FeedEntry, now: UnixSeconds) -> bool {
        let until = entry.until;
        match entry.change {
            FeedChange::KeysChanged => {}
            FeedChange::RuleAdded { rule_id, rule, note: _ } => self.rules.add(rule_id, rule, until, now),
            FeedChange::RuleRemoved { rule_id } => self.rules.remove(&rule_id),
            FeedChange::SessionResumed { session_id, version } => {
                let status = Status { version, is_suspended: false };
                return self.note_status(Fingerprint::of_session(session_id.as_str()), status, until, now);
            }
            FeedChange::SessionScopes { session_id, version, scopes } => {
                let scopes = SessionScopes { version, scopes };
                return self.note_scopes(Fingerprint::of_session(session_id.as_str()), scopes, until, now);
            }
            FeedChange::SessionSuspended { session_id, version } => {
                let status = Status { version, is_suspended: true };
                return self.note_status(Fingerprint::of_session(session_id.as_str()), status, until, now);
            }
            FeedChange::SessionEnded { .. } | FeedChange::TokenRevoked { .. } => {
                self.end(&EndedList(entry.change.ended().map(|ended| (ended, until)).into_iter().collect()), now);
            }
        }
        true
    }

    /// The sidecar has said how a session stands. What its tokens permit may have changed before the
    /// feed began.
    pub fn note_session(&mut self, session: &CheckedSession, now: UnixSeconds) {
        if session.scopes.is_some() {
            let name = Fingerprint::of_session(session.session_id.as_str());
            let scopes = SessionScopes { version: session.version, scopes: session.scopes.clone() };
            self.note_scopes(name, scopes, session.expires_at, now);
        }
    }

    fn note_status(&mut self, session: Fingerprint, status: Status, until: UnixSeconds, now: UnixSeconds) -> bool {
        let counts = self.statuses.get(session).is_none_or(|known| known.version <= status.version);
        if counts {
            self.statuses.insert(session, status, until, now);
        }
        counts
    }

    fn note_scopes(
        &mut self,
        session: Fingerprint,
        scopes: SessionScopes,
        until: UnixSeconds,
        now: UnixSeconds,
    ) -> bool {
        let counts = self.scopes.get(session).is_none_or(|known| known.version <= scopes.version);
        if counts {
            self.scopes.insert(session, scopes, until, now);
        }
        counts
    }

    /// Whether some key of some limit is allowed something else than the limit says.
    pub fn has_limits(&self) -> bool {
        self.rules.has_limits()
    }

    /// How many requests the quotas of a limit allow that key, where it is not what the limit says.
    pub fn limit_of(&self, counter: &CounterId, now: UnixSeconds) -> Option<&[u64]> {
        self.rules.limit_of(counter, now)
    }

    /// Whether the client is on the block list.
    pub fn blocks(&self, visitor: &Visitor<'_>, now: UnixSeconds) -> bool {
        self.rules.blocks(visitor, now)
    }

    /// What is known against a token for good.
    pub fn against(&self, token: TokenText<'_>, claims: &VerifiedClaims, now: UnixSeconds) -> Option<DenyReason> {
        if claims.names().token.is_some_and(|token| self.ended.contains(token)) {
            return Some(DenyReason::TokenRevoked);
        }
        if claims.names().session.is_some_and(|session| self.ended.contains(session)) {
            return Some(DenyReason::SessionTerminated);
        }
        self.rules.against(claims, || claims.all(token), now)
    }

    /// Whether the session has ended.
    pub fn has_ended(&self, session: Fingerprint) -> bool {
        self.ended.contains(session)
    }

    /// Whether the session is suspended, as far as is known.
    pub fn is_suspended(&self, session: Fingerprint) -> bool {
        self.statuses.get(session).is_some_and(|status| status.is_suspended)
    }

    /// What a token permits, where that is not what it says; `asked` is what the sidecar has just said of
    /// its session.
    pub fn scopes(&self, claims: &VerifiedClaims, asked: Option<&CheckedSession>) -> Option<Scopes> {
        let known = claims.names().session.and_then(|session| self.scopes.get(session));
        let of_session = match (known, asked) {
            (Some(known), Some(asked)) if asked.version > known.version => asked.scopes.as_ref(),
            (Some(known), _) => known.scopes.as_ref(),
            (None, asked) => asked.and_then(|session| session.scopes.as_ref()),
        };
        of_session.map(|session| if claims.is_narrowed() { claims.scopes().common(session) } else { session.clone() })
    }
}
