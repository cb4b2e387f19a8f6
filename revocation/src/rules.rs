//! What requests are refused for beyond what has ended: the block list, and tokens of other issuers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use serde_json::{Map, Value};
use session_gate_protocol::{CounterId, Fingerprint, LimitKey, Network, Rule, RuleId, TokenPattern, UnixSeconds};

use crate::TokenNames;

/// The rules in force, found by what they are about.
#[derive(Debug, Default)]
pub struct Rules {
    by_id: BTreeMap<RuleId, ActiveRule>,
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

/// A rule in force.
#[derive(Clone, Debug)]
pub struct ActiveRule {
    /// What it says.
    pub rule: Rule,
    /// Until when it is in force.
    pub until: UnixSeconds,
    /// Why, for whoever reads the list.
    pub note: Option<String>,
}

/// A state of the rules about tokens: of a token that none of these is against, no more need be asked before they
/// change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulesGeneration(u64);

impl Rules {
    /// Adds a rule; one that is there already is in force until `until` from now on.
    pub fn add(&mut self, id: RuleId, rule: Rule, note: Option<String>, until: UnixSeconds, now: UnixSeconds) {
        if self.by_id.len() >= self.clean_at {
            self.prune(now);
            self.clean_at = self.by_id.len().saturating_mul(2).max(1_000);
        }
        self.remove(&id);
        self.index(&rule, until);
        self.by_id.insert(id, ActiveRule { rule, until, note });
    }

    /// Drops rules that have expired.
    pub fn prune(&mut self, now: UnixSeconds) {
        if self.by_id.values().any(|active| active.until <= now) {
            self.by_id.retain(|_, active| now < active.until);
            self.index_all();
        }
    }

    /// Adds rules that were known before, where there is nothing newer under their ids.
    pub fn absorb(&mut self, earlier: Self, now: UnixSeconds) {
        for (id, ActiveRule { rule, until, note }) in earlier.by_id {
            if !self.by_id.contains_key(&id) {
                self.add(id, rule, note, until, now);
            }
        }
    }

    /// The rule of that id.
    pub fn get(&self, id: &RuleId) -> Option<&ActiveRule> {
        self.by_id.get(id)
    }

    /// All rules, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&RuleId, &ActiveRule)> {
        self.by_id.iter()
    }

    /// Removes a rule; nothing happens where it is not there.
    pub fn remove(&mut self, id: &RuleId) {
        let Some(ActiveRule { rule, .. }) = self.by_id.remove(id) else { return };
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
        for (id, active) in kept.by_id {
            self.index(&active.rule, active.until);
            self.by_id.insert(id, active);
        }
    }

    /// Whether the client is on the denylist by its address or its user agent. `address` is asked for only where
    /// some rule is about addresses.
    pub fn blocks(&self, address: impl FnOnce() -> Option<IpAddr>, user_agent: &str, now: UnixSeconds) -> bool {
        let has_agent = || {
            let agent = Rule::user_agent_form(user_agent);
            self.user_agents.iter().any(|(part, until)| now < *until && agent.contains(part))
        };
        (!self.networks.is_empty() && address().is_some_and(|address| self.has_address(address, now)))
            || (!self.user_agents.is_empty() && has_agent())
    }

    fn has_address(&self, address: IpAddr, now: UnixSeconds) -> bool {
        let address = Network::address(address);
        self.prefixes.iter().any(|bits| {
            let range = IpNet::new(address, *bits).map(|range| range.trunc());
            range.is_ok_and(|range| self.networks.get(&range).is_some_and(|until| now < *until))
        })
    }

    /// Whether the user is on the denylist, whoever has issued the token.
    pub fn blocks_user(&self, user: Fingerprint, now: UnixSeconds) -> bool {
        self.users.get(&user).is_some_and(|until| now < *until)
    }

    /// The state of the rules about tokens.
    pub const fn generation(&self) -> RulesGeneration {
        RulesGeneration(self.generation)
    }

    /// Whether some rule revokes a token. `claims_of` reads all of its claims, which takes a while: a token whose
    /// claims cannot be read is revoked by whatever rule names it.
    pub fn revoke(
        &self,
        names: &TokenNames,
        claims_of: impl FnOnce() -> Option<Map<String, Value>>,
        now: UnixSeconds,
    ) -> bool {
        let named = names.claims.iter().filter_map(|name| self.named.get(name)).flatten();
        let mut patterns = named.chain(&self.unnamed).filter(|(_, until)| now < *until).peekable();
        if patterns.peek().is_none() {
            return false;
        }
        let claims = claims_of();
        claims.is_none_or(|claims| patterns.any(|(pattern, _)| pattern.matches(&claims)))
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
