//! The `upstreams` section, and which of them a route leads to.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    problems::Problems,
    raw::{RawUpstream, RawUpstreams},
};
use crate::http::proof::{ProofKey, Upstream};

/// As long as SHA-256 is, of which each character is worth less than a byte: made of random ones, not of words.
const MIN_SECRET_CHARS: usize = 32;
const MAX_SECRET_CHARS: usize = 256;

/// The upstreams, by name.
pub(super) struct Upstreams(BTreeMap<String, Rc<Upstream>>);

impl Upstreams {
    pub(super) fn new(raw: RawUpstreams, problems: &mut Problems) -> Self {
        let mut secrets = Vec::new();
        let upstreams = raw.into_iter().map(|(name, raw)| {
            let upstream = upstream(name.clone(), raw, &mut secrets, problems);
            (name, Rc::new(upstream))
        });
        Self(upstreams.collect())
    }

    /// The one of that name.
    pub(super) fn named(&self, name: &str, path: &str, problems: &mut Problems) -> Option<Rc<Upstream>> {
        let found = self.0.get(name).cloned();
        if found.is_none() {
            problems.add(path, "must be the name of one of `upstreams`");
        }
        found
    }

    /// Warns of those that no route leads to: nobody else holds them.
    pub(super) fn warn_of_unused(&self, problems: &mut Problems) {
        for (name, _) in self.0.iter().filter(|(_, upstream)| Rc::strong_count(upstream) == 1) {
            problems.warn(format!("upstreams.{name}"), "is used by no route: nobody gets its proofs");
        }
    }
}

/// `secrets`: those of the upstreams before, and where they stand.
fn upstream(name: String, raw: RawUpstream, secrets: &mut Vec<(String, String)>, problems: &mut Problems) -> Upstream {
    let path = format!("upstreams.{name}");
    if !is_of(&name, 64, b"_.-") {
        problems.add(&path, "must have a name of 1 to 64 of a-z A-Z 0-9 _ . -");
    }
    let keys_path = format!("{path}.proof_keys");
    if !(1..=2).contains(&raw.proof_keys.len()) && !problems.has(&keys_path) {
        problems.add(&keys_path, "must have one key, or two while one replaces the other");
    }
    let mut keys = Vec::new();
    for (id, secret) in raw.proof_keys {
        let path = format!("{keys_path}.{id}");
        if !is_of(&id, 32, b"_-") {
            problems.add(&path, "must have an id of 1 to 32 of a-z A-Z 0-9 _ -");
        }
        if !(MIN_SECRET_CHARS..=MAX_SECRET_CHARS).contains(&secret.len())
            || !secret.bytes().all(|b| b.is_ascii_graphic())
        {
            let message = format!("must be {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} characters of visible ASCII");
            problems.add(&path, message);
        } else if let Some((_, other)) = secrets.iter().find(|(known, _)| *known == secret) {
            let message = format!("must not be the same as `{other}`: who has it could prove what it likes to both");
            problems.add(&path, message);
        }
        keys.extend(ProofKey::new(id, secret.as_bytes()));
        secrets.push((secret, path));
    }
    Upstream { name, keys }
}

fn is_of(text: &str, longest: usize, beside_alphanumeric: &[u8]) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || beside_alphanumeric.contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{config::Config, routing::Route, testing::config};

    const SECRET: &str = "a-secret-of-32-characters-or-more";

    fn with(upstreams: Value, change: impl FnOnce(&mut Value)) -> Result<Config, Vec<String>> {
        let mut document = config();
        document["upstreams"] = upstreams;
        change(&mut document);
        Config::from_value(document).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn orders(keys: Value) -> Value {
        json!({"orders": {"proof_keys": keys}})
    }

    #[test]
    fn a_route_leads_to_its_own_upstream_or_to_that_of_all() {
        let upstreams = json!({
            "orders": {"proof_keys": {"2026-11": SECRET, "2026-12": SECRET.repeat(2)}},
            "billing.eu": {"proof_keys": {"2026-11": "b".repeat(32)}},
            "idle": {"proof_keys": {"k": "i".repeat(32)}},
        });
        let config = with(upstreams, |document| {
            document["upstream"] = json!("orders");
            document["routes"][0]["upstream"] = json!("billing.eu");
        })
        .unwrap();
        let name = |route: &Route| route.policy.upstream.as_ref().unwrap().name.clone();
        let names: Vec<_> = config.routes.iter().map(|route| name(route)).collect();
        assert_eq!((names[0].as_str(), names[1].as_str()), ("billing.eu", "orders"));
        assert_eq!(name(config.routes.fallback()), "orders");
        let warnings: Vec<_> = config.warnings().iter().map(|warning| warning.path.clone()).collect();
        assert!(warnings.contains(&"upstreams.idle".to_owned()), "{warnings:?}");
        assert!(!warnings.contains(&"upstreams.orders".to_owned()), "{warnings:?}");
        assert!(with(json!({}), |_| {}).unwrap().routes.iter().all(|route| route.policy.upstream.is_none()));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_with_it() {
        type Change = fn(&mut Value);
        let none: Change = |_| {};
        let good = || orders(json!({"k": SECRET}));
        for (upstreams, change, expected) in [
            (orders(json!({"k": "secret-too-short"})), none, "upstreams.orders.proof_keys.k"),
            (orders(json!({"k": "secret".repeat(50)})), none, "upstreams.orders.proof_keys.k"),
            (orders(json!({"k": "secret with spaces and 32 characters"})), none, "upstreams.orders.proof_keys.k"),
            (orders(json!({"k": ["secret"]})), none, "upstreams.orders.proof_keys.k"),
            (orders(json!({"k": 123_456_789})), none, "upstreams.orders.proof_keys.k"),
            (orders(json!({"k": ""})), none, "upstreams.orders.proof_keys.k"),
            (orders(json!({"a b": SECRET})), none, "upstreams.orders.proof_keys.a b"),
            (orders(json!({"a.b": SECRET})), none, "upstreams.orders.proof_keys.a.b"),
            (orders(json!({"": SECRET})), none, "upstreams.orders.proof_keys."),
            (orders(json!(SECRET)), none, "upstreams.orders.proof_keys"),
            (orders(json!({})), none, "upstreams.orders.proof_keys"),
            (
                orders(json!({"a": SECRET, "b": SECRET.repeat(2), "c": SECRET.repeat(3)})),
                none,
                "upstreams.orders.proof_keys",
            ),
            (orders(json!({"a": SECRET, "b": SECRET})), none, "upstreams.orders.proof_keys.b"),
            (json!({"orders": {}}), none, "upstreams.orders.proof_keys"),
            (json!({"orders": {"proof_keys": {"k": SECRET}, "key": SECRET}}), none, "upstreams.orders.key"),
            (json!({"a b": {"proof_keys": {"k": SECRET}}}), none, "upstreams.a b"),
            (
                json!({"a": {"proof_keys": {"k": SECRET}}, "b": {"proof_keys": {"k": SECRET}}}),
                none,
                "upstreams.b.proof_keys.k",
            ),
            (good(), |document| document["upstream"] = json!("order"), "upstream"),
            (good(), |document| document["routes"][1]["upstream"] = json!("x"), "routes[1].upstream"),
            (good(), |document| document["upstream_headers"] = json!({"proof": "x-user-id"}), "upstream_headers.proof"),
        ] {
            let problems = with(upstreams.clone(), change).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            let problem = &problems[0];
            assert_eq!(problem.split(": ").next(), Some(expected), "{upstreams}");
            assert!(!problem.contains(SECRET) && !problem.contains("secret-") && !problem.contains("123"), "{problem}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = with(orders(json!({"k": SECRET})), |document| document["upstream"] = json!("orders"));
        let shown = format!("{:?}", config.unwrap());
        assert!(shown.contains("orders") && !shown.contains(SECRET));
        let raw: super::RawUpstream = serde_json::from_value(json!({"proof_keys": {"the-id": SECRET}})).unwrap();
        let shown = format!("{raw:?}");
        assert!(shown.contains("the-id") && !shown.contains(SECRET), "{shown}");
    }
}
