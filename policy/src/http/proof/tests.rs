use proptest::{collection::vec, prelude::*};
use session_gate_protocol::UnixSeconds;

use super::*;
use crate::http::headers::HeaderChange;

const SECRET: &[u8] = b"a-secret-of-32-characters-or-more";
const NOW: UnixSeconds = UnixSeconds(1_800_000_007);

fn key(id: &str, secret: &[u8]) -> ProofKey {
    ProofKey::new(id.to_owned(), secret).unwrap()
}

fn upstream(keys: Vec<ProofKey>) -> Upstream {
    Upstream { name: "orders".to_owned(), keys }
}

fn said(headers: &[(&str, &str)]) -> Vec<HeaderChange> {
    headers.iter().map(|(name, value)| HeaderChange::set(*name, *value)).collect()
}

fn proof(upstream: &Upstream, headers: &[(&str, &str)]) -> String {
    ProofCache::default().proof(upstream, &said(headers), NOW)
}

/// Those of `docs/backends.md`, computed by another implementation.
#[test]
fn the_documented_vectors_hold() {
    let one = upstream(vec![key("2026-11", SECRET)]);
    let anonymous = "180000000.2026-11.02257b71b9055533a24b50ea22e90241f59d590bdb9b0d89ae05d00b8b7bda41";
    assert_eq!(proof(&one, &[]), anonymous);
    let alice = [("x-user-id", "Zo%C3%AB"), ("x-token-issuer", "session-gate"), ("x-scopes", "read write")];
    assert_eq!(
        proof(&one, &alice),
        "180000000.2026-11.a5ce617985de10864b6d934c9383ab86aa3ddb134116ade46b783b6bb2045252"
    );
    assert_eq!(
        String::from_utf8(one.canonical(&said(&alice))).unwrap(),
        "orders\nx-scopes:10:read write\nx-token-issuer:12:session-gate\nx-user-id:8:Zo%C3%AB\n"
    );
}

#[test]
fn a_key_that_replaces_another_has_a_proof_of_its_own_beside() {
    let headers = [("x-user-id", "alice")];
    let both = proof(&upstream(vec![key("old", SECRET), key("new", b"another-secret-of-32-characters-0")]), &headers);
    let (old, new) = both.split_once(' ').unwrap();
    assert_eq!(proof(&upstream(vec![key("old", SECRET)]), &headers), old);
    assert_eq!(proof(&upstream(vec![key("new", b"another-secret-of-32-characters-0")]), &headers), new);
    assert_ne!(old.rsplit('.').next(), new.rsplit('.').next());
}

#[test]
fn a_key_is_shown_by_nothing() {
    let shown = format!("{:?}", upstream(vec![key("2026-11", SECRET)]));
    assert!(shown.contains("2026-11") && !shown.contains("secret"), "{shown}");
}

#[test]
fn the_order_of_headers_and_what_is_done_to_others_change_nothing() {
    let one = upstream(vec![key("k", SECRET)]);
    let expected = proof(&one, &[("x-a", "1"), ("x-b", "2")]);
    assert_eq!(proof(&one, &[("x-b", "2"), ("x-a", "1")]), expected);
    let mut with_removal = said(&[("x-b", "2"), ("x-a", "1")]);
    with_removal.push(HeaderChange::Remove("cookie".to_owned()));
    assert_eq!(ProofCache::default().proof(&one, &with_removal, NOW), expected);
}

proptest! {
    /// Whatever an attacker puts where: what is said can be read back, so no two sayings have one form.
    #[test]
    fn the_canonical_form_can_be_read_back(headers in vec(("[a-z:\n]{0,4}", "[0-9a-z:\n ]{0,6}"), 0..5)) {
        let mut sorted: Vec<_> = headers.iter().filter(|(name, _)| !name.contains([':', '\n'])).cloned().collect();
        sorted.sort();
        let changes: Vec<_> = sorted.iter().map(|(name, value)| HeaderChange::set(name, value.as_str())).collect();
        let text = String::from_utf8(upstream(Vec::new()).canonical(&changes)).unwrap();
        let mut rest = text.strip_prefix("orders\n").unwrap();
        let mut read = Vec::new();
        while !rest.is_empty() {
            let (name, after) = rest.split_once(':').unwrap();
            let (length, after) = after.split_once(':').unwrap();
            let (value, after) = after.split_at(length.parse().unwrap());
            read.push((name.to_owned(), value.to_owned()));
            rest = after.strip_prefix('\n').unwrap();
        }
        prop_assert_eq!(read, sorted);
    }
}
