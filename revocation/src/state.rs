//! Everything that is known from the feed.

use session_gate_protocol::{CounterId, CutOff, EndedList, FeedChange, Fingerprint, Scopes, SessionId, UnixSeconds};

use crate::{EndedSet, Rules, SessionNames, TokenNames, expiring::Expiring};

/// Everything that is known from the feed. Nothing in it is forgotten before its time.
#[derive(Debug, Default)]
pub struct Revocations {
    ended: EndedSet,
    cut_offs: Expiring<Cut>,
    statuses: Expiring<Status>,
    scopes: Expiring<SessionScopes>,
    rules: Rules,
    ignorant_until: UnixSeconds,
}

/// A cut-off of a user's sessions.
#[derive(Clone, Debug)]
struct Cut {
    before: u64,
    issued_until: UnixSeconds,
    except: Option<Fingerprint>,
}

/// Whether a session is suspended.
#[derive(Clone, Debug)]
struct Status {
    version: u64,
    is_suspended: bool,
}

/// What the tokens of a session permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionScopes {
    /// The version of the session that has them.
    pub version: u64,
    /// The scopes; none: each token's own.
    pub scopes: Option<Scopes>,
}

impl Revocations {
    // === what is told ===

    /// Sessions and tokens have ended, each relevant until a moment.
    pub fn end(&mut self, ended: &EndedList, now: UnixSeconds) {
        for (fingerprint, until) in &ended.0 {
            self.statuses.remove(*fingerprint);
            self.scopes.remove(*fingerprint);
            self.ended.insert(*fingerprint, *until, now);
        }
    }

    /// Something has changed, relevant until a moment. Returns whether it counts: what was overtaken before it was
    /// told does not.
    pub fn apply(&mut self, change: FeedChange, until: UnixSeconds, now: UnixSeconds) -> bool {
        match change {
            FeedChange::KeysChanged => true,
            FeedChange::RuleAdded { rule_id, rule, note } => {
                self.rules.add(rule_id, rule, note, until, now);
                true
            }
            FeedChange::RuleRemoved { rule_id } => {
                self.rules.remove(&rule_id);
                true
            }
            FeedChange::SessionResumed { session_id, version } => {
                self.note_status(&session_id, Status { version, is_suspended: false }, until, now)
            }
            FeedChange::SessionScopes { session_id, version, scopes } => {
                self.note_scopes(&session_id, SessionScopes { version, scopes }, until, now)
            }
            FeedChange::SessionSuspended { session_id, version } => {
                self.note_status(&session_id, Status { version, is_suspended: true }, until, now)
            }
            change @ (FeedChange::SessionEnded { .. } | FeedChange::TokenRevoked { .. }) => {
                self.end(&EndedList(change.ended().map(|ended| (ended, until)).into_iter().collect()), now);
                true
            }
            FeedChange::UserSessionsEnded(cut_off) => self.cut_off(&cut_off, until, now),
            FeedChange::Unknown(unknown) => {
                if unknown.must_understand {
                    self.ignorant_until = self.ignorant_until.max(until);
                }
                unknown.must_understand
            }
        }
    }

    fn cut_off(&mut self, cut_off: &CutOff, until: UnixSeconds, now: UnixSeconds) -> bool {
        let CutOff { user_id, before, issued_until, except } = cut_off;
        let except = except.as_ref().map(|session| Fingerprint::of_session(session.as_str()));
        let cut = Cut { before: *before, issued_until: *issued_until, except };
        self.note_cut_off(Fingerprint::of_user(user_id.as_str()), cut, until, now)
    }

    fn note_cut_off(&mut self, user: Fingerprint, cut: Cut, until: UnixSeconds, now: UnixSeconds) -> bool {
        let known = self.cut_offs.get(user);
        if known.is_some_and(|known| known.before > cut.before) {
            return false;
        }
        // A token that was refused stays so, though an earlier cut-off was told with a later clock.
        let issued_until = known.map_or(cut.issued_until, |known| known.issued_until.max(cut.issued_until));
        let until = self.cut_offs.until(user).unwrap_or_default().max(until);
        self.cut_offs.insert(user, Cut { issued_until, ..cut }, until, now);
        true
    }

    /// A new epoch of the feed has begun: a store that was set back may count versions anew.
    pub fn forget_versions(&mut self) {
        self.statuses.values_mut().for_each(|status| status.version = 0);
        self.scopes.values_mut().for_each(|scopes| scopes.version = 0);
    }

    /// Adds what was known before, where nothing newer is known. What has ended since counts on.
    pub fn absorb(&mut self, mut earlier: Self, now: UnixSeconds) {
        self.ended.absorb(earlier.ended, now);
        for (user, cut, until) in earlier.cut_offs.drain() {
            self.note_cut_off(user, cut, until, now);
        }
        for (session, status, until) in earlier.statuses.drain() {
            if self.statuses.get(session).is_none_or(|known| known.version < status.version) {
                self.statuses.insert(session, status, until, now);
            }
        }
        for (session, scopes, until) in earlier.scopes.drain() {
            if self.scopes.get(session).is_none_or(|known| known.version < scopes.version) {
                self.scopes.insert(session, scopes, until, now);
            }
        }
        self.rules.absorb(earlier.rules, now);
        self.ignorant_until = self.ignorant_until.max(earlier.ignorant_until);
    }

    /// The store has said what a session's tokens permit: that may have changed before the feed began.
    pub fn note_scopes(
        &mut self,
        session: &SessionId,
        scopes: SessionScopes,
        until: UnixSeconds,
        now: UnixSeconds,
    ) -> bool {
        let session = Fingerprint::of_session(session.as_str());
        let counts = self.scopes.get(session).is_none_or(|known| known.version <= scopes.version);
        if counts {
            self.scopes.insert(session, scopes, until, now);
        }
        counts
    }

    /// The store has said of that version of a session that it is served: a suspension that was known is lifted where
    /// it is of an earlier version.
    pub fn note_served(&mut self, session: &SessionId, version: u64, until: UnixSeconds, now: UnixSeconds) {
        let known = self.suspension(Fingerprint::of_session(session.as_str()));
        if known.is_some_and(|(known, is_suspended)| is_suspended && known < version) {
            self.note_status(session, Status { version, is_suspended: false }, until, now);
        }
    }

    fn note_status(&mut self, session: &SessionId, status: Status, until: UnixSeconds, now: UnixSeconds) -> bool {
        let session = Fingerprint::of_session(session.as_str());
        let counts = self.statuses.get(session).is_none_or(|known| known.version <= status.version);
        if counts {
            self.statuses.insert(session, status, until, now);
        }
        counts
    }

    /// Drops what is irrelevant by now.
    pub fn prune(&mut self, now: UnixSeconds) {
        self.cut_offs.prune(now);
        self.statuses.prune(now);
        self.scopes.prune(now);
        self.rules.prune(now);
    }

    // === what follows ===

    /// Whether something has changed of which nothing is known but that it must be understood.
    pub fn is_ignorant(&self, now: UnixSeconds) -> bool {
        now < self.ignorant_until
    }

    /// Whether the token of the sidecar's own is revoked.
    pub fn is_revoked(&self, token: Fingerprint) -> bool {
        self.ended.contains(token)
    }

    /// Whether the session has ended for good, by itself or with all of its user's.
    pub fn has_ended(&self, session: &SessionNames) -> bool {
        self.ended.contains(session.session)
            || self.cut_offs.get(session.user).is_some_and(|cut| {
                session.generation < cut.before && cut.except.is_none_or(|except| except != session.session)
            })
    }

    /// Up to which generation a user's sessions have ended, as far as that is relevant; 0: none has.
    pub fn cut_off_of(&self, user: Fingerprint) -> u64 {
        self.cut_offs.get(user).map_or(0, |cut| cut.before)
    }

    /// Whether the latest cut-off of that user's sessions spares one.
    pub fn spares_one(&self, user: Fingerprint) -> bool {
        self.cut_offs.get(user).is_some_and(|cut| cut.except.is_some())
    }

    /// Whether the session is suspended.
    pub fn is_suspended(&self, session: Fingerprint) -> bool {
        self.statuses.get(session).is_some_and(|status| status.is_suspended)
    }

    /// Of which version is what is known of the session's suspension, and whether it is suspended.
    pub fn suspension(&self, session: Fingerprint) -> Option<(u64, bool)> {
        self.statuses.get(session).map(|status| (status.version, status.is_suspended))
    }

    /// What a session's tokens permit, where that was changed.
    pub fn scopes_of(&self, session: Fingerprint) -> Option<&SessionScopes> {
        self.scopes.get(session)
    }

    /// Whether a token that another issuer issued at `issued_at` (seconds since 1970) was cut off with all of its
    /// user's sessions. One that does not say when it was issued was issued before.
    pub fn is_cut_off(&self, names: &TokenNames, issued_at: Option<f64>) -> bool {
        self.cut_offs
            .get(names.user)
            .is_some_and(|cut| issued_at.is_none_or(|issued| issued < cut.issued_until.as_f64() + 1.0))
    }

    /// Whether the user is on the denylist.
    pub fn blocks_user(&self, user: Fingerprint, now: UnixSeconds) -> bool {
        self.rules.blocks_user(user, now)
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rules, to be changed.
    pub const fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// How many requests the quotas of a limit allow that key, where it is not what the limit says.
    pub fn limit_of(&self, counter: &CounterId, now: UnixSeconds) -> Option<&[u64]> {
        self.rules.limit_of(counter, now)
    }
}

#[cfg(test)]
mod tests;
