//! The proof to an upstream that the gate says what its headers say.

use serde_json::{Value, json};
use session_gate_jose::NoHostCrypto;

use super::*;
use crate::{
    http::proof::{ProofKey, Upstream},
    testing::{CLOCKS, Outcome, bearer, check_reply, config, request, step, token_with, verdict, worker_with},
};
use session_gate_protocol::{CheckVerdict, UnixSeconds};

const SECRET: &str = "a-secret-of-32-characters-or-more";

fn with_proofs() -> Value {
    let mut document = config();
    document["upstreams"] = json!({
        "app": {"proof_keys": {"k1": SECRET}},
        "billing": {"proof_keys": {"b1": SECRET.repeat(2)}},
    });
    document["upstream"] = json!("app");
    document["routes"][4]["upstream"] = json!("billing");
    document["upstream_headers"] = json!({"claims": [{"claim": "email", "header": "x-email"}]});
    document
}

/// What the upstream is told, but for the proof, and the proof.
fn told(outcome: &Outcome) -> (Vec<HeaderChange>, String) {
    let sets = outcome.forwarded.iter().flatten().filter(|change| change.as_set().is_some());
    let is_proof = |change: &HeaderChange| change.as_set().is_some_and(|(name, _)| name == "x-session-proof");
    let (proofs, said): (Vec<_>, Vec<_>) = sets.cloned().partition(is_proof);
    assert_eq!(proofs.len(), 1, "{outcome:?}");
    (said, String::from_utf8(proofs[0].as_set().unwrap().1.to_vec()).unwrap())
}

/// The proof that an upstream expects of these headers.
fn expected(name: &str, key: (&str, &str), said: &[HeaderChange], now: UnixSeconds) -> String {
    let keys = vec![ProofKey::new(key.0.to_owned(), key.1.as_bytes()).unwrap()];
    ProofCache::default().proof(&Upstream { name: name.to_owned(), keys }, said, now)
}

fn is_proved(outcome: &Outcome, now: UnixSeconds) -> bool {
    let (said, proof) = told(outcome);
    proof == expected("app", ("k1", SECRET), &said, now)
}

fn get(path: &str, token: Option<&str>) -> Event {
    let token = token.map(bearer);
    let forged = [("x-session-proof", "180000000.k1.00"), ("x_session_proof", "x"), ("x-user-id", "root")];
    let headers: Vec<_> = token.iter().map(|(name, value)| (*name, value.as_str())).chain(forged).collect();
    Event::Request(request("GET", path, &headers))
}

#[test]
fn each_request_has_a_proof_of_all_that_is_said_and_the_clients_own_goes() {
    let mut worker = worker_with(with_proofs());
    for path in ["/public", "/optional"] {
        let outcome = step(&mut worker, 1, get(path, None));
        assert_eq!(told(&outcome).0, Vec::new(), "{path}");
        assert!(is_proved(&outcome, CLOCKS.wall), "{path}");
        for name in ["x-session-proof", "x_session_proof", "x-user-id"] {
            let removed = HeaderChange::Remove(name.to_owned());
            assert!(outcome.forwarded.as_ref().unwrap().contains(&removed), "{name}");
        }
        worker.forget(1, CLOCKS);
    }
    let token = token_with(|claims| claims["email"] = json!("zoë@example.com"));
    step(&mut worker, 2, get("/orders", Some(&token)));
    let outcome = step(&mut worker, 2, verdict(CheckVerdict::Live));
    let (said, _) = told(&outcome);
    let names: Vec<_> = said.iter().filter_map(HeaderChange::as_set).map(|(name, _)| name).collect();
    assert_eq!(names, ["x-user-id", "x-token-issuer", "x-session-id", "x-scopes", "x-token-id", "x-email"]);
    assert!(is_proved(&outcome, CLOCKS.wall));
}

#[test]
fn a_session_without_its_second_factor_cannot_be_taken_for_one_with_it() {
    let mut worker = worker_with(with_proofs());
    let mut proofs = Vec::new();
    for pending in [CheckVerdict::SessionPending2fa, CheckVerdict::Live] {
        step(&mut worker, 1, get("/2fa", Some(&token_with(|claims| claims["pending_2fa"] = json!(true)))));
        let outcome = step(&mut worker, 1, verdict(pending));
        assert!(is_proved(&outcome, CLOCKS.wall));
        proofs.push(told(&outcome).1);
        worker.forget(1, CLOCKS);
    }
    assert_ne!(proofs[0], proofs[1]);
}

#[test]
fn a_proof_is_for_one_upstream_and_for_its_time() {
    let mut worker = worker_with(with_proofs());
    let token = token_with(|_| {});
    step(&mut worker, 1, get("/open", Some(&token)));
    let outcome = step(&mut worker, 1, check_reply(None));
    let (said, proof) = told(&outcome);
    assert_eq!(proof, expected("billing", ("b1", &SECRET.repeat(2)), &said, CLOCKS.wall));
    assert!(!is_proved(&outcome, CLOCKS.wall));

    let later = Now { wall: UnixSeconds(CLOCKS.wall.0 + 10), ..CLOCKS };
    let outcome: Outcome = worker.on_request(3, get("/public", None), later, &NoHostCrypto).into();
    assert!(is_proved(&outcome, later.wall) && !is_proved(&outcome, CLOCKS.wall));
}

#[test]
fn without_an_upstream_there_is_no_proof_and_a_clients_own_goes_all_the_same() {
    let mut worker = worker_with(config());
    let outcome = step(&mut worker, 1, get("/public", None));
    let removed = ["x-session-proof", "x_session_proof", "x-user-id"];
    assert_eq!(outcome.forwarded, Some(removed.map(|name| HeaderChange::Remove(name.to_owned())).to_vec()));
    let trailers = [("x-session-proof", "x"), ("X-Session-Amr", "pwd"), ("x-other", "y")].into_iter().collect();
    let removed = ["x-session-proof", "X-Session-Amr"].map(|name| HeaderChange::Remove(name.to_owned()));
    assert_eq!(worker.trailer_changes(&trailers), removed);
}
