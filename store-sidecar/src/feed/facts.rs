//! What follows from the feed: what has ended, what requests are refused for, what sessions permit. Pure.

use std::collections::HashMap;

use session_gate_protocol::{FeedChange, Fingerprint, Scopes, SessionId, UnixSeconds};

use super::rules::{Held, Rules};

/// What the feed says, whatever the order in which it was told.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What has ended, and until when that is of use.
    ended: HashMap<Fingerprint, UnixSeconds>,
    scopes: HashMap<SessionId, Scoped>,
    pub(super) rules: Rules,
}

/// What a session's tokens permit.
#[derive(Clone, Debug)]
pub(super) struct Scoped {
    /// The version of the session that has them.
    pub(super) version: u64,
    pub(super) scopes: Option<Scopes>,
    until: UnixSeconds,
}

impl Facts {
    /// Notes what has ended.
    pub(super) fn note_ended(&mut self, ended: Fingerprint, until: UnixSeconds) {
        let known = self.ended.entry(ended).or_default();
        *known = until.max(*known);
    }

    /// Notes any other change.
    pub(super) fn note(&mut self, change: &FeedChange, until: UnixSeconds) {
        match change {
            FeedChange::RuleAdded { rule_id, rule, note } => {
                self.rules.put(rule_id.clone(), Held { rule: rule.clone(), until, note: note.clone() });
            }
            FeedChange::RuleRemoved { rule_id } => self.rules.remove(rule_id),
            FeedChange::SessionScopes { session_id, version, scopes } => {
                let scoped = Scoped { version: *version, scopes: scopes.clone(), until };
                self.note_scopes(session_id.clone(), scoped);
            }
            _ => {}
        }
    }

    fn note_scopes(&mut self, session: SessionId, scoped: Scoped) {
        if self.scopes(&session).is_none_or(|known| known.version <= scoped.version) {
            self.scopes.insert(session, scoped);
        }
    }

    /// Whether it has ended, as far as that is of use.
    pub(super) fn has_ended(&self, ended: &Fingerprint, now: UnixSeconds) -> bool {
        self.ended.get(ended).is_some_and(|until| now < *until)
    }

    /// What was last told of a session's scopes.
    pub(super) fn scopes(&self, session: &SessionId) -> Option<&Scoped> {
        self.scopes.get(session)
    }

    /// Adds what was known before.
    pub(super) fn absorb(&mut self, earlier: Self) {
        let Self { ended, scopes, rules } = earlier;
        ended.into_iter().for_each(|(ended, until)| self.note_ended(ended, until));
        scopes.into_iter().for_each(|(session, scoped)| self.note_scopes(session, scoped));
        self.rules.absorb(rules);
    }

    /// Drops what is of no use any more.
    pub(super) fn prune(&mut self, now: UnixSeconds) {
        self.ended.retain(|_, until| now < *until);
        self.scopes.retain(|_, scoped| now < scoped.until);
        self.rules.prune(now);
    }
}
