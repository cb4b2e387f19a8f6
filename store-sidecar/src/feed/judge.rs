//! What the feed says against a credential, for those who ask this replica.

use std::{net::IpAddr, time::Duration};

use serde_json::{Map, Value};
use session_gate_protocol::{Fingerprint, Rule, RuleData, RuleId, SessionId, TokenId, UserId};
use session_gate_revocation::{Revocations, SessionNames, TokenNames};
use tokio::time::{Instant, timeout_at};

use super::{
    handle::{Feed, NEVER_READ},
    known::Known,
    rules_in_force::{rule_in_force, rules_in_force, shown},
};
use crate::store::{LaterVersion, StoreError, StoreErrorKind};

/// How old may be what is known of the feed before it counts as away: then who can do without the newest
/// waits no longer for it.
const AWAY_AFTER: Duration = Duration::from_secs(1);

const NOT_UNDERSTOOD: &str =
    "the feed has a change that this version does not know and that must be understood: upgrade this replica";

/// Who asks, as far as rules look at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    /// The token's `sub`.
    pub user: Option<&'a str>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a str>,
}

/// A session as the store has it.
#[derive(Clone, Copy, Debug)]
pub struct KnownSession<'a> {
    /// Its id.
    pub id: &'a SessionId,
    /// Its generation among its user's sessions.
    pub generation: u64,
    /// Its version.
    pub version: u64,
}

/// What the feed says against a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// All of its user's sessions of a generation before this have ended, but for one.
    CutOff {
        /// The generation.
        before: u64,
        /// The one.
        except: Option<SessionId>,
    },
    /// It has ended.
    Ended,
    /// It is suspended.
    Suspended,
}

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

    /// Waits until the feed has been read up to its end once.
    ///
    /// # Errors
    /// `Unavailable` where that takes longer than `patience`.
    pub async fn first_reading(&self, patience: Duration) -> Result<(), StoreError> {
        if self.shared.known().is_none() {
            let mut proven = self.shared.proven.subscribe();
            let read = proven.wait_for(Option::is_some);
            drop(timeout_at(Instant::now() + patience, read).await);
        }
        self.known(|_| ())
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

    /// Whether the token is revoked, as far as the feed says.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn is_revoked(&self, token: &TokenId) -> Result<bool, StoreError> {
        let token = Fingerprint::of_token(token.as_str());
        self.understood(|known| known.facts().iter().any(|facts| facts.is_revoked(token)))
    }

    /// Whether the client is on the block list.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn blocks(&self, client: &Client<'_>) -> Result<bool, StoreError> {
        let Client { user, address, user_agent } = *client;
        let user = user.map(Fingerprint::of_user);
        self.understood(|known| {
            let now = known.now();
            known.facts().iter().any(|facts| {
                user.is_some_and(|user| facts.blocks_user(user, now))
                    || facts.rules().blocks(|| address, user_agent.unwrap_or_default(), now)
            })
        })
    }

    /// Whether tokens of another issuer with these claims are refused: by a rule, or since all sessions of their user
    /// have ended after they were issued.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn revokes(&self, claims: &Map<String, Value>) -> Result<bool, StoreError> {
        let text = |claim| claims.get(claim).and_then(Value::as_str);
        let (issuer, subject) = (text("iss").unwrap_or_default(), text("sub").unwrap_or_default());
        let names = TokenNames::of(issuer, subject, text("sid"), text("jti"), false);
        let issued_at = claims.get("iat").and_then(Value::as_f64);
        self.understood(|known| {
            known.facts().iter().any(|facts| {
                facts.is_cut_off(&names, issued_at)
                    || facts.rules().revoke(&names, || Some(claims.clone()), known.now())
            })
        })
    }

    /// What the feed says against a session of that user, of which the store says that it is as `known`.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn against(&self, user: &UserId, session: &KnownSession<'_>) -> Result<Option<Against>, StoreError> {
        let KnownSession { id, generation, version } = *session;
        let names = SessionNames::of(id, user.as_str(), generation);
        self.understood(|known| {
            let facts = known.facts();
            if facts.iter().any(|facts| facts.is_revoked(names.session)) {
                return Some(Against::Ended);
            }
            if facts.iter().any(|facts| facts.has_ended(&names)) {
                let before = facts.iter().map(|facts| facts.cut_off_of(names.user)).max().unwrap_or_default();
                let told = known.cut_off(user).filter(|cut_off| cut_off.before == before);
                return Some(match told {
                    Some(cut_off) => Against::CutOff { before, except: cut_off.except.clone() },
                    // Which one it spares is not known by its id: only of this session it is known that it has ended.
                    None if facts.iter().any(|facts| facts.spares_one(names.user)) => Against::Ended,
                    None => Against::CutOff { before, except: None },
                });
            }
            let suspended = suspension(facts, names.session).is_some_and(|suspended_in| suspended_in >= version);
            suspended.then_some(Against::Suspended)
        })
    }

    /// What the feed says of a later version of that session than `version`: a store that has that one has lost it.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn later_version(&self, id: &SessionId, version: u64) -> Result<Option<LaterVersion>, StoreError> {
        let id = Fingerprint::of_session(id.as_str());
        self.known(|known| {
            let facts = known.facts();
            let suspended_in = suspension(facts, id).filter(|suspended_in| *suspended_in > version);
            let scoped = facts.iter().filter_map(|facts| facts.scopes_of(id)).max_by_key(|scoped| scoped.version);
            let scoped = scoped.filter(|scoped| scoped.version > version);
            let latest = suspended_in.max(scoped.map(|scoped| scoped.version));
            latest.map(|version| LaterVersion {
                version,
                is_suspended: suspended_in.is_some(),
                scopes: scoped.map(|scoped| scoped.scopes.clone()),
            })
        })
    }

    /// Up to which generation the sessions of that user have ended, as far as the feed says; 0: none has.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn cut_off_of(&self, user: &UserId) -> Result<u64, StoreError> {
        let user = Fingerprint::of_user(user.as_str());
        self.known(|known| known.facts().iter().map(|facts| facts.cut_off_of(user)).max().unwrap_or_default())
    }

    /// The rules of the block list after that id, `limit` of them at most.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn blocks_after(&self, after: Option<&RuleId>, limit: usize) -> Result<RulePage, StoreError> {
        self.known(|known| {
            let follow = |id: &RuleId| after.is_none_or(|after| id > after);
            let mut rest = rules_in_force(known).filter(|(id, held)| follow(id) && held.rule.is_block());
            let rules = rest.by_ref().take(limit).map(|(id, held)| shown(id, held)).collect();
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
        self.known(|known| known.facts().iter().map(|facts| facts.rules().len()).max().unwrap_or_default())
    }

    /// Whether the feed as it is now says that the session has ended by itself: then it need not be told again.
    pub fn tells_end_of(&self, session: &SessionId) -> bool {
        self.tells_of(Fingerprint::of_session(session.as_str()))
    }

    /// The same of a token that is revoked.
    pub fn tells_revocation_of(&self, token: &TokenId) -> bool {
        self.tells_of(Fingerprint::of_token(token.as_str()))
    }

    /// Whether the feed as it is now says what the session permits in that version or a later one.
    pub fn tells_scopes_of(&self, session: &SessionId, version: u64) -> bool {
        let session = Fingerprint::of_session(session.as_str());
        let tells = |known: &Known| {
            let [facts, _remembered] = known.facts();
            facts.scopes_of(session).is_some_and(|scoped| scoped.version >= version)
        };
        self.known(tells).unwrap_or_default()
    }

    /// What was told in another epoch does not count: nobody may have read it since.
    fn tells_of(&self, ended: Fingerprint) -> bool {
        let tells = |known: &Known| {
            let [facts, _remembered] = known.facts();
            facts.is_revoked(ended)
        };
        self.known(tells).unwrap_or_default()
    }

    /// What is known, for a judgement: there is none where the feed has something of which this replica knows only
    /// that it must be understood.
    fn understood<T>(&self, read: impl FnOnce(&Known) -> T) -> Result<T, StoreError> {
        let read = |known: &Known| {
            let is_ignorant = known.facts().iter().any(|facts| facts.is_ignorant(known.now()));
            (!is_ignorant).then(|| read(known))
        };
        self.known(read)?.ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, NOT_UNDERSTOOD))
    }

    pub(super) fn known<T>(&self, read: impl FnOnce(&Known) -> T) -> Result<T, StoreError> {
        let known = self.shared.known();
        known.as_ref().map(read).ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, NEVER_READ))
    }
}

/// In which version the session was suspended, if it still is. What the feed says by now counts more than what it said
/// before it was lost.
fn suspension(facts: [&Revocations; 2], session: Fingerprint) -> Option<u64> {
    let (version, is_suspended) = facts.iter().find_map(|facts| facts.suspension(session))?;
    is_suspended.then_some(version)
}
