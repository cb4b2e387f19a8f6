//! How guessing passwords is slowed down.

use serde_json::json;

use super::*;

const COMMANDS: &str = "/v1/session-commands";

/// What a filter passes on where failed logins count.
#[derive(Clone, Default)]
struct Client {
    address: Option<String>,
    device: Option<String>,
    token: Option<String>,
}

impl Client {
    fn at(address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..Self::default() }
    }

    async fn says(&self, gate: &Gate, command: Value) -> Answer {
        let guard = json!({"device_token": self.device, "issue_device_token": true});
        let body = json!({"command": command, "token": self.token, "ip_address": self.address, "guard": guard});
        gate.post(COMMANDS, body).await
    }

    async fn fails(&self, gate: &Gate, account: &str) -> Value {
        let answer = self.says(gate, json!({"kind": "login_failed", "account": account})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    async fn logs_in(&self, gate: &Gate, user: &str) -> Value {
        let answer = self.says(gate, json!({"kind": "login", "user_id": user})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// Logs in, and keeps what the browser would.
    async fn keeps_login(&mut self, gate: &Gate, user: &str) {
        let reply = self.logs_in(gate, user).await;
        assert_eq!(reply["device"]["max_age"], 180 * 86_400, "{reply}");
        self.device = Some(reply["device"]["token"].as_str().unwrap().to_owned());
        self.token = Some(reply["token"]["token"].as_str().unwrap().to_owned());
    }
}

fn counted() -> Value {
    json!({"logged_out": false})
}

fn locked(seconds: u64) -> Value {
    json!({"logged_out": false, "locked_for": seconds})
}

/// Locks it from as many addresses as it takes.
async fn lock(gate: &Gate, account: &str) {
    for number in 1..=5 {
        assert_eq!(Client::at(&format!("198.51.100.{number}")).fails(gate, account).await, counted());
    }
}

async fn metric(gate: &Gate, series: &str) -> String {
    let text = gate.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("session_gate_{series} ")));
    line.unwrap_or("0").to_owned()
}

/// Cases L2 and L11: a right guess is refused as a wrong one, and leaves nothing behind.
#[tokio::test]
async fn while_an_account_is_locked_a_right_guess_is_as_a_wrong_one() {
    let gate = Gate::new();
    lock(&gate, "alice").await;
    let attacker = Client::at("203.0.113.9");
    let wrong = attacker.fails(&gate, "alice").await;
    assert_eq!(wrong, locked(60));
    assert_eq!(attacker.logs_in(&gate, "alice").await, wrong);
    // Of an account that does not exist nothing else is said.
    lock(&gate, "zed").await;
    assert_eq!(attacker.fails(&gate, "zed").await, wrong);
    assert_eq!(gate.get("/v1/users/alice/sessions").await.json()["sessions"], json!([]));
    assert_eq!(metric(&gate, r#"lockouts_total{by="account"}"#).await, "2");
    assert_eq!(metric(&gate, "login_failures_total").await, "10");
    assert_eq!(metric(&gate, r#"session_commands_total{kind="login",outcome="locked"}"#).await, "1");
    assert_eq!(metric(&gate, r#"session_commands_total{kind="login_failed",outcome="locked"}"#).await, "2");
    // Cases L6 and L7: it ends in time, whatever was tried meanwhile, and one account has one counter.
    gate.clock.advance(Duration::from_secs(59));
    assert_eq!(attacker.fails(&gate, " ALICE ").await, locked(1));
    gate.clock.advance(Duration::from_secs(1));
    assert!(attacker.logs_in(&gate, "alice").await["token"].is_object());
}

/// Cases L3, L4 and L5.
/// Case L2: of as many guesses from as many addresses five are worth something, wherever the right one is among them.
#[tokio::test]
async fn a_right_guess_is_as_likely_as_its_being_among_the_first_five() {
    const GUESSES: usize = 200;
    let gate = Gate::new();
    let mut taken = 0;
    for place in 0..GUESSES {
        let account = format!("user-{place}");
        for number in 0..place {
            let answer = Client::at(&format!("10.{place}.0.{number}")).fails(&gate, &account).await;
            assert_eq!(answer == counted(), number < 5, "{answer}");
        }
        let answer = Client::at(&format!("10.{place}.1.0")).logs_in(&gate, &account).await;
        taken += usize::from(answer["token"].is_object());
        assert_eq!(answer["token"].is_object(), place < 5, "{answer}");
    }
    assert_eq!(taken, 5, "of {GUESSES}");
}

#[tokio::test]
async fn nobody_locks_the_owner_out_of_a_device_that_has_logged_in_before() {
    let gate = Gate::new();
    let mut owner = Client::at("192.0.2.1");
    owner.keeps_login(&gate, "alice").await;
    let mut bob = Client::at("192.0.2.2");
    bob.keeps_login(&gate, "bob").await;
    for number in 0..1000_u32 {
        let attacker = Client::at(&format!("10.0.{}.{}", number / 250, number % 250));
        attacker.fails(&gate, "alice").await;
    }
    let first = owner.device.clone();
    assert_eq!(bob.fails(&gate, "alice").await, locked(60), "another's device is nobody's here");
    let forged = Client { device: Some(format!("sgd_{}", "A".repeat(43))), ..Client::at("203.0.113.7") };
    assert_eq!(forged.logs_in(&gate, "alice").await, locked(60));
    owner.keeps_login(&gate, "alice").await;
    assert_ne!(owner.device, first);
    // The browser may never see that answer: the one before is known until it shows what it was given.
    let stale = Client { device: first, ..owner.clone() };
    assert!(stale.logs_in(&gate, "alice").await["token"].is_object());
    gate.clock.advance(Duration::from_secs(61));
    assert_eq!(Client::at("203.0.113.7").fails(&gate, "alice").await, counted(), "and it is locked again");
    owner.keeps_login(&gate, "alice").await;
    assert_eq!(stale.logs_in(&gate, "alice").await, locked(300));
    // A stolen one is good for five.
    for _ in 0..5 {
        assert_eq!(owner.fails(&gate, "alice").await, counted());
    }
    assert_eq!(owner.fails(&gate, "alice").await, locked(300));
    assert_eq!(metric(&gate, r#"lockouts_total{by="device"}"#).await, "1");
    // It is no credential.
    let token = owner.device.clone().unwrap();
    assert!(!gate.is_active(&token).await);
    let by_token = gate.post("/v1/logout", json!({"token": token})).await;
    assert_eq!(by_token.problem(), problem(404, "not_found", &[]));
}

/// Cases L2 and L3: a form that is sent again and again before the first answer is there, and an answer that never comes.
#[tokio::test]
async fn whatever_becomes_of_an_answer_the_owner_stays_known() {
    let (gate, faults) = faulty(None);
    let gate = Arc::new(gate);
    let mut owner = Client::at("192.0.2.1");
    owner.keeps_login(&gate, "alice").await;
    lock(&gate, "alice").await;
    let logins = (0..20).map(|_| {
        let (gate, owner) = (Arc::clone(&gate), owner.clone());
        tokio::spawn(async move { owner.logs_in(&gate, "alice").await })
    });
    let mut given = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        let reply = login.await.unwrap();
        assert!(reply["token"].is_object(), "{reply}");
        given.push(reply["device"]["token"].as_str().unwrap().to_owned());
    }
    // The store has taken it, and does not say so: the browser keeps what it has.
    faults.lose_answer("issue_device");
    let reply = owner.logs_in(&gate, "alice").await;
    assert!(reply["token"].is_object() && reply["device"].is_null(), "{reply}");
    assert!(owner.logs_in(&gate, "alice").await["token"].is_object());
    // It may have kept any of the others. All have one budget.
    for device in given.into_iter().take(5) {
        let kept = Client { device: Some(device), ..owner.clone() };
        assert_eq!(kept.fails(&gate, "alice").await, counted());
    }
    assert_eq!(owner.logs_in(&gate, "alice").await, locked(60));
}

/// Cases L9 and L10.
#[tokio::test]
async fn an_address_has_a_counter_of_its_own() {
    let gate = Gate::new();
    let (attacker, mut own) = (Client::at("2001:db8:1:2::1"), Client::at("2001:db8:1:2:ffff::2"));
    let mut resident = Client::at("2001:db8:1:2::3");
    resident.keeps_login(&gate, "carol").await;
    for number in 0..50 {
        own.keeps_login(&gate, "mallory").await;
        own.device = None;
        assert_eq!(attacker.fails(&gate, &format!("user-{number}")).await, counted(), "{number}");
    }
    let refused = own.logs_in(&gate, "mallory").await;
    assert_eq!(refused, locked(60), "a success launders no address");
    assert_eq!(metric(&gate, r#"lockouts_total{by="address"}"#).await, "1");
    assert!(Client::at("2001:db8:1:3::1").logs_in(&gate, "dave").await["token"].is_object());
    assert!(gate.is_active(resident.token.as_ref().unwrap()).await, "a live session is never touched");
    resident.keeps_login(&gate, "carol").await;
    // What a locked address tries counts for no account.
    for _ in 0..10 {
        assert_eq!(attacker.fails(&gate, "erin").await, locked(60));
    }
    assert!(Client::at("192.0.2.1").logs_in(&gate, "erin").await["token"].is_object());
}

/// What the account refuses the address does not count: or it would tell a right guess from a wrong one.
#[tokio::test]
async fn an_address_says_nothing_of_guesses_at_a_locked_account() {
    let gate = Gate::new();
    lock(&gate, "alice").await;
    let attacker = Client::at("203.0.113.9");
    for _ in 0..100 {
        assert_eq!(attacker.fails(&gate, "alice").await, locked(60));
    }
    assert!(attacker.logs_in(&gate, "mallory").await["token"].is_object());
}

#[tokio::test]
async fn a_second_factor_is_guessed_no_more_often_than_a_password() {
    let gate = Gate::new();
    let mut attacker = Client::at("203.0.113.9");
    let pending = json!({"kind": "login", "user_id": "alice", "pending_2fa": true});
    // Who knows the password begins anew again and again: the failures stay.
    for _ in 0..2 {
        let reply = attacker.says(&gate, pending.clone()).await.json();
        assert_eq!(reply["device"], Value::Null, "nor is the device known: {reply}");
        attacker.token = Some(reply["token"]["token"].as_str().unwrap().to_owned());
        for _ in 0..2 {
            assert_eq!(attacker.fails(&gate, "alice").await, counted());
        }
    }
    assert_eq!(attacker.fails(&gate, "alice").await, counted());
    let elevate = json!({"kind": "elevate", "amr": ["otp"]});
    assert_eq!(attacker.says(&gate, elevate.clone()).await.json(), locked(60));
    assert_eq!(attacker.says(&gate, pending).await.json(), locked(60));
    // The owner, who has proved both before, proves both again.
    gate.delete("/v1/lockouts/alice").await;
    let elevated = attacker.says(&gate, elevate).await.json();
    assert!(elevated["token"].is_object() && elevated["device"].is_object(), "{elevated}");
}

/// Cases L12 and L14.
#[tokio::test]
async fn a_lock_is_shown_and_lifted() {
    let gate = Gate::new();
    let state = async || gate.get("/v1/lockouts/Alice").await.json();
    assert_eq!(state().await, json!({"locked": false, "failures": 0}));
    lock(&gate, "alice").await;
    assert_eq!(state().await, json!({"locked": true, "locked_until": START.0 + 60, "failures": 5}));
    let lifted = gate.delete("/v1/lockouts/%20ALICE").await;
    assert_eq!((lifted.status, lifted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(state().await, json!({"locked": false, "failures": 0}));
    lock(&gate, "alice").await;
    let changed = json!({"command": {"kind": "password_changed", "user_id": "alice"}});
    assert_eq!(gate.post(COMMANDS, changed).await.status, StatusCode::OK);
    assert_eq!(state().await["locked"], false);
    for nobody in ["%20", "%E3%80%80"] {
        let path = format!("/v1/lockouts/{nobody}");
        assert_eq!(gate.get(&path).await.problem(), problem(400, "invalid_request", &["account"]), "{nobody}");
        assert_eq!(gate.delete(&path).await.problem(), problem(400, "invalid_request", &["account"]), "{nobody}");
    }
    // What names nobody locks nobody.
    for _ in 0..10 {
        assert_eq!(Client::at("192.0.2.1").fails(&gate, " \u{3000}").await, counted());
    }
    assert_eq!(metric(&gate, "login_failures_total").await, "10", "those of alice");
}

/// Before an application sees it: a known device passes, and nothing counts.
#[tokio::test]
async fn an_attempt_is_told_how_the_lock_is_and_counts_for_nothing() {
    let gate = Gate::new();
    let attempt = json!({"kind": "login_attempt", "account": "Alice "});
    let mut owner = Client::at("192.0.2.7");
    owner.keeps_login(&gate, "alice").await;
    for _ in 0..100 {
        assert_eq!(Client::at("192.0.2.9").says(&gate, attempt.clone()).await.json(), counted());
    }
    lock(&gate, "alice").await;
    assert_eq!(Client::at("192.0.2.9").says(&gate, attempt.clone()).await.json(), locked(60));
    assert_eq!(owner.says(&gate, attempt.clone()).await.json(), counted(), "and no new device");
    let nobody = json!({"kind": "login_attempt", "account": " "});
    assert_eq!(Client::at("192.0.2.9").says(&gate, nobody).await.json(), counted());
    assert_eq!(gate.get("/v1/lockouts/alice").await.json()["failures"], 5);
    for number in 0..50 {
        Client::at("203.0.113.7").fails(&gate, &format!("user-{number}")).await;
    }
    assert_eq!(
        Client::at("203.0.113.7").says(&gate, json!({"kind": "login_attempt", "account": "bob"})).await.json(),
        locked(60)
    );
}

#[tokio::test]
async fn where_the_lock_is_not_asked_nothing_is_locked() {
    let gate = Gate::new();
    lock(&gate, "alice").await;
    let unguarded = json!({"command": {"kind": "login", "user_id": "alice"}, "ip_address": "192.0.2.1"});
    let reply = gate.post(COMMANDS, unguarded).await.json();
    assert!(reply["token"].is_object() && reply["device"].is_null());
    let by_call = gate.post("/v1/login", json!({"user_id": "alice", "ip_address": "192.0.2.1"})).await;
    assert_eq!((by_call.status, &by_call.json()["device"]), (StatusCode::CREATED, &Value::Null));
}

/// For those who prefer a call.
#[tokio::test]
async fn a_call_counts_and_asks_as_a_header_does() {
    let gate = Gate::new();
    let login = async |device: Option<&str>| {
        let body = json!({"user_id": "alice", "ip_address": "192.0.2.1", "lockout": true, "device_token": device});
        gate.post("/v1/login", body).await
    };
    let fail = async |device: Option<&str>| {
        let body = json!({"account": "alice", "ip_address": "203.0.113.9", "device_token": device});
        gate.post("/v1/logins/failed", body).await.json()
    };
    let device = login(None).await.json()["device"]["token"].as_str().unwrap().to_owned();
    for _ in 0..4 {
        assert_eq!(fail(None).await, json!({"counted": true}));
    }
    let until = START.0 + 60;
    assert_eq!(fail(None).await, json!({"counted": true, "locked_until": until, "retry_after": 60}));
    assert_eq!(fail(None).await, json!({"counted": false, "locked_until": until, "retry_after": 60}));
    let refused = login(None).await;
    assert_eq!((refused.problem(), refused.header("retry-after")), (problem(429, "login_locked", &[]), "60"));
    assert_eq!(fail(Some(&device)).await, json!({"counted": true}), "of the device alone");
    let again = login(Some(&device)).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text);
    assert_eq!(login(Some(&device)).await.status, StatusCode::CREATED, "its successor was not shown yet");
    let odd = gate.post("/v1/login", json!({"user_id": "alice", "ip_address": "here", "lockout": true})).await;
    assert_eq!(odd.problem(), problem(400, "invalid_request", &["ip_address"]));
    let nobody = gate.post("/v1/logins/failed", json!({"account": ""})).await;
    assert_eq!(nobody.problem(), problem(400, "invalid_request", &["account"]));
}

/// A second factor by call, as by header: no guess at a locked account is worth anything, however many come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_account_is_locked_no_elevation_by_call_is_done() {
    let gate = Arc::new(Gate::new());
    let pending = json!({"user_id": "alice", "pending_2fa": true, "max_sessions": 0, "ip_address": "192.0.2.1"});
    let elevation = async |by_token: bool| {
        let login = gate.post("/v1/login", &pending).await.json();
        let (id, token) = (&login["session"]["session_id"], &login["token"]["token"]);
        let named = if by_token { ("token", token) } else { ("session_id", id) };
        json!({named.0: named.1, "amr": ["otp"], "lockout": true, "ip_address": "192.0.2.1"})
    };
    let mut elevations = Vec::new();
    for number in 0..200 {
        elevations.push(elevation(number % 2 == 0).await);
    }
    lock(&gate, "alice").await;
    let all = elevations.iter().cloned().map(|body| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.post("/v1/elevate", body).await })
    });
    for answer in all.collect::<Vec<_>>() {
        let refused = answer.await.unwrap();
        assert_eq!((refused.problem(), refused.header("retry-after")), (problem(429, "login_locked", &[]), "60"));
    }
    let sessions = gate.get("/v1/users/alice/sessions?limit=1000").await.json();
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|session| session["status"] == "pending_2fa").count(), 200);
    assert_eq!(sessions.len(), 200, "the old ids live, and there is no new one");
    gate.delete("/v1/lockouts/alice").await;
    for body in elevations.iter().take(2) {
        assert_eq!(gate.post("/v1/elevate", body).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn an_elevation_by_call_begins_the_count_anew_and_knows_its_device() {
    let gate = Gate::new();
    let elevate = async |guard: Value| {
        let login = gate.post("/v1/login", json!({"user_id": "alice", "pending_2fa": true})).await.json();
        let mut body = json!({"token": login["token"]["token"], "amr": ["otp"]});
        body.as_object_mut().unwrap().extend(guard.as_object().unwrap().clone());
        gate.post("/v1/elevate", body).await
    };
    let failures = async || gate.get("/v1/lockouts/alice").await.json()["failures"].clone();
    Client::at("198.51.100.1").fails(&gate, "alice").await;
    let unguarded = elevate(json!({"ip_address": "192.0.2.1"})).await.json();
    assert_eq!((&unguarded["device"], failures().await), (&Value::Null, json!(1)), "it is not asked, nor told");
    let reply = elevate(json!({"lockout": true})).await.json();
    assert_eq!((&reply["device"]["max_age"], failures().await), (&json!(180 * 86_400), json!(0)), "{reply}");
    lock(&gate, "alice").await;
    assert_eq!(elevate(json!({"lockout": true})).await.problem(), problem(429, "login_locked", &[]));
    let known = json!({"lockout": true, "device_token": reply["device"]["token"]});
    let again = elevate(known.clone()).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text);
    // The successor's answer may be lost: the device is known until it shows that.
    assert_eq!(elevate(known).await.status, StatusCode::CREATED);
    let made_up = json!({"lockout": true, "device_token": format!("sgd_{}", "A".repeat(43))});
    assert_eq!(elevate(made_up).await.problem(), problem(429, "login_locked", &[]));
    let odd = elevate(json!({"lockout": true, "ip_address": "here"})).await;
    assert_eq!(odd.problem(), problem(400, "invalid_request", &["ip_address"]));
    // Of a session that has ended nothing else is said: that would tell a right guess from a wrong one.
    let ended = gate.post("/v1/login", json!({"user_id": "alice"})).await.json()["session"]["session_id"].clone();
    gate.delete(&format!("/v1/sessions/{}", ended.as_str().unwrap())).await;
    let ended = gate.post("/v1/elevate", json!({"session_id": ended, "lockout": true})).await;
    assert_eq!(ended.problem(), problem(429, "login_locked", &[]));
}

/// What cannot be counted is not let through; and whatever fails in between has counted too much, never too little.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_counted_is_no_login_and_no_failure() {
    let (gate, faults) = faulty(None);
    let client = Client::at("192.0.2.1");
    faults.fail(Some("login_attempt"));
    for command in [json!({"kind": "login", "user_id": "alice"}), json!({"kind": "login_failed", "account": "alice"})] {
        assert_eq!(client.says(&gate, command).await.problem(), problem(503, "store_unavailable", &[]));
    }
    assert_eq!(gate.get("/v1/users/alice/sessions").await.json()["sessions"], json!([]));
    faults.fail(None);
    faults.lose_answer("login_attempt");
    client.says(&gate, json!({"kind": "login_failed", "account": "alice"})).await;
    for number in 1..=5 {
        // The first question is the address's, which counts nothing: lose that of the account.
        let lost = Client::default();
        faults.lose_answer("login_attempt");
        let answer = lost.says(&gate, json!({"kind": "login_failed", "account": "alice"})).await;
        assert_eq!(answer.problem(), problem(503, "store_unavailable", &[]), "{number}");
    }
    assert_eq!(client.logs_in(&gate, "alice").await, locked(60));
    // A device that cannot be made known hinders no login.
    faults.fail(Some("issue_device"));
    let reply = client.logs_in(&gate, "bob").await;
    assert!(reply["token"].is_object() && reply["device"].is_null());
    // One that cannot be asked about may be anybody's: nobody is let through without an answer.
    faults.fail(Some("device_attempt"));
    let known = Client { device: Some("sgd_x".to_owned()), ..client };
    let unknown = known.says(&gate, json!({"kind": "login", "user_id": "bob"})).await;
    assert_eq!(unknown.problem(), problem(503, "store_unavailable", &[]));
}
