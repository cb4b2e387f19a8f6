//! A login that is sent again and again with one `Idempotency-Key`, to two sidecars on one Redis.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use session_gate_tests::{Call, Http, Stack, Store};

use crate::login_story::expect;

const KEY: &str = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";

fn log_in(user: &str) -> Call {
    Call::post("/v1/login").header("idempotency-key", KEY).json(&json!({"user_id": user, "scopes": ["read"]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_sent_to_two_sidecars_one_login_is_made() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    stack.wait_until_it_serves().await?;
    let other = stack.another_sidecar().await?;
    let sent = (0..50).map(|number| {
        let address = if number % 2 == 0 { stack.sidecar.address() } else { other.address() };
        async move { log_in("alice").send(address, Http::V1).await }
    });
    let mut answers = BTreeSet::new();
    for reply in try_join_all(sent).await? {
        if reply.status == 201 {
            answers.insert(reply.text());
        } else {
            expect(&reply, 409, Some("idempotency_in_progress"))?;
        }
    }
    ensure!(answers.len() == 1, "{} answers", answers.len());
    // Whoever asks later is told the same by the other sidecar, too.
    let again = log_in("alice").send(other.address(), Http::V1).await?;
    ensure!(answers.contains(&again.text()), "{}", again.text());
    expect(&log_in("bob").send(other.address(), Http::V1).await?, 422, Some("idempotency_key_reused"))?;
    let listed = stack.ask_sidecar(Call::get("/v1/users/alice/sessions")).await?.json()?;
    let sessions = listed.get("sessions").and_then(Value::as_array).context("sessions")?;
    ensure!(sessions.len() == 1, "{listed}");
    // The token is good, and the gate knows it.
    let token = again.field("/token/token").context("token")?;
    expect(&stack.send(Call::get("/orders/1").bearer(&token)).await?, 200, None)?;
    stack.assert_still_serving().await
}
