use serde_json::json;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const LATER: UnixSeconds = UnixSeconds(NOW.0 + 60);

fn rule(value: Value) -> Rule {
    serde_json::from_value(value).unwrap()
}

fn rules(values: &[Value]) -> Rules {
    let mut rules = Rules::default();
    for value in values {
        let rule = rule(value.clone());
        rules.add(rule.id(), rule, None, LATER, NOW);
    }
    rules
}

fn network(text: &str) -> Value {
    json!({"kind": "address", "network": text})
}

fn refuses(rules: &Rules, address: &'static str, now: UnixSeconds) -> bool {
    rules.blocks(|| address.parse().ok(), "curl", now)
}

#[test]
fn addresses_are_refused_by_any_range_that_has_them_while_it_lasts() {
    let mut rules = rules(&[network("192.0.2.0/24"), network("198.51.100.7"), network("2001:db8::/32")]);
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "198.51.100.7", "2001:db8:1::2"] {
        assert!(refuses(&rules, address, NOW), "{address}");
        assert!(!refuses(&rules, address, LATER), "{address}");
    }
    for address in ["192.0.3.1", "198.51.100.8", "2001:db9::1", "not an address"] {
        assert!(!refuses(&rules, address, NOW), "{address}");
    }
    rules.remove(&rule(network("192.0.2.0/24")).id());
    assert!(!refuses(&rules, "192.0.2.1", NOW) && refuses(&rules, "198.51.100.7", NOW));
}

#[test]
fn a_rule_that_is_over_hides_no_wider_one() {
    let mut rules = rules(&[network("192.0.2.0/24")]);
    let narrow = rule(network("192.0.2.1"));
    rules.add(narrow.id(), narrow, None, UnixSeconds(NOW.0 + 1), NOW);
    assert!(refuses(&rules, "192.0.2.1", UnixSeconds(NOW.0 + 30)));
}

#[test]
fn adding_again_replaces_the_end() {
    let mut rules = rules(&[network("192.0.2.0/24")]);
    let again = rule(network("192.0.2.0/24"));
    rules.add(again.id(), again.clone(), None, UnixSeconds(NOW.0 + 600), NOW);
    assert!(refuses(&rules, "192.0.2.1", UnixSeconds(NOW.0 + 599)));
    rules.add(again.id(), again, None, UnixSeconds(NOW.0 + 1), NOW);
    assert!(!refuses(&rules, "192.0.2.1", UnixSeconds(NOW.0 + 1)));
    assert_eq!(rules.len(), 1);
}

#[test]
fn user_agents_are_refused_by_a_part_of_them_in_any_case() {
    let rules = rules(&[json!({"kind": "user_agent", "contains": "sqlmap"})]);
    let blocks = |agent: &str| rules.blocks(|| None, agent, NOW);
    assert!(blocks("SQLMap/1.0") && blocks("x sqlmap"));
    assert!(!blocks("sql map") && !blocks(""));
}

#[test]
fn a_block_concerns_what_it_names_and_nothing_else() {
    let alice = Fingerprint::of_user("alice");
    let address = rules(&[network("192.0.2.0/24")]);
    let user = rules(&[json!({"kind": "user", "user_id": "alice"})]);
    let agent = rules(&[json!({"kind": "user_agent", "contains": "badbot/1"})]);
    let tokens = rules(&[json!({"kind": "tokens", "iss": "i", "sub": "alice"})]);
    let blocks_address = |rules: &Rules| refuses(rules, "::ffff:192.0.2.9", NOW);
    let blocks_agent = |rules: &Rules, agent: &str| rules.blocks(|| None, agent, NOW);
    let (bot, tame) = ("Mozilla/5.0 (BadBot/1.2)", "BadBot/2");
    assert!(blocks_address(&address) && !refuses(&address, "192.0.3.9", NOW));
    assert!(user.blocks_user(alice, NOW));
    for other in ["alice2", "Alice"] {
        assert!(!user.blocks_user(Fingerprint::of_user(other), NOW), "{other}");
    }
    assert!(blocks_agent(&agent, bot) && !blocks_agent(&agent, tame));
    for rules in [&user, &agent, &tokens] {
        assert!(!blocks_address(rules));
    }
    for rules in [&address, &agent, &tokens] {
        assert!(!rules.blocks_user(alice, NOW));
    }
    for rules in [&address, &user, &tokens] {
        assert!(!blocks_agent(rules, bot));
    }
    let names = TokenNames::of("i", "alice", None, None, false);
    let claims = || json!({"iss": "i", "sub": "alice"}).as_object().cloned();
    assert!(tokens.revoke(&names, claims, NOW) && !user.revoke(&names, claims, NOW));
}

#[test]
fn rules_that_are_over_make_room() {
    let mut rules = Rules::default();
    for i in 0..50_000_u64 {
        let user = rule(json!({"kind": "user", "user_id": format!("u{i}")}));
        rules.add(user.id(), user, None, UnixSeconds(NOW.0 + i + 10), UnixSeconds(NOW.0 + i));
    }
    assert!(rules.len() <= 1_000 && rules.users.len() <= 1_000, "{} {}", rules.len(), rules.users.len());
    assert!(!rules.is_empty());
}
