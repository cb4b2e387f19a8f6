//! Refresh tokens.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const PATH: &str = "/v1/tokens/refresh";
/// When the grace of a predecessor is over.
const GRACE: Duration = Duration::from_secs(30);

/// The tokens of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tokens {
    access: String,
    refresh: String,
    scope: String,
}

async fn log_in(gate: &Gate, user: &str, more: Value) -> Tokens {
    let mut login = json!({"user_id": user, "refresh_token": true});
    login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = gate.post("/v1/login", login).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Tokens { access: text(&json["token"]["token"]), refresh: text(&json["refresh_token"]), scope: String::new() }
}

async fn ask(gate: &Gate, refresh: &str, more: &str) -> Answer {
    gate.form(PATH, format!("grant_type=refresh_token&refresh_token={refresh}{more}")).await
}

async fn refresh(gate: &Gate, refresh: &str) -> Tokens {
    tokens(&ask(gate, refresh, "").await)
}

/// To the letter of RFC 6749, section 5.1.
fn tokens(answer: &Answer) -> Tokens {
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert_eq!((&json["token_type"], json.as_object().unwrap().len()), (&json!("Bearer"), 5), "{json}");
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token"), scope: text("scope") }
}

/// To the letter of RFC 6749, section 5.2.
fn error(answer: &Answer) -> String {
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (StatusCode::BAD_REQUEST, "no-store"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert!(
        json["error_description"]
            .as_str()
            .unwrap()
            .bytes()
            .all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
        "{json}"
    );
    json["error"].as_str().unwrap().to_owned()
}

async fn refused(gate: &Gate, refresh: &str) -> String {
    error(&ask(gate, refresh, "").await)
}

fn claims(gate: &Gate, token: &str) -> Claims {
    gate.keys.get().verify(token, "session-gate", "api").unwrap().claims().clone()
}

fn path_of(gate: &Gate, tokens: &Tokens) -> String {
    format!("/v1/sessions/{}", claims(gate, &tokens.access).sid.unwrap())
}

async fn status_of(gate: &Gate, path: &str) -> String {
    gate.get(path).await.json()["status"].as_str().unwrap().to_owned()
}

async fn counted(gate: &Gate, outcome: &str) -> u64 {
    let text = gate.get("/metrics").await.text;
    let series = format!(r#"session_gate_tokens_refreshed_total{{outcome="{outcome}"}} "#);
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_refresh_gives_an_access_token_and_the_next_refresh_token() {
    let gate = Gate::new();
    let login = json!({
        "session_scopes": ["read", "write"], "amr": ["pwd"], "token_metadata": {"plan": "pro"}, "ip_address": "192.0.2.1",
    });
    let first = log_in(&gate, "alice", login).await;
    let before = claims(&gate, &first.access);
    assert_eq!(before.renewal, None, "it is refreshed, not renewed");
    gate.clock.advance(Duration::from_secs(4_000));
    let answer = ask(&gate, &first.refresh, "").await;
    assert_eq!(answer.json()["expires_in"], 3600);
    let second = tokens(&answer);
    assert!(second.refresh != first.refresh && second.scope == "read write");
    let after = claims(&gate, &second.access);
    assert_eq!(after.auth_time, Some(START));
    let carried = Claims { exp: after.exp, iat: after.iat, nbf: after.nbf, jti: after.jti.clone(), ..before };
    assert_eq!(after, carried);
    assert!(gate.is_active(&second.access).await);
    refresh(&gate, &second.refresh).await;
    assert_eq!(counted(&gate, "refreshed").await, 2);
    // None without being asked for.
    assert_eq!(gate.post("/v1/login", json!({"user_id": "alice"})).await.json().get("refresh_token"), None);
    let opaque = log_in(&gate, "alice", json!({"opaque": true})).await;
    assert!(refresh(&gate, &opaque.refresh).await.access.starts_with("sgt_"), "as the login's");
}

/// An answer is lost, or two requests are under way.
#[tokio::test]
async fn a_predecessor_gets_the_same_successor_until_that_was_used() {
    let gate = Gate::new();
    let first = log_in(&gate, "alice", json!({})).await;
    let second = refresh(&gate, &first.refresh).await;
    // Days later too: nobody has had it.
    for _ in 0..3 {
        gate.clock.advance(Duration::from_secs(3600));
        let again = refresh(&gate, &first.refresh).await;
        assert_eq!(again.refresh, second.refresh);
        assert!(gate.is_active(&again.access).await, "a fresh access token");
    }
    assert_eq!(counted(&gate, "repeated").await, 3);
    // Once it was used: half a minute more.
    let third = refresh(&gate, &second.refresh).await;
    gate.clock.advance(GRACE - Duration::from_secs(1));
    assert_eq!(refresh(&gate, &first.refresh).await.refresh, second.refresh);
    assert_eq!(refresh(&gate, &second.refresh).await.refresh, third.refresh);
    gate.clock.advance(Duration::from_secs(1));
    assert_eq!(refresh(&gate, &second.refresh).await.refresh, third.refresh, "the third was not used");
    assert_eq!(status_of(&gate, &path_of(&gate, &first)).await, "active");
    assert_eq!(refused(&gate, &first.refresh).await, "invalid_grant");
    assert_eq!(status_of(&gate, &path_of(&gate, &first)).await, "terminated");
}

#[tokio::test(start_paused = true)]
async fn an_older_token_is_theft_and_ends_the_session_alone() {
    let (gate, faults) = faulty(None);
    let first = log_in(&gate, "alice", json!({})).await;
    let other = log_in(&gate, "alice", json!({})).await;
    let second = refresh(&gate, &first.refresh).await;
    let third = refresh(&gate, &second.refresh).await;
    gate.clock.advance(GRACE);
    faults.asked();
    // While nobody can be told, nothing is said.
    faults.fail(Some("append_feed"));
    assert_eq!(ask(&gate, &first.refresh, "").await.problem(), problem(503, "store_unavailable", &[]));
    faults.fail(None);
    faults.asked();
    assert_eq!(refused(&gate, &first.refresh).await, "invalid_grant");
    let asked = faults.asked();
    let place = |op| asked.iter().position(|asked| *asked == op);
    assert!(place("append_feed") < place("terminate_session") && place("append_feed").is_some(), "{asked:?}");
    for tokens in [&first, &second, &third] {
        assert!(!gate.is_active(&tokens.access).await);
        assert_eq!(refused(&gate, &tokens.refresh).await, "invalid_grant");
    }
    assert!(gate.is_active(&other.access).await);
    refresh(&gate, &other.refresh).await;
    assert_eq!(counted(&gate, "reused").await, 1);
    let metrics = gate.get("/metrics").await.text;
    let ended = r#"session_gate_sessions_terminated_total{reason="refresh_token_reused"} 1"#;
    assert!(metrics.contains(ended), "{metrics}");
}

/// Whoever knows a session's id, which is no secret, can end it by no made-up token.
#[tokio::test]
async fn a_made_up_token_ends_nothing() {
    let gate = Gate::new();
    let first = log_in(&gate, "alice", json!({})).await;
    let session = claims(&gate, &first.access).sid.unwrap();
    let made_up = session_gate_protocol::RefreshToken::first(session, [0; 16], [0; 32]).expose();
    let other = log_in(&gate, "bob", json!({})).await.access;
    let (_, access) = gate.login("alice").await;
    for bad in [&made_up, "sgr_nonsense", "nonsense", &first.access, &other, &access] {
        assert_eq!(refused(&gate, bad).await, "invalid_grant", "{bad}");
        assert_eq!(gate.form("/v1/tokens/revoke", format!("token={bad}")).await.status, StatusCode::OK);
        if bad.starts_with("sgr_") {
            assert!(!gate.is_active(bad).await);
        }
    }
    refused(&gate, &made_up).await;
    assert_eq!(
        status_of(&gate, &format!("/v1/sessions/{}", claims(&gate, &first.access).sid.unwrap())).await,
        "active"
    );
}

/// Parallel tabs, or processes, of two sidecars.
#[tokio::test]
async fn a_burst_gets_one_successor() {
    let first = Gate::new();
    let store = Arc::clone(&first.store);
    let second = Gate::with(Setup { store: Some(Box::new(move |_| store)), ..Setup::default() });
    second.login("bob").await;
    let login = log_in(&first, "alice", json!({})).await;
    let bursts = (0..100).map(|number| {
        let router = if number % 2 == 0 { first.router.clone() } else { second.router.clone() };
        let body = format!("grant_type=refresh_token&refresh_token={}", login.refresh);
        tokio::spawn(async move {
            let request = Request::post(PATH).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let json: Value = serde_json::from_slice(&bytes).unwrap();
            json["refresh_token"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
        })
    });
    let mut successors = BTreeSet::new();
    for burst in bursts.collect::<Vec<_>>() {
        successors.insert(burst.await.unwrap());
    }
    assert_eq!(successors.len(), 1);
    assert_eq!(counted(&first, "refreshed").await + counted(&second, "refreshed").await, 1);
    refresh(&second, &successors.pop_first().unwrap()).await;
}

#[tokio::test]
async fn scope_narrows_one_access_token_and_never_widens() {
    let gate = Gate::new();
    let first = log_in(&gate, "alice", json!({"session_scopes": ["read", "write"]})).await;
    let narrow = tokens(&ask(&gate, &first.refresh, "&scope=read").await);
    assert_eq!(narrow.scope, "read");
    assert!(claims(&gate, &narrow.access).narrowed);
    for wrong in ["&scope=admin", "&scope=read+admin", "&scope=%22"] {
        let answer = ask(&gate, &narrow.refresh, wrong).await;
        assert_eq!(error(&answer), "invalid_scope", "{wrong}");
    }
    assert_eq!(counted(&gate, "refreshed").await, 1, "nothing was used up");
    let all = refresh(&gate, &narrow.refresh).await;
    assert_eq!((all.scope.as_str(), claims(&gate, &all.access).narrowed), ("read write", false));
    // What the session permits by now, and no more than the login's token if that was narrowed.
    gate.patch(&path_of(&gate, &all), json!({"scopes": ["read", "admin"]})).await;
    let changed = tokens(&ask(&gate, &all.refresh, "&scope=").await);
    assert_eq!(changed.scope, "admin read");
    let narrowed = log_in(&gate, "bob", json!({"session_scopes": ["read", "write"], "scopes": ["write"]})).await;
    let after = refresh(&gate, &narrowed.refresh).await;
    assert_eq!((after.scope.as_str(), claims(&gate, &after.access).narrowed), ("write", true));
    assert_eq!(error(&ask(&gate, &after.refresh, "&scope=read").await), "invalid_scope");
    // A session without scopes leaves it to the token.
    let own = log_in(&gate, "carol", json!({"scopes": ["a", "b"]})).await;
    let after = tokens(&ask(&gate, &own.refresh, "&scope=b").await);
    assert_eq!((after.scope.as_str(), claims(&gate, &after.access).narrowed), ("b", true));
}

#[tokio::test(start_paused = true)]
async fn only_a_session_that_may_be_used_is_refreshed() {
    let gate = Gate::new();
    let mut logins = Vec::new();
    for user in ["ended", "suspended", "cut off", "blocked"] {
        logins.push(log_in(&gate, user, json!({})).await);
    }
    gate.delete(&path_of(&gate, &logins[0])).await;
    gate.patch(&path_of(&gate, &logins[1]), json!({"status": "suspended"})).await;
    gate.delete("/v1/users/cut%20off/sessions").await;
    gate.post("/v1/blocks", json!({"user_id": "blocked"})).await;
    for login in &logins {
        assert_eq!(refused(&gate, &login.refresh).await, "invalid_grant");
        assert!(!gate.is_active(&login.refresh).await);
    }
    gate.patch(&path_of(&gate, &logins[1]), json!({"status": "active"})).await;
    refresh(&gate, &logins[1].refresh).await;
    // A session that waits for its second factor goes on waiting, and its refresh token dies with its id.
    let pending = log_in(&gate, "pending", json!({"pending_2fa": true})).await;
    let pending = refresh(&gate, &pending.refresh).await;
    assert!(claims(&gate, &pending.access).pending_2fa);
    let elevated =
        gate.post("/v1/elevate", json!({"token": pending.access, "amr": ["otp"], "refresh_token": true})).await;
    assert_eq!(refused(&gate, &pending.refresh).await, "invalid_grant");
    let after = refresh(&gate, elevated.json()["refresh_token"].as_str().unwrap()).await;
    let after = claims(&gate, &after.access);
    assert_eq!((after.pending_2fa, after.amr), (false, vec!["otp".to_owned()]));
}

/// Case R8: a use of the session, whose end never moves.
#[tokio::test]
async fn a_refresh_keeps_its_session_in_use_until_its_end() {
    let gate = Gate::with(Setup { idle_timeout: Some(Duration::from_secs(3600)), ..Setup::default() });
    let mut login = log_in(&gate, "alice", json!({"duration": 4 * 3600})).await;
    for _ in 0..4 {
        gate.clock.advance(Duration::from_secs(3500));
        let before = login.refresh.clone();
        login = refresh(&gate, &login.refresh).await;
        assert_eq!(refresh(&gate, &before).await.refresh, login.refresh);
    }
    assert_eq!(claims(&gate, &login.access).exp, UnixSeconds(START.0 + 4 * 3600));
    gate.clock.advance(Duration::from_secs(400));
    assert_eq!(refused(&gate, &login.refresh).await, "invalid_grant");
    let idle = log_in(&gate, "bob", json!({})).await;
    gate.clock.advance(Duration::from_secs(3600));
    assert_eq!(refused(&gate, &idle.refresh).await, "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_loses_no_token() {
    let (gate, faults) = faulty(None);
    let login = log_in(&gate, "alice", json!({})).await;
    for step in ["session", "refresh_record", "put_refresh_record"] {
        faults.fail(Some(step));
        let failed = ask(&gate, &login.refresh, "").await;
        assert_eq!((failed.problem(), failed.header("retry-after")), (problem(503, "store_unavailable", &[]), "1"));
    }
    assert_eq!(counted(&gate, "unavailable").await, 3);
    faults.fail(None);
    faults.lose_answer("put_refresh_record");
    assert_eq!(ask(&gate, &login.refresh, "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let again = refresh(&gate, &login.refresh).await;
    assert_eq!((counted(&gate, "refreshed").await, counted(&gate, "repeated").await), (0, 1));
    refresh(&gate, &again.refresh).await;
    // A login whose refresh token could not be kept is none.
    faults.fail(Some("put_refresh_record"));
    let failed = gate.post("/v1/login", json!({"user_id": "bob", "refresh_token": true})).await;
    assert_eq!(failed.problem(), problem(503, "store_unavailable", &[]));
    faults.fail(None);
    assert_eq!(gate.get("/v1/users/bob/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_meanwhile_gives_none() {
    let (gate, faults) = faulty(None);
    let login = log_in(&gate, "alice", json!({})).await;
    let (store, id) = (Arc::clone(&gate.store), claims(&gate, &login.access).sid.unwrap());
    faults.interrupt("put_refresh_record", async move {
        store.terminate_session(&id, crate::store::conformance::op()).await.unwrap();
    });
    assert_eq!(refused(&gate, &login.refresh).await, "invalid_grant");
}

/// RFC 7009 and RFC 7662.
#[tokio::test]
async fn who_revokes_a_refresh_token_ends_its_session() {
    for shown in 0..3 {
        let gate = Gate::new();
        let mut chain = vec![log_in(&gate, "alice", json!({})).await];
        for _ in 0..2 {
            chain.push(refresh(&gate, &chain.last().unwrap().refresh).await);
        }
        gate.clock.advance(GRACE);
        for (number, tokens) in chain.iter().enumerate() {
            assert_eq!(gate.is_active(&tokens.refresh).await, number > 0, "{number}");
        }
        let told = gate.form("/v1/tokens/introspect", format!("token={}", chain[2].refresh)).await.json();
        let session = claims(&gate, &chain[2].access);
        let expected = json!({
            "active": true, "exp": session.session_exp, "iss": "session-gate", "sub": "alice", "sid": session.sid,
        });
        assert_eq!(told, expected);
        let revoked = gate.form("/v1/tokens/revoke", format!("token={}", chain[shown].refresh)).await;
        assert_eq!((revoked.status, revoked.json()), (StatusCode::OK, json!({})));
        assert_eq!(status_of(&gate, &path_of(&gate, &chain[0])).await, "terminated", "{shown}");
        assert!(!gate.is_active(&chain[2].refresh).await);
    }
}

/// RFC 6749, section 5.2.
#[tokio::test]
async fn a_wrong_request_is_refused_as_the_rfc_has_it() {
    let gate = Gate::new();
    let token = log_in(&gate, "alice", json!({})).await.refresh;
    for (body, expected) in [
        (String::new(), "invalid_request"),
        (format!("refresh_token={token}"), "invalid_request"),
        ("grant_type=refresh_token".to_owned(), "invalid_request"),
        ("grant_type=refresh_token&refresh_token=".to_owned(), "invalid_request"),
        (format!("grant_type=refresh_token&refresh_token={token}&refresh_token={token}"), "invalid_request"),
        (format!("grant_type=refresh_token&refresh_token={token}&scope=a&scope=b"), "invalid_request"),
        ("grant_type=password&username=a&password=b".to_owned(), "unsupported_grant_type"),
        (format!("grant_type=Refresh_token&refresh_token={token}"), "unsupported_grant_type"),
    ] {
        assert_eq!(error(&gate.form(PATH, &body).await), expected, "{body}");
    }
    assert_eq!(error(&gate.post(PATH, json!({"grant_type": "refresh_token"})).await), "invalid_request");
    let large = gate.form(PATH, "x".repeat(MAX_BODY_BYTES + 1)).await;
    assert_eq!(large.problem(), problem(413, "payload_too_large", &[]));
    // Unknown parameters are ignored.
    tokens(&ask(&gate, &token, "&client_id=app").await);
}

#[tokio::test]
async fn the_store_holds_nothing_that_can_be_used() {
    let gate = Gate::new();
    let first = log_in(&gate, "alice", json!({})).await;
    let second = refresh(&gate, &first.refresh).await;
    let id = claims(&gate, &first.access).sid.unwrap();
    let record = gate.store.refresh_record(&id).await.unwrap().unwrap().text;
    for tokens in [&first, &second] {
        let secret = tokens.refresh.rsplit('.').next().unwrap();
        assert!(!record.contains(secret) && !record.contains(&tokens.access));
    }
    // A box that was put in the place of another opens for nobody.
    let planted = record.replace(r#""sealed":""#, r#""sealed":"A"#);
    assert_ne!(planted, record);
    gate.store.put_refresh_record(&id, Some(&record), &planted).await.unwrap();
    assert_eq!(refused(&gate, &first.refresh).await, "invalid_grant");
    refresh(&gate, &second.refresh).await;
}
