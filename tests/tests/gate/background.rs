//! Requests that are no activity of the user's: a page's polling.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::poll::until;
use session_gate_tests::{Call, Stack, Store};

use crate::login_story::expect;

async fn last_activity(stack: &Stack, session: &str) -> Result<u64> {
    let reply = stack.ask_sidecar(Call::get(&format!("/v1/sessions/{session}"))).await?.json()?;
    reply.get("last_activity").and_then(Value::as_u64).context("last_activity")
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_is_no_activity_and_a_click_is() -> Result<()> {
    for store in Store::ALL {
        let stack = Stack::builder()
            .store(store)
            .sidecar_env("SESSION_GATE_IDLE_TIMEOUT_MINUTES", "30")
            .sidecar_env("SESSION_GATE_ACTIVITY_RESOLUTION_SECONDS", "1")
            .routes(json!([{"name": "poll", "match": {"path": {"prefix": "/poll"}}, "background": true}]));
        let mut stack = stack.start().await?;
        stack.wait_until_it_serves().await?;
        let alice = stack.login("alice", &["read"]).await?;
        let bob = stack.login("bob", &["read"]).await?;
        let (began, bobs) =
            (last_activity(&stack, &alice.session_id).await?, last_activity(&stack, &bob.session_id).await?);
        // While another user's clicks are noted twice, and so whatever is reported has been, hers are none.
        let mut seen = bobs;
        for _ in 0..2 {
            seen = until("the other's use to be noted", async || {
                expect(&stack.send(Call::get("/poll/news").bearer(&alice.token)).await?, 200, None)?;
                expect(&stack.send(Call::get("/.session-gate/session").bearer(&alice.token)).await?, 200, None)?;
                expect(&stack.send(Call::get("/orders/1").bearer(&bob.token)).await?, 200, None)?;
                let now = last_activity(&stack, &bob.session_id).await?;
                ensure!(now > seen, "not yet");
                Ok(now)
            })
            .await?;
        }
        ensure!(last_activity(&stack, &alice.session_id).await? == began, "polling was taken for activity");
        until("her click to be noted", async || {
            expect(&stack.send(Call::get("/orders/1").bearer(&alice.token)).await?, 200, None)?;
            ensure!(last_activity(&stack, &alice.session_id).await? > began, "not yet");
            Ok(())
        })
        .await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}
