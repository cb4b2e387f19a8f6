//! What applications say by headers of their answers.

use serde_json::json;

use super::{feed::id_of, *};

const PATH: &str = "/v1/session-commands";

async fn command(gate: &Gate, token: Option<&str>, command: Value) -> Answer {
    gate.post(PATH, json!({"command": command, "token": token})).await
}

/// Logs in with the header, and answers the token.
async fn log_in(gate: &Gate, token: Option<&str>, user: &str) -> String {
    let login = json!({"kind": "login", "user_id": user, "scopes": ["read"], "amr": ["pwd"]});
    let answer = command(gate, token, login).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!((answer.json()["logged_out"].as_bool(), answer.header("cache-control")), (Some(false), "no-store"));
    answer.json()["token"]["token"].as_str().unwrap().to_owned()
}

async fn log_out(gate: &Gate, token: Option<&str>, sessions: &str) -> Answer {
    command(gate, token, json!({"kind": "logout", "sessions": sessions})).await
}

fn claims(gate: &Gate, token: &str) -> Claims {
    gate.keys.get().verify(token, "session-gate", "api").unwrap().claims().clone()
}

fn session_of(gate: &Gate, token: &str) -> SessionId {
    claims(gate, token).sid.unwrap()
}

async fn status_of(gate: &Gate, token: &str) -> String {
    let session = gate.get(&format!("/v1/sessions/{}", session_of(gate, token))).await.json();
    session["status"].as_str().unwrap().to_owned()
}

/// What is counted under that name and labels.
async fn counted(gate: &Gate, series: &str) -> String {
    let text = gate.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("session_gate_{series} ")));
    line.unwrap_or("0").to_owned()
}

#[tokio::test]
async fn a_login_gives_a_session_and_its_token() {
    let gate = Gate::new();
    let login = json!({
        "kind": "login", "user_id": "alice", "scopes": ["read"], "amr": ["pwd"], "pending_2fa": true,
    });
    let request = json!({"command": login, "ip_address": "192.0.2.1", "user_agent": "browser"});
    let reply = gate.post(PATH, request).await.json();
    let token = reply["token"]["token"].as_str().unwrap();
    let claims = claims(&gate, token);
    assert_eq!((claims.sub.as_str(), claims.scope.as_str(), claims.amr), ("alice", "read", vec!["pwd".to_owned()]));
    assert!(claims.pending_2fa && claims.ip_hash.is_some() && claims.ua_hash.is_some());
    assert_eq!(reply["token"], json!({"token": token, "expires_at": claims.exp}), "a browser drops it when it closes");
    let session = gate.get(&format!("/v1/sessions/{}", claims.sid.unwrap())).await.json();
    assert_eq!((&session["status"], &session["scopes"]), (&json!("pending_2fa"), &json!(["read"])));
    assert_eq!((&session["ip_address"], &session["user_agent"]), (&json!("192.0.2.1"), &json!("browser")));
    // A client's odd user agent keeps nobody out.
    let odd = json!({"command": {"kind": "login", "user_id": "alice"}, "user_agent": "x".repeat(3000)});
    let token = gate.post(PATH, odd).await.json()["token"]["token"].as_str().unwrap().to_owned();
    assert_eq!(counted(&gate, r#"session_commands_total{kind="login",outcome="done"}"#).await, "2");
    assert_eq!(counted(&gate, "logins_total").await, "2");
    let nothing = gate.get(&format!("/v1/sessions/{}", session_of(&gate, &token))).await.json();
    assert_eq!(nothing["scopes"], json!([]), "what is not said is not permitted");
}

/// Case I1: login replaces, never upgrades.
#[tokio::test]
async fn a_login_ends_the_current_session_and_copies_nothing_of_it() {
    for user in ["alice", "bob"] {
        let gate = Gate::new();
        let before = gate.post("/v1/login", json!({"user_id": "alice", "metadata": {"cart": 1}})).await.json();
        let old = before["token"]["token"].as_str().unwrap();
        let new = log_in(&gate, Some(old), user).await;
        assert_ne!(session_of(&gate, old), session_of(&gate, &new));
        assert!(!gate.is_active(old).await && gate.is_active(&new).await, "{user}");
        assert_eq!(status_of(&gate, old).await, "terminated");
        let session = gate.get(&format!("/v1/sessions/{}", session_of(&gate, &new))).await.json();
        assert_eq!(session["metadata"], json!({}), "{user}");
        let ended = counted(&gate, r#"sessions_terminated_total{reason="replaced"}"#).await;
        assert_eq!(ended, "1", "{user}");
        // Once more with what has ended: there is nothing to end, and it stays so.
        let third = log_in(&gate, Some(old), user).await;
        assert!(gate.is_active(&third).await && gate.is_active(&new).await, "{user}");
    }
}

#[tokio::test]
async fn the_current_session_is_that_of_any_token_of_ours_and_of_no_other() {
    let gate = Gate::new();
    let expired = log_in(&gate, None, "alice").await;
    gate.clock.advance(Duration::from_secs(7200));
    let new = log_in(&gate, Some(&expired), "alice").await;
    assert_eq!(status_of(&gate, &expired).await, "terminated");
    gate.form("/v1/tokens/revoke", format!("token={new}")).await;
    log_in(&gate, Some(&new), "alice").await;
    assert_eq!(status_of(&gate, &new).await, "terminated", "by a token that was revoked");
    let opaque = gate.post("/v1/login", json!({"user_id": "alice", "opaque": true})).await.json();
    log_in(&gate, opaque["token"]["token"].as_str(), "alice").await;
    let id = opaque["session"]["session_id"].as_str().unwrap();
    assert_eq!(gate.get(&format!("/v1/sessions/{id}")).await.json()["status"], "terminated");
    for none in ["nonsense", "a.b.c", "sgt_nonsense", ""] {
        log_in(&gate, Some(none), "alice").await;
    }
}

/// A session that is replaced counts for nothing in the limit, which is 5 here; and of another user's nothing is counted.
#[tokio::test]
async fn a_login_in_the_place_of_a_session_evicts_no_other() {
    let gate = Gate::new();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(log_in(&gate, None, "alice").await);
        gate.clock.advance(Duration::from_secs(1));
    }
    let new = log_in(&gate, Some(&tokens[4]), "alice").await;
    for token in &tokens[..4] {
        assert!(gate.is_active(token).await);
    }
    assert!(gate.is_active(&new).await && !gate.is_active(&tokens[4]).await);
    let another = log_in(&gate, None, "alice").await;
    assert!(!gate.is_active(&tokens[0]).await && gate.is_active(&another).await);
    assert_eq!(counted(&gate, r#"sessions_terminated_total{reason="evicted"}"#).await, "1");
}

/// A crash between the steps logs out: the old session never outlives a login.
#[tokio::test(start_paused = true)]
async fn a_login_that_fails_leaves_no_old_session() {
    for (user, step) in [("alice", "create_session"), ("bob", "create_session"), ("bob", "terminate_session")] {
        let (gate, faults) = faulty(None);
        let old = log_in(&gate, None, "alice").await;
        faults.fail(Some(step));
        let login = json!({"kind": "login", "user_id": user});
        let failed = command(&gate, Some(&old), login).await;
        assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]), "{user} {step}");
        assert_eq!(counted(&gate, r#"session_commands_total{kind="login",outcome="unavailable"}"#).await, "1");
        faults.fail(None);
        assert!(!gate.is_active(&old).await, "{user} {step}");
        log_in(&gate, Some(&old), user).await;
        assert_eq!(
            gate.get(&format!("/v1/users/{user}/sessions")).await.json()["sessions"].as_array().unwrap().len(),
            1
        );
    }
    // While nobody can be told, nothing is done.
    let (gate, faults) = faulty(None);
    let old = log_in(&gate, None, "alice").await;
    faults.fail(Some("append_feed"));
    faults.asked();
    let failed = command(&gate, Some(&old), json!({"kind": "login", "user_id": "alice"})).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(faults.asked(), ["session", "append_feed"]);
    faults.fail(None);
    assert!(gate.is_active(&old).await);
}

#[tokio::test]
async fn every_mistake_of_a_command_is_named_and_ends_nothing() {
    let gate = Gate::new();
    let old = log_in(&gate, None, "alice").await;
    let scopes: Vec<String> = (0..100).map(|number| format!("{number:0>100}")).collect();
    let bad = [
        (json!({"kind": "login", "user_id": "a", "class": "x", "amr": [""]}), vec!["command.amr[0]", "command.class"]),
        (json!({"kind": "login", "user_id": "a", "scopes": scopes}), vec!["command.scopes"]),
        (json!({"kind": "elevate", "scopes": scopes}), vec!["command.scopes"]),
        (json!({"kind": "elevate", "amr": ["a b"]}), vec!["command.amr[0]"]),
        (json!({"kind": "elevate", "amr": (0..16).map(|n| n.to_string()).collect::<Vec<_>>()}), vec!["command.amr"]),
    ];
    for (wrong, fields) in bad {
        let refused = command(&gate, Some(&old), wrong.clone()).await;
        assert_eq!(refused.problem(), problem(400, "invalid_request", &fields), "{wrong}");
    }
    let unknown = command(&gate, None, json!({"kind": "login", "user_id": "a", "class": "x"})).await.json();
    assert_eq!(unknown["errors"][0]["message"], "is no class of sessions; allowed: browser, remember");
    for wrong in [json!({"kind": "logout"}), json!({"kind": "login", "user_id": ""}), json!({"kind": "x"})] {
        assert_eq!(command(&gate, Some(&old), wrong).await.status, StatusCode::BAD_REQUEST);
    }
    assert!(gate.is_active(&old).await);
    assert_eq!(gate.get("/v1/users/a/sessions").await.json()["sessions"], json!([]));
    assert_eq!(counted(&gate, r#"session_commands_total{kind="elevate",outcome="invalid"}"#).await, "3");
}

/// A token that no cookie holds: many scopes, each within its bounds, and a session's metadata has no part in it.
#[tokio::test]
async fn a_token_that_is_too_large_is_refused_before_there_is_a_session() {
    let gate = Gate::new();
    let old = log_in(&gate, None, "alice").await;
    let scopes: Vec<String> = (0..20).map(|number| format!("{number:0>100}")).collect();
    let amr: Vec<String> = (0..16).map(|number| format!("{number:0>64}")).collect();
    let login = json!({"kind": "login", "user_id": "bob", "scopes": scopes, "amr": amr});
    assert_eq!(command(&gate, Some(&old), login).await.problem(), problem(400, "invalid_request", &["command.scopes"]));
    assert!(gate.is_active(&old).await);
    assert_eq!(gate.get("/v1/users/bob/sessions").await.json()["sessions"], json!([]));
}

/// Case R8: each class has its own life, and its cookie's.
#[tokio::test]
async fn a_class_decides_how_long_a_session_and_its_cookie_live() {
    let gate = Gate::new();
    let login = async |class| {
        let reply = command(&gate, None, json!({"kind": "login", "user_id": class, "class": class})).await.json();
        let id = session_of(&gate, reply["token"]["token"].as_str().unwrap());
        (reply["token"]["max_age"].clone(), gate.get(&format!("/v1/sessions/{id}")).await.json())
    };
    let days = |days: u64| days * 24 * 3600;
    let (max_age, session) = login("browser").await;
    assert_eq!((max_age, &session["class"], &session["persistent"]), (Value::Null, &json!("browser"), &json!(false)));
    assert_eq!((&session["expires_at"], &session["idle_timeout"]), (&json!(START.0 + days(1)), &json!(1800)));
    let (max_age, session) = login("remember").await;
    assert_eq!(
        (max_age, &session["class"], &session["persistent"]),
        (json!(days(90)), &json!("remember"), &json!(true))
    );
    assert_eq!((&session["expires_at"], &session["idle_timeout"]), (&json!(START.0 + days(90)), &json!(days(14))));
    // What is left of it: the absolute end never moves.
    let login = json!({"kind": "login", "user_id": "alice", "class": "remember"});
    let token = command(&gate, None, login).await.json()["token"]["token"].as_str().unwrap().to_owned();
    gate.clock.advance(Duration::from_hours(24));
    let elevated = command(&gate, Some(&token), json!({"kind": "elevate"})).await.json();
    assert_eq!(elevated["token"]["max_age"], json!(days(89)));
    let listed = gate.get("/v1/users/alice/sessions").await.json()["sessions"][0].clone();
    assert_eq!((&listed["class"], &listed["persistent"]), (&json!("remember"), &json!(true)));
}

#[tokio::test]
async fn a_logout_ends_the_current_session_the_others_or_all() {
    let gate = Gate::new();
    for (sessions, left, logged_out) in
        [("current", [false, true], true), ("others", [true, false], false), ("all", [false, false], true)]
    {
        let user = format!("user {sessions}");
        let current = log_in(&gate, None, &user).await;
        let other = log_in(&gate, None, &user).await;
        for _ in 0..2 {
            let answer = log_out(&gate, Some(&current), sessions).await;
            assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"logged_out": logged_out})));
            assert_eq!([gate.is_active(&current).await, gate.is_active(&other).await], left, "{sessions}");
        }
        let token = claims(&gate, &current);
        let check = json!({"user_id": user, "token_id": token.jti});
        let is_revoked = verdict(&gate.check(&check).await) == "token_revoked";
        assert_eq!(is_revoked, logged_out, "{sessions}: the token as well");
    }
    assert_eq!(counted(&gate, "logouts_total").await, "6");
}

/// Whoever once had a token could log its owner out again and again.
#[tokio::test(start_paused = true)]
async fn only_who_is_signed_in_ends_more_than_the_current_session() {
    let (gate, _faults) = faulty(None);
    let scoped = json!({"kind": "login", "user_id": "alice", "scopes": ["read", "write"]});
    let text = |token: &Value| token["token"].as_str().unwrap().to_owned();
    let other = text(&command(&gate, None, scoped).await.json()["token"]);
    let ended = log_in(&gate, None, "alice").await;
    gate.delete(&format!("/v1/sessions/{}", session_of(&gate, &ended))).await;
    let revoked = log_in(&gate, None, "alice").await;
    assert_eq!(gate.form("/v1/tokens/revoke", format!("token={revoked}")).await.status, StatusCode::OK);
    let suspended = log_in(&gate, None, "alice").await;
    let path = format!("/v1/sessions/{}", session_of(&gate, &suspended));
    assert_eq!(gate.patch(&path, json!({"status": "suspended"})).await.status, StatusCode::OK);
    let pending = json!({"kind": "login", "user_id": "alice", "pending_2fa": true});
    let pending = gate.post("/v1/session-commands", json!({"command": pending})).await.json();
    let narrowed = json!({"session_id": session_of(&gate, &other), "user_id": "alice", "scopes": ["read"]});
    let narrowed = gate.post("/v1/tokens", narrowed).await.json();
    for token in [ended, revoked, suspended, text(&pending["token"]), text(&narrowed)] {
        for sessions in ["others", "all"] {
            let refused = log_out(&gate, Some(&token), sessions).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{sessions} {:?}", claims(&gate, &token));
            assert_eq!(refused.problem(), problem(409, "state_conflict", &[]), "{sessions}");
            let by_call = gate.post("/v1/logout", json!({"token": token, sessions: true})).await;
            assert_eq!(by_call.problem(), problem(409, "state_conflict", &[]), "{sessions}");
        }
        let changed = json!({"command": {"kind": "password_changed", "user_id": null}, "token": token});
        assert_eq!(gate.post("/v1/session-commands", changed).await.problem(), problem(409, "state_conflict", &[]));
        assert!(gate.is_active(&other).await);
    }
}

/// Case D3: the same answer where there is nothing to end; and 503 where it cannot be done.
#[tokio::test(start_paused = true)]
async fn a_logout_of_nothing_is_done_and_of_something_never_half() {
    let (gate, faults) = faulty(None);
    for (sessions, logged_out) in [("current", true), ("others", false), ("all", true)] {
        let ended = log_in(&gate, None, "alice").await;
        gate.delete(&format!("/v1/sessions/{}", session_of(&gate, &ended))).await;
        for token in [None, Some("nonsense"), Some(&*ended)] {
            let answer = log_out(&gate, token, sessions).await;
            assert_eq!(
                (answer.status, answer.json()),
                (StatusCode::OK, json!({"logged_out": logged_out})),
                "{token:?}"
            );
        }
        gate.settle().await;
        let live = log_in(&gate, None, "alice").await;
        let other = log_in(&gate, None, "alice").await;
        for step in ["append_feed", if sessions == "current" { "terminate_session" } else { "finish_cut_off" }] {
            faults.fail(Some(step));
            let failed = log_out(&gate, Some(&live), sessions).await;
            assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]), "{sessions} {step}");
            faults.fail(None);
        }
        assert_eq!(log_out(&gate, Some(&live), sessions).await.status, StatusCode::OK, "a repeat mends it");
        assert_eq!(gate.is_active(&live).await, sessions == "others", "{sessions}");
        assert_eq!(gate.is_active(&other).await, sessions == "current", "{sessions}");
        gate.delete("/v1/users/alice/sessions").await;
        gate.settle().await;
    }
}

#[tokio::test]
async fn a_change_of_the_password_ends_all_but_the_current_session() {
    let gate = Gate::new();
    let change = |user: Option<&str>| json!({"kind": "password_changed", "user_id": user});
    for named in [None, Some("alice")] {
        let current = log_in(&gate, None, "alice").await;
        let other = log_in(&gate, None, "alice").await;
        let answer = command(&gate, Some(&current), change(named)).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"logged_out": false})));
        assert!(gate.is_active(&current).await && !gate.is_active(&other).await, "{named:?}");
    }
    // By an administrator, or by one who has been logged out and says whose it is: all end.
    let (alice, admin) = (log_in(&gate, None, "alice").await, log_in(&gate, None, "admin").await);
    command(&gate, Some(&admin), change(Some("alice"))).await;
    assert!(!gate.is_active(&alice).await && gate.is_active(&admin).await);
    let (ended, other) = (log_in(&gate, None, "alice").await, log_in(&gate, None, "alice").await);
    log_out(&gate, Some(&ended), "current").await;
    assert_eq!(command(&gate, Some(&ended), change(None)).await.problem(), problem(409, "state_conflict", &[]));
    assert!(gate.is_active(&other).await);
    assert_eq!(command(&gate, Some(&ended), change(Some("alice"))).await.status, StatusCode::OK);
    assert!(!gate.is_active(&other).await);
    assert_eq!(command(&gate, None, change(None)).await.problem(), problem(409, "state_conflict", &[]), "whose?");
    assert_eq!(counted(&gate, r#"session_commands_total{kind="password_changed",outcome="conflict"}"#).await, "2");

    let gate = Gate::with(Setup { sessions_outlive_passwords: true, ..Setup::default() });
    let (current, other) = (log_in(&gate, None, "alice").await, log_in(&gate, None, "alice").await);
    command(&gate, Some(&current), change(None)).await;
    assert!(gate.is_active(&current).await && gate.is_active(&other).await);
}

/// The same by the API.
#[tokio::test]
async fn the_api_replaces_sessions_sets_scopes_and_logs_out_the_others() {
    let gate = Gate::new();
    let (first, first_token) = gate.login("alice").await;
    let (second, second_token) = gate.login("alice").await;
    for (user, replaces, dead) in
        [("alice", id_of(&first).to_string(), &first_token), ("bob", second_token.clone(), &second_token)]
    {
        let body = json!({
            "user_id": user, "replaces": replaces, "class": "remember", "session_scopes": ["read", "write"],
            "scopes": ["read"], "duration": 60,
        });
        let reply = gate.post("/v1/login", body).await.json();
        assert_eq!(reply["session"]["scopes"], json!(["read", "write"]), "{reply}");
        assert_eq!((&reply["session"]["class"], &reply["token"]["scopes"]), (&json!("remember"), &json!(["read"])));
        assert_eq!(reply["session"]["expires_at"], json!(START.0 + 60));
        assert!(claims(&gate, reply["token"]["token"].as_str().unwrap()).narrowed);
        assert!(!gate.is_active(dead).await, "{user}");
    }
    assert_eq!(gate.get(&second).await.json()["status"], "terminated");
    for wrong in [
        (json!({"user_id": "a", "session_scopes": ["read"], "scopes": ["write"]}), "scopes"),
        (json!({"user_id": "a", "class": "x"}), "class"),
        (json!({"user_id": "a", "class": "browser", "duration": 86_401}), "duration"),
    ] {
        let refused = gate.post("/v1/login", &wrong.0).await.problem();
        assert_eq!(refused, problem(400, "invalid_request", &[wrong.1]), "{}", wrong.0);
    }
    let created = gate.post("/v1/sessions", json!({"user_id": "carol", "class": "browser"})).await.json();
    assert_eq!((&created["class"], &created["idle_timeout"]), (&json!("browser"), &json!(1800)));

    let (third, third_token) = gate.login("dave").await;
    for others in [json!({"token": third_token}), json!({"session_id": id_of(&third)})] {
        let (_, other) = gate.login("dave").await;
        let body = |extra: &str| {
            let mut body = others.clone();
            body[extra] = json!(true);
            body
        };
        assert_eq!(gate.post("/v1/logout", body("others")).await.json(), json!({"terminated": 1}));
        assert!(gate.is_active(&third_token).await && !gate.is_active(&other).await);
        let mut both = body("others");
        both["all"] = json!(true);
        assert_eq!(gate.post("/v1/logout", both).await.problem(), problem(400, "invalid_request", &["others"]));
        gate.settle().await;
    }
    gate.delete(&third).await;
    let ended = gate.post("/v1/logout", json!({"token": third_token, "others": true})).await;
    assert_eq!(ended.json(), json!({"terminated": 0}), "none is left");
}
