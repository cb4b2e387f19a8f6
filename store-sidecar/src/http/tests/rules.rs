//! The block list, and revoked tokens of other issuers.

use serde_json::json;
use session_gate_protocol::FeedChange;

use super::*;
use crate::clock::Clock as _;

async fn block(gate: &Gate, rule: Value) -> Value {
    let answer = gate.post("/v1/blocks", &rule).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::CREATED, "no-store"), "{}", answer.text);
    answer.json()
}

fn path(kind: &str, rule: &Value) -> String {
    format!("/v1/{kind}/{}", rule["rule_id"].as_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn whoever_is_on_the_block_list_is_refused_until_the_rule_is_over_or_removed() {
    let gate = Gate::new();
    let (_, token) = gate.login("alice").await;
    let claims = gate.keys.get().verify(&token, "session-gate", "api").unwrap().claims().clone();
    let ask = async || {
        let own = json!({"kind": "own", "user_id": "alice", "session_id": claims.sid, "token_id": claims.jti});
        let foreign = json!({"kind": "foreign", "claims": {"iss": "i", "sub": "alice"}, "require_session": false});
        let mut verdicts = Vec::new();
        for credential in [own, foreign] {
            let question = json!({"credential": credential, "address": "192.0.2.7", "user_agent": "A BadBot/3"});
            verdicts.push(verdict(&gate.post("/v1/check", question).await));
        }
        verdicts.dedup();
        verdicts.join(" ")
    };
    assert_eq!(ask().await, "live");
    for rule in [
        json!({"user_id": "alice"}),
        json!({"address": "192.0.2.7"}),
        json!({"address": "192.0.2.0/25", "note": "a scanner"}),
        json!({"user_agent": "badBOT"}),
    ] {
        let made = block(&gate, rule.clone()).await;
        assert_eq!(
            (&made["expires_at"], made.get("note")),
            (&Value::Null, Some(rule.get("note").unwrap_or(&Value::Null)))
        );
        assert_eq!(ask().await, "blocked", "{rule}");
        assert_eq!(gate.delete(&path("blocks", &made)).await.status, StatusCode::NO_CONTENT);
        assert_eq!(ask().await, "live", "{rule}");
        let mut short = rule.clone();
        short["duration"] = json!(60);
        assert_eq!(block(&gate, short).await["expires_at"], gate.clock.now().0 + 60);
        gate.clock.advance(Duration::from_secs(59));
        assert_eq!(ask().await, "blocked", "{rule}");
        gate.clock.advance(Duration::from_secs(1));
        assert_eq!(ask().await, "live", "{rule}");
    }
    block(&gate, json!({"user_id": "alice"})).await;
    assert!(!gate.is_active(&token).await, "nor is a blocked user's token active");
}

#[tokio::test(start_paused = true)]
async fn the_block_list_is_shown_in_pages_and_without_what_is_over() {
    let gate = Gate::new();
    assert_eq!(gate.get("/v1/blocks").await.json(), json!({"blocks": [], "more": false}));
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(block(&gate, json!({"user_id": format!("u{number}"), "duration": 600, "note": "n"})).await);
    }
    block(&gate, json!({"user_id": "short", "duration": 10})).await;
    gate.post("/v1/revocations", json!({"iss": "https://idp", "sub": "a", "duration": 600})).await;
    gate.clock.advance(Duration::from_secs(11));
    made.sort_by_key(|rule| rule["rule_id"].as_str().unwrap().to_owned());
    let first = gate.get("/v1/blocks?limit=3").await.json();
    assert_eq!((&first["blocks"], &first["more"]), (&json!(made[..3]), &json!(true)));
    let last = made[2]["rule_id"].as_str().unwrap();
    let second = gate.get(&format!("/v1/blocks?limit=3&after={last}")).await.json();
    assert_eq!((&second["blocks"], &second["more"]), (&json!(made[3..]), &json!(false)));
    let expected = json!({
        "rule_id": made[0]["rule_id"], "rule": {"kind": "user", "user_id": made[0]["rule"]["user_id"]},
        "expires_at": START.0 + 600, "note": "n",
    });
    assert_eq!(made[0], expected);
    assert!(gate.get("/metrics").await.text.contains("session_gate_feed_rules 6.0\n"));
}

#[tokio::test(start_paused = true)]
async fn the_same_rule_again_replaces_its_end() {
    let gate = Gate::new();
    let first = block(&gate, json!({"user_agent": "BadBot"})).await;
    let second = block(&gate, json!({"user_agent": "badbot", "duration": 60})).await;
    assert_eq!(first["rule_id"], second["rule_id"]);
    assert_eq!(gate.get("/v1/blocks").await.json()["blocks"], json!([second]));
    gate.clock.advance(Duration::from_secs(60));
    assert_eq!(gate.get("/v1/blocks").await.json()["blocks"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn removing_a_rule_that_is_not_there_is_no_error() {
    let gate = Gate::new();
    for kind in ["blocks", "revocations"] {
        for _ in 0..2 {
            assert_eq!(gate.delete(&format!("/v1/{kind}/AAAAAAAAAAAAAAAA")).await.status, StatusCode::NO_CONTENT);
        }
        let wrong = gate.delete(&format!("/v1/{kind}/nonsense")).await;
        assert_eq!(wrong.problem(), problem(400, "invalid_request", &["rule_id"]));
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_of_a_rule_can_be_waited_for() {
    let gate = Gate::new();
    let all = json!({"applied": true, "pending": []});
    let made = gate.post("/v1/blocks?wait=applied", json!({"user_id": "a"})).await;
    assert_eq!((made.status, &made.json()["receipt"]), (StatusCode::CREATED, &all));
    let removed = gate.delete_and_wait(&path("blocks", &made.json())).await;
    assert_eq!((removed.status, removed.json()), (StatusCode::OK, all.clone()));
    let made = gate.post("/v1/revocations?wait=applied", json!({"iss": "i", "jti": "t", "duration": 9})).await;
    assert_eq!((made.status, &made.json()["receipt"]), (StatusCode::CREATED, &all));
    let removed = gate.delete_and_wait(&path("revocations", &made.json())).await;
    assert_eq!((removed.status, removed.json()), (StatusCode::OK, all));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_in_the_feed_until_its_end_and_the_largest_leeway() {
    let gate = Gate::new();
    let body = json!({"iss": "https://idp", "sid": "s", "claims": {"tenant": "acme"}, "duration": 86_400});
    let made = gate.post("/v1/revocations", body).await.json();
    let rule = json!({"kind": "tokens", "iss": "https://idp", "sid": "s", "claims": {"tenant": "acme"}});
    assert_eq!((&made["rule"], &made["expires_at"]), (&rule, &json!(START.0 + 86_400 + 300)));
    let entries = gate.store.read_feed(None, 10).await.unwrap().entries;
    assert!(matches!(entries[0].change, FeedChange::RuleAdded { .. }));
    assert_eq!(entries[0].until, START.after(Duration::from_secs(86_700)), "longer than any token of ours");
    tokio::time::sleep(Duration::from_millis(10)).await;
    let listed = gate.get("/v1/revocations").await.json();
    assert_eq!(listed["entries"][0]["change"]["rule"], rule);
}

#[tokio::test(start_paused = true)]
async fn a_full_list_says_so() {
    let gate = Gate::new();
    let rule = |number: usize| {
        let rule: session_gate_protocol::Rule =
            serde_json::from_value(json!({"kind": "user", "user_id": format!("u{number}")})).unwrap();
        let change = FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None };
        NewFeedEntry { until: crate::store::UNLIMITED, change }
    };
    let all: Vec<_> = (0..crate::store::MAX_STANDING_RULES).map(rule).collect();
    gate.store.append_feed(&all).await.unwrap();
    for (path, body) in [
        ("/v1/blocks", json!({"user_id": "one more"})),
        ("/v1/revocations", json!({"iss": "i", "sub": "a", "duration": 86_400})),
    ] {
        let answer = gate.post(path, body).await;
        assert_eq!(answer.problem(), problem(409, "state_conflict", &[]));
        assert!(answer.text.contains("Persistent rule limit (10000"), "{}", answer.text);
    }
    block(&gate, json!({"user_id": "one more", "duration": 60})).await;
    block(&gate, json!({"user_id": "u1"})).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_block_is_named() {
    let gate = Gate::new();
    let long = "x".repeat(257);
    for (body, fields) in [
        (json!({}), vec!["address"]),
        (json!({"address": "here"}), vec!["address"]),
        (json!({"address": "192.0.2.0/33"}), vec!["address"]),
        (json!({"user_id": ""}), vec!["user_id"]),
        (json!({"address": "192.0.2.1", "user_id": "a"}), vec!["user_id"]),
        (json!({"address": "192.0.2.1", "user_agent": "BadBot", "user_id": "a"}), vec!["user_id", "user_agent"]),
        (json!({"user_agent": "ab"}), vec!["user_agent"]),
        (json!({"user_agent": "", "force": true}), vec!["user_agent"]),
        (json!({"user_agent": "curl\t"}), vec!["user_agent"]),
        (json!({"user_agent": "cürl"}), vec!["user_agent"]),
        (json!({"user_agent": long}), vec!["user_agent"]),
        (json!({"user_id": "a", "duration": 0, "note": long}), vec!["duration", "note"]),
        (json!({"user_id": "a", "duration": 3_153_600_001_u64}), vec!["duration"]),
        (json!({"user_id": "a", "duration": -1, "until": 5}), vec!["duration", "until"]),
    ] {
        let answer = gate.post("/v1/blocks", &body).await;
        let mut found = answer.problem();
        found.2.sort_by_key(|field| fields.iter().position(|wanted| wanted == field));
        assert_eq!(found, problem(400, "invalid_request", &fields), "{body}");
    }
    for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("after=x", "after"), ("from=x", "from")] {
        let answer = gate.get(&format!("/v1/blocks?{query}")).await;
        assert_eq!(answer.problem(), problem(400, "invalid_request", &[field]), "{query}");
    }
    assert_eq!(gate.get("/v1/blocks").await.json()["blocks"], json!([]), "and nothing is done");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_revocation_is_named() {
    let gate = Gate::new();
    let long = "x".repeat(257);
    let many: serde_json::Map<String, Value> = (0..9).map(|number| (format!("c{number}"), json!(1))).collect();
    let large: serde_json::Map<String, Value> =
        (0..8).map(|number| (format!("c{number}"), json!("x".repeat(256)))).collect();
    for (body, fields) in [
        (json!({}), vec!["iss", "duration", "jti"]),
        (json!({"iss": "i", "duration": 60}), vec!["jti"]),
        (json!({"iss": "session-gate", "jti": "t", "duration": 60}), vec!["iss"]),
        (json!({"iss": "", "jti": "", "sid": long, "sub": long, "duration": 60}), vec!["iss", "jti", "sid", "sub"]),
        (json!({"iss": "i", "jti": 5, "issued_before": "now", "duration": 60}), vec!["jti", "issued_before"]),
        (
            json!({"iss": "i", "duration": 60, "claims": {"a": null, "b": [1], "c": {}, "d": long}}),
            vec!["claims.a", "claims.b", "claims.c", "claims.d"],
        ),
        (json!({"iss": "i", "duration": 60, "claims": many}), vec!["claims"]),
        (json!({"iss": "i", "duration": 60, "claims": large}), vec!["claims"]),
        (json!({"iss": "i", "jti": "t", "duration": 60, "note": long}), vec!["note"]),
        (json!({"iss": "i", "jti": "t", "duration": 60, "aud": "x"}), vec!["aud"]),
    ] {
        let answer = gate.post("/v1/revocations", &body).await;
        let mut found = answer.problem();
        found.2.sort_by_key(|field| fields.iter().position(|wanted| wanted == field));
        assert_eq!(found, problem(400, "invalid_request", &fields), "{body}");
    }
    assert!(gate.store.read_feed(None, 10).await.unwrap().entries.is_empty(), "and nothing is done");
}
