//! What the feed says against a credential, for those who ask this replica.

use std::time::Duration;

use serde_json::{Map, Value};
use session_gate_protocol::{CheckedSession, Fingerprint, Rule, RuleData, RuleId, SessionId, TokenId};
use tokio::time::{Instant, timeout_at};

use super::{Client, Feed, NEVER_READ, known::Known, rules::Held};
use crate::store::{StoreError, StoreErrorKind, UNLIMITED};

/// How old may be what is known of the feed before it counts as away: then who can do without the newest
/// waits no longer for it.
const AWAY_AFTER: Duration = Duration::from_secs(1);

/// A part of the rules in force.
#[derive(Debug)]
pub struct RulePage {
    /// The rules, in the order of their ids.
    pub rules: Vec<RuleData>,
    /// Whether there are more.
    pub more: bool,
}

impl Feed {
    /// Waits until all is known that was in the feed by `since`.
    ///
    /// # Errors
    /// `Unavailable` where that takes longer than `patience`.
    pub async fn catch_up(&self, since: Instant, patience: Duration) -> Result<(), StoreError> {
        let mut proven = self.shared.proven.subscribe();
        self.shared.wake.notify_one();
        // One that was sent at that very moment may have been sent before.
        let read = proven.wait_for(|proven| proven.is_some_and(|proven| proven > since));
        match timeout_at(since + patience, read).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(StoreError::new(StoreErrorKind::Unavailable, "the feed could not be read in time")),
        }
    }

    /// The same for who can do without the newest: waits no longer than `patience`, and not at all while
    /// the feed is away.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub async fn try_catch_up(&self, since: Instant, patience: Duration) -> Result<(), StoreError> {
        let is_away = self.shared.known().as_ref().is_some_and(|known| known.age() > AWAY_AFTER);
        if !is_away && self.catch_up(since, patience).await.is_ok() {
            return Ok(());
        }
        self.known(|_| ())
    }

    /// Whether the session has ended, as far as the feed says.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn has_ended(&self, session: &SessionId) -> Result<bool, StoreError> {
        self.known(|known| known.has_ended(&Fingerprint::of_session(session.as_str())))
    }

    /// Whether the token is revoked, as far as the feed says.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn is_revoked(&self, token: &TokenId) -> Result<bool, StoreError> {
        self.known(|known| known.has_ended(&Fingerprint::of_token(token.as_str())))
    }

    /// Whether the client is on the block list.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn blocks(&self, client: &Client<'_>) -> Result<bool, StoreError> {
        self.known(|known| known.facts().iter().any(|facts| facts.rules.block(client, known.now())))
    }

    /// Whether a rule revokes tokens with these claims.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn revokes(&self, claims: &Map<String, Value>) -> Result<bool, StoreError> {
        self.known(|known| known.facts().iter().any(|facts| facts.rules.revoke(claims, known.now())))
    }

    /// Corrects the scopes of a session whose latest the store has lost.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn correct(&self, session: &mut CheckedSession) -> Result<(), StoreError> {
        self.known(|known| {
            for facts in known.facts() {
                if let Some(scoped) = facts.scopes(&session.session_id)
                    && scoped.version > session.version
                {
                    session.version = scoped.version;
                    session.scopes.clone_from(&scoped.scopes);
                }
            }
        })
    }

    /// The rules of the block list after that id, `limit` of them at most.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn blocks_after(&self, after: Option<&RuleId>, limit: usize) -> Result<RulePage, StoreError> {
        self.known(|known| {
            let follow = |id: &RuleId| after.is_none_or(|after| id > after);
            let mut rest = rules_in_force(known).filter(|(id, held)| follow(id) && held.rule.is_block());
            let rules = rest.by_ref().take(limit).map(|(id, held)| held.shown(id)).collect();
            RulePage { rules, more: rest.next().is_some() }
        })
    }

    /// The rule of that id, if it is in force.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn rule(&self, id: &RuleId) -> Result<Option<Rule>, StoreError> {
        self.known(|known| rule_in_force(known, id).map(|held| held.rule.clone()))
    }

    /// How many rules there are, of all kinds.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn rule_count(&self) -> Result<usize, StoreError> {
        self.known(|known| known.facts().iter().map(|facts| facts.rules.len()).max().unwrap_or_default())
    }

    /// Whether the feed as it is now says that the session has ended: then it need not be told again.
    pub fn tells_end_of(&self, session: &SessionId) -> bool {
        self.tells_of(&Fingerprint::of_session(session.as_str()))
    }

    /// The same of a token that is revoked.
    pub fn tells_revocation_of(&self, token: &TokenId) -> bool {
        self.tells_of(&Fingerprint::of_token(token.as_str()))
    }

    /// What was told in another epoch does not count: nobody may have read it since.
    fn tells_of(&self, ended: &Fingerprint) -> bool {
        let tells = |known: &Known| {
            let [facts, _remembered] = known.facts();
            facts.has_ended(ended, known.now())
        };
        self.known(tells).unwrap_or_default()
    }

    pub(super) fn known<T>(&self, read: impl FnOnce(&Known) -> T) -> Result<T, StoreError> {
        let known = self.shared.known();
        known.as_ref().map(read).ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, NEVER_READ))
    }
}

/// The rules in force, in the order of their ids.
pub(super) fn rules_in_force(known: &Known) -> impl Iterator<Item = (&RuleId, &Held)> {
    let mut rules: Vec<(&RuleId, &Held)> = known.facts().iter().flat_map(|facts| facts.rules.all()).collect();
    // Of two under one id the newer comes first, and stays.
    rules.sort_by_key(|(id, _)| *id);
    rules.dedup_by_key(|(id, _)| *id);
    rules.into_iter().filter(|(_, held)| known.now() < held.until)
}

/// The rule of that id, if it is in force.
pub(super) fn rule_in_force<'a>(known: &'a Known, id: &RuleId) -> Option<&'a Held> {
    let mut newest_first = known.facts().into_iter();
    newest_first.find_map(|facts| facts.rules.get(id)).filter(|held| known.now() < held.until)
}

impl Held {
    pub(super) fn shown(&self, id: &RuleId) -> RuleData {
        let Self { rule, until, note } = self;
        let expires_at = (*until < UNLIMITED).then_some(*until);
        RuleData { rule_id: id.clone(), rule: rule.clone(), expires_at, note: note.clone() }
    }
}

impl Known {
    fn has_ended(&self, ended: &Fingerprint) -> bool {
        self.facts().iter().any(|facts| facts.has_ended(ended, self.now()))
    }
}
