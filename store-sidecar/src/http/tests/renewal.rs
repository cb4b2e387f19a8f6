//! Successors of tokens, as the filter asks for them.

use std::collections::BTreeSet;

use serde_json::json;

use super::{feed::id_of, *};

const PATH: &str = "/v1/tokens/renew";
/// When a token of an hour is due.
const DUE: Duration = Duration::from_secs(50 * 60);

async fn renew(gate: &Gate, token: &str) -> Answer {
    let answer = gate.post(PATH, json!({"token": token})).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text);
    answer
}

/// The successor.
async fn renewed(gate: &Gate, token: &str) -> String {
    let answer = renew(gate, token).await;
    answer.json()["token"]["token"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

/// The verdict, and that there is no successor.
async fn refused(gate: &Gate, token: &str) -> String {
    let answer = renew(gate, token).await;
    assert_eq!(answer.json().get("token"), None, "{}", answer.text);
    verdict(&answer)
}

fn claims(gate: &Gate, token: &str) -> Claims {
    gate.keys.get().verify(token, "session-gate", "api").unwrap().claims().clone()
}

fn token_in(answer: &Answer) -> String {
    answer.json()["token"]["token"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

async fn log_in(gate: &Gate, what: Value) -> String {
    token_in(&gate.post("/v1/login", what).await)
}

/// How often renewals came out like that.
async fn counted(gate: &Gate, outcome: &str) -> u64 {
    let text = gate.get("/metrics").await.text;
    let series = format!(r#"session_gate_tokens_renewed_total{{outcome="{outcome}"}} "#);
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_successor_says_what_its_predecessor_did_and_lives_on() {
    let gate = Gate::new();
    let login = json!({
        "user_id": "alice", "session_scopes": ["read", "write"], "amr": ["pwd", "otp"], "ip_address": "192.0.2.1",
        "user_agent": "browser", "token_metadata": {"plan": "pro"},
    });
    let first = log_in(&gate, login).await;
    let before = claims(&gate, &first);
    assert_eq!(before.renewal, Some(0));
    gate.clock.advance(DUE);
    let now = UnixSeconds(START.0 + DUE.as_secs());
    let answer = renew(&gate, &first).await;
    let second = token_in(&answer);
    let after = claims(&gate, &second);
    assert_eq!(answer.json(), json!({"verdict": "live", "token": {"token": second, "expires_at": after.exp}}));
    assert_eq!(after.auth_time, Some(START), "it is no proof of anything");
    let lifetime = after.exp.since(now).as_secs();
    assert!((3240..=3600).contains(&lifetime), "{lifetime}");
    assert_ne!(after.jti, before.jti);
    let carried = Claims {
        exp: after.exp,
        iat: now,
        nbf: now.before(session_gate_protocol::MAX_LEEWAY),
        renewal: Some(1),
        jti: after.jti.clone(),
        ..before
    };
    assert_eq!(after, carried);
    assert!(gate.is_active(&first).await && gate.is_active(&second).await);
    // The chain goes on.
    gate.clock.advance(DUE);
    assert_eq!(claims(&gate, &renewed(&gate, &second).await).renewal, Some(2));
    assert_eq!(counted(&gate, "renewed").await, 2);
}

/// Whoever renews at the same moment is not due at the same moment again.
#[tokio::test]
async fn lifetimes_differ_and_none_is_due_at_once() {
    for (threshold, range) in [(15, 3240..=3600), (59, 3570..=3600)] {
        let gate =
            Gate::with(Setup { refresh_threshold: Some(Duration::from_secs(threshold * 60)), ..Setup::default() });
        let mut tokens = Vec::new();
        for number in 0..30 {
            tokens.push(log_in(&gate, json!({"user_id": format!("user {number}")})).await);
        }
        gate.clock.advance(DUE);
        let mut lifetimes = BTreeSet::new();
        for token in tokens {
            let claims = claims(&gate, &renewed(&gate, &token).await);
            lifetimes.insert(claims.exp.since(claims.iat).as_secs());
        }
        assert!(lifetimes.iter().all(|lifetime| range.contains(lifetime)), "{lifetimes:?}");
        assert!(lifetimes.len() > 10, "{lifetimes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_due_stays() {
    let (gate, faults) = faulty(None);
    let (_, token) = gate.login("alice").await;
    gate.clock.advance(Duration::from_secs(2699));
    faults.asked();
    assert_eq!(refused(&gate, &token).await, "live");
    assert!(!faults.asked().contains(&"renew_token"), "nothing is stored");
    assert_eq!(counted(&gate, "not_due").await, 1);
    gate.clock.advance(Duration::from_secs(1));
    renewed(&gate, &token).await;
    // A threshold of zero: never.
    let gate = Gate::with(Setup { refresh_threshold: Some(Duration::ZERO), ..Setup::default() });
    let (_, token) = gate.login("alice").await;
    for _ in 0..2 {
        gate.clock.advance(Duration::from_secs(3599));
        assert_eq!(refused(&gate, &token).await, "live");
    }
}

/// Case R1: one mint per burst, over all replicas.
#[tokio::test]
async fn a_burst_over_two_sidecars_gives_one_successor() {
    let first = Gate::new();
    let store = Arc::clone(&first.store);
    let second = Gate::with(Setup { store: Some(Box::new(move |_| store)), ..Setup::default() });
    // So that the two don't make the same random numbers.
    second.login("bob").await;
    let (path, token) = first.login("alice").await;
    first.clock.advance(DUE);
    second.clock.advance(DUE);
    let bursts = (0..200).map(|number| {
        let router = if number % 2 == 0 { first.router.clone() } else { second.router.clone() };
        let body = json!({"token": token}).to_string();
        tokio::spawn(async move {
            let request = Request::post(PATH).header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
            let response = router.oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        })
    });
    let mut answers = BTreeSet::new();
    for burst in bursts.collect::<Vec<_>>() {
        answers.insert(burst.await.unwrap());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let minted = counted(&first, "renewed").await + counted(&second, "renewed").await;
    let shared = counted(&first, "shared").await + counted(&second, "shared").await;
    assert_eq!((minted, shared), (1, 199));
    assert_eq!(first.get(&path).await.json()["version"], 1, "the session has not changed");
}

/// Case S7: twelve tabs are restored in the morning, with a cookie whose token has expired.
#[tokio::test]
async fn an_expired_token_is_renewed_while_its_session_lives() {
    let gate = Gate::new();
    let days = |days: u64| Duration::from_hours(days * 24);
    let login = json!({"kind": "login", "user_id": "alice", "class": "remember"});
    let first = token_in(&gate.post("/v1/session-commands", json!({"command": login})).await);
    gate.clock.advance(days(3));
    let mut successors = BTreeSet::new();
    for _ in 0..12 {
        let answer = renew(&gate, &first).await.json();
        assert_eq!(answer["token"]["max_age"], json!(days(87).as_secs()), "what is left of the session");
        successors.insert(answer["token"]["token"].as_str().unwrap().to_owned());
    }
    assert_eq!(successors.len(), 1);
    // The browser has lost the answer, and comes again after another night: all tabs get the same again.
    gate.clock.advance(days(1));
    let lost = successors.pop_first().unwrap();
    for _ in 0..12 {
        successors.insert(renewed(&gate, &first).await);
    }
    let second = successors.pop_first().unwrap();
    assert!(successors.is_empty() && second != lost);
    assert_eq!(claims(&gate, &second).renewal, Some(2));
    assert_eq!(refused(&gate, &lost).await, "live", "which was replaced");
    // What is older than the last but one is not renewed.
    gate.clock.advance(days(1));
    let third = renewed(&gate, &second).await;
    assert_eq!(renewed(&gate, &second).await, third);
    assert_eq!(refused(&gate, &first).await, "live");
    assert!(counted(&gate, "superseded").await == 2 && gate.is_active(&third).await);
    // No use of the session, which is idle in the end; nor is its end moved.
    gate.clock.advance(days(9));
    assert_eq!(refused(&gate, &third).await, "session_expired");
}

/// Case R8: the end never moves.
#[tokio::test]
async fn no_successor_outlives_its_session() {
    let gate = Gate::new();
    let mut token = log_in(&gate, json!({"user_id": "alice", "duration": 2 * 3600})).await;
    let end = UnixSeconds(START.0 + 7200);
    for _ in 0..3 {
        gate.clock.advance(Duration::from_secs(2700));
        let answer = renew(&gate, &token).await.json();
        if let Some(successor) = answer["token"]["token"].as_str() {
            successor.clone_into(&mut token);
        }
    }
    assert_eq!(claims(&gate, &token).exp, end);
    assert_eq!(refused(&gate, &token).await, "session_expired");
    let token = log_in(&gate, json!({"user_id": "bob", "duration": 1800})).await;
    gate.clock.advance(Duration::from_secs(1700));
    assert_eq!(refused(&gate, &token).await, "live", "another would end no later");
    assert_eq!(counted(&gate, "not_due").await, 1);
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_used_is_renewed() {
    let gate = Gate::new();
    let mut tokens = Vec::new();
    for user in ["ended", "suspended", "cut off", "blocked", "revoked"] {
        let (path, token) = gate.login(user).await;
        let id = claims(&gate, &token).jti;
        tokens.push((user, path, token, id));
    }
    gate.clock.advance(DUE);
    gate.delete(&tokens[0].1).await;
    gate.patch(&tokens[1].1, json!({"status": "suspended"})).await;
    gate.delete("/v1/users/cut%20off/sessions").await;
    gate.post("/v1/blocks", json!({"user_id": "blocked"})).await;
    gate.store.revoke_token(&"revoked".parse().unwrap(), &tokens[4].3, UnixSeconds(u64::MAX)).await.unwrap();
    let expected = ["session_terminated", "session_suspended", "session_terminated", "blocked", "token_revoked"];
    for ((user, _, token, _), expected) in tokens.iter().zip(expected) {
        assert_eq!(refused(&gate, token).await, expected, "{user}");
    }
    assert_eq!(counted(&gate, "not_live").await, 5);
    gate.patch(&tokens[1].1, json!({"status": "active"})).await;
    renewed(&gate, &tokens[1].2).await;
}

#[tokio::test]
async fn a_session_that_waits_for_its_second_factor_goes_on_waiting() {
    let gate = Gate::new();
    let first = log_in(&gate, json!({"user_id": "alice", "pending_2fa": true})).await;
    gate.clock.advance(DUE);
    let answer = renew(&gate, &first).await;
    assert_eq!(verdict(&answer), "session_pending_2fa");
    let second = token_in(&answer);
    assert!(claims(&gate, &second).pending_2fa);
    // The successor of before is not that of after: the elevation has made another session.
    let elevated = gate.post("/v1/elevate", json!({"token": second, "amr": ["otp"]})).await.json();
    let elevated = elevated["token"]["token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&gate, &elevated).renewal, Some(0));
    for old in [&first, &second] {
        assert_eq!(refused(&gate, old).await, "session_terminated");
    }
    gate.clock.advance(DUE);
    let renewed = claims(&gate, &renewed(&gate, &elevated).await);
    assert_eq!((renewed.renewal, renewed.pending_2fa, renewed.amr), (Some(1), false, vec!["otp".to_owned()]));
}

#[tokio::test]
async fn a_successor_permits_what_its_session_does_by_now() {
    let gate = Gate::new();
    for (scopes, changed, expected, narrowed) in [
        (json!([]), json!(["write", "admin"]), "admin write", false),
        (json!(["read", "write"]), json!(["read", "write"]), "read write", true),
        (json!(["read", "write"]), json!(["write", "admin"]), "write", true),
        (json!(["read", "write"]), json!(["admin"]), "", true),
    ] {
        let login = json!({"user_id": "alice", "session_scopes": ["read", "write", "own"], "scopes": scopes});
        let first = log_in(&gate, login).await;
        let session = claims(&gate, &first).sid.unwrap();
        gate.clock.advance(DUE);
        gate.patch(&format!("/v1/sessions/{session}"), json!({"scopes": changed})).await;
        let after = claims(&gate, &renewed(&gate, &first).await);
        assert_eq!((after.scope.as_str(), after.narrowed), (expected, narrowed), "{scopes} {changed}");
    }
    let first = log_in(&gate, json!({"user_id": "alice", "scopes": ["own"]})).await;
    gate.clock.advance(DUE);
    let after = claims(&gate, &renewed(&gate, &first).await);
    assert_eq!(
        (after.scope.as_str(), after.narrowed),
        ("own", false),
        "a session without scopes leaves it to the token"
    );
}

/// A token that was made for somebody else must not prolong itself.
#[tokio::test]
async fn other_tokens_are_not_renewed() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let of_session = gate.post("/v1/tokens", json!({"session_id": id_of(&path)})).await.json()["token"].clone();
    let of_user = gate.post("/v1/tokens", json!({"user_id": "alice"})).await.json()["token"].clone();
    let opaque = log_in(&gate, json!({"user_id": "alice", "opaque": true})).await;
    gate.clock.advance(DUE);
    for token in [of_session.as_str().unwrap(), of_user.as_str().unwrap(), &opaque] {
        assert_eq!(refused(&gate, token).await, "live");
    }
    for token in ["nonsense", "a.b.c", "sgt_nonsense", ""] {
        assert_eq!(refused(&gate, token).await, "credential_unknown");
    }
    assert_eq!(counted(&gate, "not_renewable").await, 7);
}

/// Case R10: the old one stays.
#[tokio::test]
async fn a_successor_that_no_cookie_holds_is_not_made() {
    let gate = Gate::new();
    let token = log_in(&gate, json!({"user_id": "alice", "token_metadata": {"x": "y".repeat(1500)}})).await;
    let path = format!("/v1/sessions/{}", claims(&gate, &token).sid.unwrap());
    gate.clock.advance(DUE);
    let scopes: Vec<String> = (0..15).map(|number| format!("{number:0>100}")).collect();
    assert_eq!(gate.patch(&path, json!({"scopes": scopes})).await.status, StatusCode::OK);
    assert_eq!(refused(&gate, &token).await, "live");
    assert_eq!((counted(&gate, "too_large").await, gate.is_active(&token).await), (1, true));
    gate.patch(&path, json!({"scopes": ["read"]})).await;
    renewed(&gate, &token).await;
}

/// Case R7.
#[tokio::test]
async fn a_renewal_is_no_activity() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(3600)), ..Setup::default() });
    let (path, token) = gate.login("alice").await;
    let before = gate.get(&path).await.json();
    gate.clock.advance(DUE);
    let successor = renewed(&gate, &token).await;
    assert_eq!(gate.get(&path).await.json(), before);
    gate.clock.advance(Duration::from_secs(600));
    assert_eq!(refused(&gate, &successor).await, "session_expired");
}

/// Cases R2 and R3: between the check and the step that stores.
#[tokio::test(start_paused = true)]
async fn a_session_that_ends_meanwhile_gives_none() {
    let (gate, faults) = faulty(None);
    let (path, token) = gate.login("alice").await;
    gate.clock.advance(DUE);
    let (store, id) = (Arc::clone(&gate.store), id_of(&path));
    faults.interrupt("renew_token", async move {
        store.terminate_session(&id, crate::store::conformance::op()).await.unwrap();
    });
    assert_eq!(refused(&gate, &token).await, "session_terminated");
    assert_eq!(counted(&gate, "not_live").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_gives_none_and_a_lost_answer_is_found_again() {
    let (gate, faults) = faulty(None);
    let (_, token) = gate.login("alice").await;
    gate.clock.advance(DUE);
    for step in ["check", "renew_token"] {
        faults.fail(Some(step));
        let failed = gate.post(PATH, json!({"token": token})).await;
        assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]));
    }
    assert_eq!(counted(&gate, "unavailable").await, 2);
    faults.fail(None);
    faults.lose_answer("renew_token");
    assert_eq!(gate.post(PATH, json!({"token": token})).await.status, StatusCode::SERVICE_UNAVAILABLE);
    renewed(&gate, &token).await;
    assert_eq!((counted(&gate, "renewed").await, counted(&gate, "shared").await), (0, 1));
}

/// The store alone has nothing that can be used, and whoever writes into it can't give anybody a token.
#[tokio::test]
async fn what_the_store_holds_opens_for_the_predecessor_alone() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    let (_, other) = gate.login("bob").await;
    gate.clock.advance(DUE);
    let successor = renewed(&gate, &token).await;
    let session = id_of(&path);
    let ask =
        |shown, replaced| Renewal { user_id: "alice".parse().unwrap(), shown, replaced, sealed: "planted".to_owned() };
    let Renewed::Before { sealed, .. } = gate.store.renew_token(&session, &ask(0, 0)).await.unwrap() else { panic!() };
    let open = |shown| crate::sealing::open(crate::sealing::Purpose::Renewal, shown, session.as_str(), &sealed);
    assert_eq!(open(&token), Some(successor.clone()));
    assert_eq!((open(&other), open(&successor)), (None, None));
    assert!(!sealed.contains(&successor));
    assert!(matches!(gate.store.renew_token(&session, &ask(1, 1)).await.unwrap(), Renewed::Stored { .. }));
    gate.clock.advance(DUE);
    assert_eq!(refused(&gate, &successor).await, "live");
}

/// The feed forgets a revoked token with its time: its successor would live on.
#[tokio::test]
async fn who_revokes_a_token_that_is_renewed_ends_its_session() {
    for age in [0, 3600, 24 * 3600 - 60] {
        let gate = Gate::new();
        let (path, token) = gate.login("alice").await;
        let of_session = gate.post("/v1/tokens", json!({"session_id": id_of(&path)})).await.json()["token"].clone();
        let (_, other) = gate.login("alice").await;
        gate.form("/v1/tokens/revoke", format!("token={}", of_session.as_str().unwrap())).await;
        assert_eq!(gate.get(&path).await.json()["status"], "active", "one that is not renewed goes alone");
        gate.clock.advance(Duration::from_secs(age));
        for _ in 0..2 {
            assert_eq!(gate.form("/v1/tokens/revoke", format!("token={token}")).await.status, StatusCode::OK);
        }
        assert_eq!(gate.get(&path).await.json()["status"], "terminated", "{age}");
        assert_ne!(refused(&gate, &token).await, "live");
        assert_eq!(verdict(&renew(&gate, &other).await), "live");
        let metrics = gate.get("/metrics").await.text;
        assert!(metrics.contains(r#"session_gate_sessions_terminated_total{reason="token_revoked"} 1"#), "{metrics}");
    }
}

#[tokio::test]
async fn a_request_names_one_token() {
    let gate = Gate::new();
    for wrong in [json!({}), json!({"token": 1}), json!({"token": "a", "session": "b"})] {
        assert_eq!(gate.post(PATH, wrong).await.status, StatusCode::BAD_REQUEST);
    }
}
