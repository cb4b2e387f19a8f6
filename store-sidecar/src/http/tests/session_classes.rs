//! How long sessions of a class live, in days that pass on the clock of the test.

use serde_json::json;

use super::{feed::id_of, *};

const DAY: Duration = Duration::from_hours(24);

/// A session of that class, and its token.
async fn log_in(gate: &Gate, class: &str) -> (String, String) {
    let answer = gate.post("/v1/login", json!({"user_id": class, "class": class, "amr": ["pwd"]})).await.json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (format!("/v1/sessions/{}", text(&answer["session"]["session_id"])), text(&answer["token"]["token"]))
}

/// What the filter says of a session that is used.
async fn use_it(gate: &Gate, path: &str) {
    let used = gate.post("/v1/activity", json!({"sessions": [id_of(path)]})).await;
    assert_eq!(used.status, StatusCode::NO_CONTENT);
}

async fn renew(gate: &Gate, token: &str) -> Value {
    gate.post("/v1/tokens/renew", json!({"token": token})).await.json()
}

fn claims(gate: &Gate, token: &str) -> Claims {
    gate.keys.get().verify(token, "session-gate", "api").unwrap().claims().clone()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_remembered_and_used_daily_lives_for_ninety_days_and_no_longer() {
    let gate = Gate::new();
    let (path, mut token) = log_in(&gate, "remember").await;
    let first = claims(&gate, &token);
    for day in 1..90_u64 {
        gate.clock.advance(DAY);
        use_it(&gate, &path).await;
        let reply = renew(&gate, &token).await;
        assert_eq!(reply["verdict"], "live", "day {day}: {reply}");
        reply["token"]["token"].as_str().unwrap_or_else(|| panic!("{reply}")).clone_into(&mut token);
        // The cookie goes with its session.
        assert_eq!(reply["token"]["max_age"], json!((90 - day) * DAY.as_secs()), "day {day}");
        let now = claims(&gate, &token);
        assert_eq!((now.auth_time, &now.amr, &now.sid), (first.auth_time, &first.amr, &first.sid), "day {day}");
    }
    gate.clock.advance(DAY - Duration::from_secs(1));
    use_it(&gate, &path).await;
    assert_eq!(gate.get(&path).await.json()["status"], "active");
    gate.clock.advance(Duration::from_secs(1));
    assert_eq!(renew(&gate, &token).await, json!({"verdict": "session_expired"}));
}

#[tokio::test(start_paused = true)]
async fn a_browsers_session_ends_after_a_day_however_busy_and_after_half_an_hour_alone() {
    let gate = Gate::new();
    let (busy, busy_token) = log_in(&gate, "browser").await;
    for _ in 0..(24 * 3 - 1) {
        gate.clock.advance(Duration::from_secs(20 * 60));
        use_it(&gate, &busy).await;
        assert_eq!(gate.get(&busy).await.json()["status"], "active");
    }
    gate.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(renew(&gate, &busy_token).await, json!({"verdict": "session_expired"}), "a day is over");

    // A browser that restores its windows restores the cookie, too.
    let (_, token) = log_in(&gate, "browser").await;
    gate.clock.advance(2 * DAY);
    assert_eq!(renew(&gate, &token).await, json!({"verdict": "session_unknown"}), "its end is forgotten, too");
    let (alone, token) = log_in(&gate, "browser").await;
    gate.clock.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(gate.get(&alone).await.json()["status"], "active");
    gate.clock.advance(Duration::from_secs(1));
    assert_eq!(renew(&gate, &token).await, json!({"verdict": "session_expired"}));
}
