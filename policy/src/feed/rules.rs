//! What requests are refused for beyond what has ended: the block list, and tokens of other issuers.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use serde_json::{Map, Value};
use session_gate_protocol::{
    CounterId, DenyReason, Fingerprint, LimitKey, Network, Rule, RuleId, TokenPattern, UnixSeconds,
};

use crate::{
    host::Visitor,
    token::{Revocation, VerifiedClaims},
};

/// The rules in force, found by what they are about.
#[derive(Debug, Default)]
pub struct Rules {
    by_id: HashMap<RuleId, Standing>,
    /// Ranges of addresses, each until when.
    networks: HashMap<IpNet, UnixSeconds>,
    /// The lengths of their prefixes: a range is looked for once per length.
    prefixes: BTreeSet<u8>,
    users: HashMap<Fingerprint, UnixSeconds>,
    /// How many requests limits allow single keys.
    limits: HashMap<CounterId, (Vec<u64>, UnixSeconds)>,
    /// In lower case.
    user_agents: Vec<(String, UnixSeconds)>,
    /// Patterns that name a token, a session or a user: found by that name.
    named: HashMap<Fingerprint, Vec<(TokenPattern, UnixSeconds)>>,
    /// All other patterns.
    unnamed: Vec<(TokenPattern, UnixSeconds)>,
    /// Counts the changes of what is said of tokens.
    generation: u64,
    /// How many rules are looked through next for those that are over.
    clean_at: usize,
}

#[derive(Debug)]
struct Standing {
    rule: Rule,
    until: UnixSeconds,
}

/// What is remembered of a token: that no rule was against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    generation: u64,
}

impl Rules {
    /// Adds a rule; one that is there already is in force until `until` from now on.
    pub fn add(&mut self, id: RuleId, rule: Rule, until: UnixSeconds, now: UnixSeconds) {
        if self.by_id.len() >= self.clean_at {
            self.by_id.retain(|_, standing| now < standing.until);
            self.clean_at = self.by_id.len().saturating_mul(2).max(1_000);
            self.index_all();
        }
        self.remove(&id);
        self.index(&rule, until);
        self.by_id.insert(id, Standing { rule, until });
    }

    /// Removes a rule; nothing happens where it is not there.
    pub fn remove(&mut self, id: &RuleId) {
        let Some(Standing { rule, .. }) = self.by_id.remove(id) else { return };
        match rule {
            Rule::Address { network } => {
                self.networks.remove(&network.range());
                self.prefixes = self.networks.keys().map(IpNet::prefix_len).collect();
            }
            Rule::Limit { key, .. } => {
                if let Ok(key) = key.parse::<LimitKey>() {
                    self.limits.remove(&key.counter());
                }
            }
            Rule::User { user_id } => {
                self.users.remove(&Fingerprint::of_user(user_id.as_str()));
            }
            Rule::UserAgent { contains } => self.user_agents.retain(|(there, _)| *there != contains),
            Rule::Tokens(pattern) => {
                self.generation += 1;
                match name_of(&pattern) {
                    Some(name) => {
                        let patterns = self.named.entry(name).or_default();
                        patterns.retain(|(there, _)| *there != pattern);
                        if patterns.is_empty() {
                            self.named.remove(&name);
                        }
                    }
                    None => self.unnamed.retain(|(there, _)| *there != pattern),
                }
            }
        }
    }

    fn index(&mut self, rule: &Rule, until: UnixSeconds) {
        match rule {
            Rule::Address { network } => {
                self.prefixes.insert(network.range().prefix_len());
                self.networks.insert(network.range(), until);
            }
            Rule::Limit { key, requests } => {
                // The sidecar refuses a key that cannot be read.
                if let Ok(key) = key.parse::<LimitKey>() {
                    self.limits.insert(key.counter(), (requests.clone(), until));
                }
            }
            Rule::User { user_id } => {
                self.users.insert(Fingerprint::of_user(user_id.as_str()), until);
            }
            Rule::UserAgent { contains } => self.user_agents.push((contains.clone(), until)),
            Rule::Tokens(pattern) => {
                self.generation += 1;
                match name_of(pattern) {
                    Some(name) => self.named.entry(name).or_default().push((pattern.clone(), until)),
                    None => self.unnamed.push((pattern.clone(), until)),
                }
            }
        }
    }

    fn index_all(&mut self) {
        let kept = std::mem::take(self);
        self.generation = kept.generation;
        self.clean_at = kept.clean_at;
        for (id, standing) in kept.by_id {
            self.index(&standing.rule, standing.until);
            self.by_id.insert(id, standing);
        }
    }

    /// Whether the client is on the block list.
    pub fn blocks(&self, visitor: &Visitor<'_>, now: UnixSeconds) -> bool {
        let has_agent = || {
            let agent = Rule::user_agent_form(visitor.user_agent);
            self.user_agents.iter().any(|(part, until)| now < *until && agent.contains(part))
        };
        (!self.networks.is_empty() && visitor.address().is_some_and(|address| self.has_address(address, now)))
            || (!self.user_agents.is_empty() && has_agent())
    }

    fn has_address(&self, address: IpAddr, now: UnixSeconds) -> bool {
        let address = Network::address(address);
        self.prefixes.iter().any(|bits| {
            let range = IpNet::new(address, *bits).map(|range| range.trunc());
            range.is_ok_and(|range| self.networks.get(&range).is_some_and(|until| now < *until))
        })
    }

    /// What there is against a verified token: its user is on the block list, whoever has issued it; or it
    /// is revoked, unless nothing takes back what its issuer has issued. `claims_of` reads all of its claims, which takes a while.
    pub fn against(
        &self,
        token: &VerifiedClaims,
        claims_of: impl FnOnce() -> Option<Map<String, Value>>,
        now: UnixSeconds,
    ) -> Option<DenyReason> {
        if self.users.get(&token.names().user).is_some_and(|until| now < *until) {
            return Some(DenyReason::Blocked);
        }
        let seen = Cleared { generation: self.generation };
        if token.cleared() == seen || token.revocation() == Revocation::None {
            return None;
        }
        let named = token.names().claims.iter().filter_map(|name| self.named.get(name)).flatten();
        let mut patterns = named.chain(&self.unnamed).filter(|(_, until)| now < *until).peekable();
        if patterns.peek().is_some() {
            // A token whose claims cannot be read again is none that could be cleared.
            let claims = claims_of();
            if claims.is_none_or(|claims| patterns.any(|(pattern, _)| pattern.matches(&claims))) {
                return Some(DenyReason::TokenRevoked);
            }
        }
        token.clear(seen);
        None
    }

    /// How many requests the quotas of a limit allow that key, where it is not what the limit says.
    pub fn limit_of(&self, counter: &CounterId, now: UnixSeconds) -> Option<&[u64]> {
        self.limits.get(counter).filter(|(_, until)| now < *until).map(|(requests, _)| requests.as_slice())
    }

    /// Whether some key of some limit is allowed something else than the limit says.
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// What a pattern is found by: the rarest thing that it names.
fn name_of(pattern: &TokenPattern) -> Option<Fingerprint> {
    let named = [("jti", &pattern.jti), ("sid", &pattern.sid), ("sub", &pattern.sub)];
    named
        .into_iter()
        .find_map(|(claim, value)| value.as_ref().map(|value| Fingerprint::of_claim(&pattern.iss, claim, value)))
}

#[cfg(test)]
mod tests;
