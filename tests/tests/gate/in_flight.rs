//! What happens to requests that are under way when their session, or their client, goes.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::FakeSidecar;
use session_gate_tests::stack::Login;
use session_gate_tests::upstream::HOLD;
use session_gate_tests::{Call, Http, Stack};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::login_story::expect;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_at_the_upstream_ends_as_it_began_and_the_next_is_refused() -> Result<()> {
    for http in Http::ALL {
        let mut stack = Stack::builder().start().await?;
        let login = stack.login("alice", &["read"]).await?;
        let gate = stack.address();
        let held = Call::get("/orders/held").bearer(&login.token).header(HOLD, "1");
        let held = tokio::spawn(async move { held.send(gate, http).await });
        stack.upstream.wait_for("/orders/held").await?;

        let path = format!("/v1/sessions/{}?wait=applied", login.session_id);
        expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 200, None)?;
        let next = Call::get("/orders/next").bearer(&login.token).send(gate, http).await?;
        expect(&next, 401, Some("session_terminated"))?;
        stack.upstream.release();
        expect(&held.await??, 200, None)?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

/// A gate whose keys are there, and a session that its workers must ask about: it may have gone idle.
async fn asking_gate() -> Result<(Stack, Login)> {
    let stack = Stack::builder()
        .sidecar_env("SESSION_GATE_IDLE_TIMEOUT_MINUTES", "60")
        .filter(|filter| {
            let sidecar =
                filter.get_mut("sidecar").and_then(Value::as_object_mut).context("the example has a sidecar")?;
            sidecar.insert("timeout".to_owned(), json!("30s"));
            // An answer counts for as long as knowledge is believed.
            sidecar.insert("max_staleness".to_owned(), json!("30s"));
            Ok(())
        })
        .start()
        .await?;
    let other = stack.login("bob", &["read"]).await?;
    expect(&stack.send(Call::get("/orders/first").bearer(&other.token)).await?, 200, None)?;
    let login = stack.login("alice", &["read"]).await?;
    Ok((stack, login))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_session_ends_while_the_sidecar_is_asked_is_refused() -> Result<()> {
    let (mut stack, login) = asking_gate().await?;
    stack.sidecar.kill().await?;
    let question = Arc::new(Question::default());
    let app = Router::new().route("/v1/check", post(terminated_once_told)).with_state(Arc::clone(&question));
    let fake = FakeSidecar::start(app, stack.sidecar.address().port()).await?;

    let gate = stack.address();
    let call = Call::get("/orders/asked").bearer(&login.token);
    let asked = tokio::spawn(async move { call.send(gate, Http::V1).await });
    question.asked.notified().await;
    question.answer.notify_one();
    expect(&asked.await??, 401, Some("session_terminated"))?;
    drop(fake);
    stack.sidecar.restart().await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_while_the_sidecar_is_asked_harm_nobody() -> Result<()> {
    let (mut stack, login) = asking_gate().await?;
    stack.sidecar.pause()?;
    let request = format!("GET /orders/left HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {}\r\n\r\n", login.token);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(stack.address()).await?;
        client.write_all(request.as_bytes()).await?;
        clients.push(client);
    }
    // They ask the same: one call for all of them.
    wait_for_sharers(&stack, 19).await?;
    // Half leave, half stay.
    let stayed = clients.split_off(10);
    drop(clients);
    until("Envoy to notice", async || {
        let left = stack.envoy.access_log().iter().filter(|line| line["flags"] == "DC").count();
        ensure!(left == 10, "{left} of 10");
        Ok(())
    })
    .await?;
    stack.sidecar.resume()?;
    stack.assert_still_serving().await?;
    until("the others' requests at the upstream", async || {
        let left = stack.upstream.seen().iter().filter(|seen| seen["path"] == "/orders/left").count();
        ensure!(left == 10, "{left} requests");
        Ok(())
    })
    .await?;
    drop(stayed);
    stack.assert_still_serving().await
}

/// Waits until that many requests wait for the answer to another's question.
async fn wait_for_sharers(stack: &Stack, requests: u64) -> Result<()> {
    until("requests to share a question", async || {
        let sharing = stack.envoy.admin().stats("wasmcustom.session_gate.check.shared").await?.values().sum::<u64>();
        ensure!(sharing == requests, "{sharing} requests");
        Ok(())
    })
    .await
}

/// A question to a fake sidecar, and the moment for its answer.
#[derive(Default)]
struct Question {
    asked: Notify,
    answer: Notify,
}

async fn terminated_once_told(State(question): State<Arc<Question>>) -> &'static str {
    question.asked.notify_one();
    question.answer.notified().await;
    r#"{"verdict":"session_terminated"}"#
}
