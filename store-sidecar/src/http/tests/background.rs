//! Checks of requests that are no activity of the user's.

use serde_json::json;

use super::*;

async fn ask(gate: &Gate, credential: &Value, background: bool) -> String {
    verdict(&gate.post("/v1/check", json!({"credential": credential, "background": background})).await)
}

#[tokio::test(start_paused = true)]
async fn polling_does_not_keep_a_session_from_going_idle_and_use_does() {
    let idle = Duration::from_secs(1_800);
    for (background, last) in [(true, "session_expired"), (false, "live")] {
        for kind in ["own", "opaque", "foreign"] {
            let gate = Gate::with(Setup { idle_timeout: Some(idle), ..Setup::default() });
            let login = gate.post("/v1/login", json!({"user_id": "alice", "opaque": kind == "opaque"})).await.json();
            let credential = match kind {
                "own" => json!({
                    "kind": kind, "user_id": "alice", "session_id": login["session"]["session_id"],
                    "token_id": login["token"]["token_id"],
                }),
                "opaque" => json!({"kind": kind, "token": login["token"]["token"]}),
                _ => json!({"kind": kind, "claims": {"iss": "i", "sub": "alice"}, "require_session": true}),
            };
            for _ in 0..29 {
                gate.clock.advance(Duration::from_secs(60));
                assert_eq!(ask(&gate, &credential, background).await, "live", "{kind}");
            }
            gate.clock.advance(Duration::from_secs(60));
            let ended = ask(&gate, &credential, background).await;
            // Another issuer's token stands for any session of its user that is active.
            let last = if background && kind == "foreign" { "session_unknown" } else { last };
            assert_eq!(ended, last, "{kind}, background: {background}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_no_use_either() {
    let (idle_timeout, refresh_threshold) = (Some(Duration::from_secs(1_800)), Some(Duration::from_secs(2_700)));
    let gate = Gate::with(Setup { idle_timeout, refresh_threshold, ..Setup::default() });
    let (path, token) = gate.login("alice").await;
    // Due, as it ends within the threshold.
    gate.clock.advance(Duration::from_secs(1_200));
    let renewed = gate.post("/v1/tokens/renew", json!({ "token": token })).await;
    assert!(verdict(&renewed) == "live" && renewed.json()["token"].is_object(), "{}", renewed.text);
    assert_eq!(gate.get(&path).await.json()["last_activity"], START.0);
    gate.clock.advance(Duration::from_secs(600));
    assert_eq!(gate.get(&path).await.json()["status"], "expired");
    let renewed = gate.post("/v1/tokens/renew", json!({ "token": token })).await;
    assert_eq!((verdict(&renewed), renewed.json().get("token")), ("session_expired".to_owned(), None));
}
