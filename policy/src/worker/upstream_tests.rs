//! What upstreams are told beside the user's id.

use serde_json::{Value, json};

use super::*;
use crate::testing::{Outcome, SESSION, bearer, config, request, step, token_with, worker_with};

const AUTH_TIME: u64 = 1_799_999_000;

fn all() -> Worker {
    let mut document = config();
    document["upstream_headers"] = json!({
        "amr": "x-session-amr",
        "auth_time": "x-auth-time",
        "expires_at": "x-session-expires-at",
        "claims": [
            {"claim": "metadata.plan", "header": "x-plan"},
            {"claim": "email", "header": "x-user-email"},
        ],
    });
    document["issuers"][0]["revocation"] = json!("none");
    worker_with(document)
}

fn set<'o>(outcome: &'o Outcome, name: &str) -> Option<&'o str> {
    outcome.forwarded.as_ref()?.iter().find_map(|change| match change {
        HeaderChange::Set(set, value) if set == name => std::str::from_utf8(value).ok(),
        _ => None,
    })
}

fn asked_with(worker: &mut Worker, change: impl FnOnce(&mut Value)) -> Outcome {
    let (name, value) = bearer(&token_with(change));
    step(worker, 1, Event::Request(request("GET", "/orders", &[(name, &value), ("x-plan", "root")])))
}

#[test]
fn the_upstream_is_told_how_and_until_when_the_user_is_logged_in_and_the_chosen_claims() {
    let mut worker = all();
    for _ in 0..2 {
        let outcome = asked_with(&mut worker, |claims| {
            claims["amr"] = json!(["pwd", "otp"]);
            claims["auth_time"] = json!(AUTH_TIME);
            claims["metadata"] = json!({"plan": "gold"});
            claims["email"] = json!("zoë@example.com");
            claims["exp"] = json!(1_800_003_600.75);
        });
        for (name, value) in [
            ("x-session-amr", "pwd otp"),
            ("x-auth-time", "1799999000"),
            ("x-session-expires-at", "1800003600"),
            ("x-plan", "gold"),
            ("x-user-email", "zo%C3%AB@example.com"),
        ] {
            assert_eq!(set(&outcome, name), Some(value), "{name}");
        }
        let changes = outcome.forwarded.unwrap();
        let place = |change: &HeaderChange| changes.iter().position(|one| one == change).unwrap();
        assert!(place(&HeaderChange::Remove("x-plan".to_owned())) < place(&HeaderChange::set("x-plan", "gold")));
        worker.forget(1, crate::testing::CLOCKS);
    }
}

#[test]
fn what_is_no_visible_ascii_is_percent_encoded_and_so_is_the_percent_sign() {
    let mut document = config();
    document["issuers"][0]["issuer"] = json!("https://id.example/a%20b");
    document["issuers"][0]["revocation"] = json!("none");
    let mut worker = worker_with(document);
    for _ in 0..2 {
        let outcome = asked_with(&mut worker, |claims| {
            claims["iss"] = json!("https://id.example/a%20b");
            claims["sub"] = json!("Zoë 100%");
            claims["jti"] = json!("née");
            claims["scope"] = json!("read 50%");
        });
        for (name, value) in [
            ("x-user-id", "Zo%C3%AB 100%25"),
            ("x-token-issuer", "https://id.example/a%2520b"),
            ("x-token-id", "n%C3%A9e"),
            ("x-scopes", "50%25 read"),
        ] {
            assert_eq!(set(&outcome, name), Some(value), "{name}");
        }
        worker.forget(1, crate::testing::CLOCKS);
    }
}

#[test]
fn what_a_token_does_not_say_is_said_by_nobody() {
    let mut worker = all();
    let outcome = asked_with(&mut worker, |_| {});
    for name in ["x-session-amr", "x-auth-time", "x-plan", "x-user-email"] {
        assert_eq!(set(&outcome, name), None, "{name}");
    }
    let removed = outcome.forwarded.unwrap().contains(&HeaderChange::Remove("x-plan".to_owned()));
    assert!(removed, "the client's own");
    for path in ["/public", "/optional"] {
        let outcome = step(&mut worker, 2, Event::Request(request("GET", path, &[("x-session-expires-at", "9")])));
        assert_eq!(outcome.forwarded, Some(vec![HeaderChange::Remove("x-session-expires-at".to_owned())]), "{path}");
        worker.forget(2, crate::testing::CLOCKS);
    }
}

#[test]
fn a_session_ends_later_than_its_token() {
    let mut document = config();
    document["upstream_headers"] = json!({"expires_at": "x-session-expires-at"});
    document["routes"][0] = json!({"name": "all", "failure_mode": "allow"});
    let mut worker = worker_with(document);
    let (name, value) = bearer(&token_with(|claims| claims["session_exp"] = json!(1_800_086_400)));
    let held = step(&mut worker, 1, Event::Request(request("GET", "/orders", &[(name, &value)])));
    assert!(held.call.is_some(), "nothing is known from the feed");
    let outcome = step(&mut worker, 1, crate::testing::check_reply(None));
    assert_eq!(set(&outcome, "x-session-id"), Some(SESSION));
    assert_eq!(set(&outcome, "x-session-expires-at"), Some("1800086400"));
}
