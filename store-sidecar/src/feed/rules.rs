//! The rules that requests are refused for, so that the few that could concern a request are found among
//! many. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use serde_json::{Map, Value};
use session_gate_protocol::{Fingerprint, Network, Rule, RuleId, TokenPattern, UnixSeconds};

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

/// A rule, until when it holds, and why.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) rule: Rule,
    pub(super) until: UnixSeconds,
    pub(super) note: Option<String>,
}

/// Where a rule is looked for that requests are refused for: each has one such place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// One address.
    Address(Network),
    /// What a token's issuer calls it, its session or its user; or the issuer alone.
    Claim(Fingerprint),
    /// Every range of addresses.
    Range,
    User(String),
    /// Every user agent.
    UserAgent,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    by_id: BTreeMap<RuleId, Held>,
    by_key: HashMap<Key, BTreeSet<RuleId>>,
}

impl Key {
    fn of(rule: &Rule) -> Option<Self> {
        Some(match rule {
            Rule::Address { network } if is_one(*network) => Self::Address(*network),
            Rule::Address { .. } => Self::Range,
            Rule::Limit { .. } => return None,
            Rule::Tokens(pattern) => {
                let TokenPattern { iss, jti, sid, sub, .. } = pattern;
                let named = [("jti", jti), ("sid", sid), ("sub", sub)];
                let named = named.into_iter().find_map(|(claim, value)| Some((claim, value.as_deref()?)));
                let (claim, value) = named.unwrap_or_default();
                Self::Claim(Fingerprint::of_claim(iss, claim, value))
            }
            Rule::User { user_id } => Self::User(user_id.as_str().to_owned()),
            Rule::UserAgent { .. } => Self::UserAgent,
        })
    }
}

/// Whether the range has one address.
fn is_one(network: Network) -> bool {
    network.range().prefix_len() == network.range().max_prefix_len()
}

impl Rules {
    /// Adds a rule, in the place of what was there under that id.
    pub(super) fn put(&mut self, id: RuleId, held: Held) {
        self.remove(&id);
        if let Some(key) = Key::of(&held.rule) {
            self.by_key.entry(key).or_default().insert(id.clone());
        }
        self.by_id.insert(id, held);
    }

    pub(super) fn remove(&mut self, id: &RuleId) {
        let Some(held) = self.by_id.remove(id) else { return };
        let Some(key) = Key::of(&held.rule) else { return };
        let Some(ids) = self.by_key.get_mut(&key) else { return };
        ids.remove(id);
        if ids.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// Adds those that were known before, where there is nothing newer.
    pub(super) fn absorb(&mut self, earlier: Self) {
        for (id, held) in earlier.by_id {
            if !self.by_id.contains_key(&id) {
                self.put(id, held);
            }
        }
    }

    pub(super) fn prune(&mut self, now: UnixSeconds) {
        let over = self.by_id.iter().filter(|(_, held)| held.until <= now).map(|(id, _)| id.clone());
        for id in over.collect::<Vec<_>>() {
            self.remove(&id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The one of that id.
    pub(super) fn get(&self, id: &RuleId) -> Option<&Held> {
        self.by_id.get(id)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&RuleId, &Held)> {
        self.by_id.iter()
    }

    /// Whether one on the block list refuses that client.
    pub(super) fn block(&self, client: &Client<'_>, now: UnixSeconds) -> bool {
        let Client { user, address, user_agent } = *client;
        let user = user.filter(|user| self.any(Key::User((*user).to_owned()), now, |rule| rule.blocks_user(user)));
        if user.is_some() {
            return true;
        }
        if let Some(address) = address {
            let one = Network::address(address).to_string().parse().map(Key::Address);
            if one.is_ok_and(|one| self.any(one, now, |rule| rule.blocks_address(address)))
                || self.any(Key::Range, now, |rule| rule.blocks_address(address))
            {
                return true;
            }
        }
        user_agent.is_some_and(|user_agent| {
            let form = Rule::user_agent_form(user_agent);
            self.any(Key::UserAgent, now, |rule| rule.blocks_user_agent(&form))
        })
    }

    /// Whether one revokes tokens with these claims.
    pub(super) fn revoke(&self, claims: &Map<String, Value>, now: UnixSeconds) -> bool {
        let text = |claim| claims.get(claim).and_then(Value::as_str);
        let Some(iss) = text("iss") else { return false };
        let named = ["jti", "sid", "sub"].into_iter().filter_map(|claim| Some((claim, text(claim)?)));
        let keys = named.chain([("", "")]).map(|(claim, value)| Fingerprint::of_claim(iss, claim, value));
        keys.into_iter().any(|key| self.any(Key::Claim(key), now, |rule| rule.revokes(claims)))
    }

    fn any(&self, key: Key, now: UnixSeconds, applies: impl Fn(&Rule) -> bool) -> bool {
        let ids = self.by_key.get(&key).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id)).any(|held| now < held.until && applies(&held.rule))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_000);

    fn rules(all: &[Value]) -> Rules {
        let mut rules = Rules::default();
        for value in all {
            let rule: Rule = serde_json::from_value(value.clone()).unwrap();
            rules.put(rule.id(), Held { rule, until: UnixSeconds(2_000), note: None });
        }
        rules
    }

    fn from(address: &str) -> Client<'static> {
        Client { address: Some(address.parse().unwrap()), ..Client::default() }
    }

    #[test]
    fn a_client_is_found_by_address_range_user_and_user_agent() {
        let mut rules = rules(&[
            json!({ "kind": "address", "network": "192.0.2.1" }),
            json!({ "kind": "address", "network": "2001:db8::/32" }),
            json!({ "kind": "user", "user_id": "mallory" }),
            json!({ "kind": "user_agent", "contains": "badbot" }),
        ]);
        let user = |user| Client { user: Some(user), ..Client::default() };
        let agent = |user_agent| Client { user_agent: Some(user_agent), ..Client::default() };
        for blocked in
            [from("192.0.2.1"), from("::ffff:192.0.2.1"), from("2001:db8:9::1"), user("mallory"), agent("a BadBot/7")]
        {
            assert!(rules.block(&blocked, NOW), "{blocked:?}");
            assert!(!rules.block(&blocked, UnixSeconds(2_000)), "{blocked:?}: it is over");
        }
        for free in [from("192.0.2.2"), from("2001:db9::1"), user("alice"), agent("a bot"), Client::default()] {
            assert!(!rules.block(&free, NOW), "{free:?}");
        }
        let ids: Vec<_> = rules.all().map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| rules.remove(id));
        assert!(rules.by_key.is_empty() && rules.len() == 0);
    }

    #[test]
    fn a_token_is_found_by_whatever_its_pattern_names() {
        let token = |value: Value| value.as_object().unwrap().clone();
        let alices = token(json!({ "iss": "i", "sub": "alice", "sid": "s", "jti": "j", "iat": 5, "tenant": "a" }));
        for pattern in [
            json!({ "jti": "j" }),
            json!({ "sid": "s" }),
            json!({ "sub": "alice", "issued_before": 6 }),
            json!({ "issued_before": 6 }),
            json!({ "claims": { "tenant": "a" } }),
            json!({ "jti": "j", "sub": "alice", "claims": { "tenant": "a" } }),
        ] {
            let mut pattern = pattern;
            pattern["kind"] = json!("tokens");
            pattern["iss"] = json!("i");
            let rules = rules(&[pattern.clone(), json!({ "kind": "tokens", "iss": "i", "jti": "other" })]);
            assert!(rules.revoke(&alices, NOW), "{pattern}");
            let other = token(json!({ "iss": "o", "sub": "alice", "sid": "s", "jti": "j", "tenant": "a" }));
            assert!(!rules.revoke(&other, NOW), "{pattern}: of another issuer");
            assert!(!rules.revoke(&token(json!({ "sub": "alice" })), NOW), "{pattern}: of no issuer");
        }
    }

    #[test]
    fn a_rule_is_replaced_and_goes_with_its_time() {
        let rule: Rule = serde_json::from_value(json!({ "kind": "user", "user_id": "a" })).unwrap();
        let mut rules = Rules::default();
        for until in [3_000, 2_000] {
            rules.put(rule.id(), Held { rule: rule.clone(), until: UnixSeconds(until), note: None });
        }
        assert_eq!(rules.len(), 1);
        assert!(!rules.block(&Client { user: Some("a"), ..Client::default() }, UnixSeconds(2_500)));
        rules.prune(UnixSeconds(1_999));
        assert_eq!(rules.len(), 1);
        rules.prune(UnixSeconds(2_000));
        assert!(rules.len() == 0 && rules.by_key.is_empty());
    }
}
