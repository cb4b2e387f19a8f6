//! What happens to requests that are under way when their session, or their client, goes.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::State;
use hyper::Method;
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::FakeSidecar;
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

        let path = format!("/v1/sessions/{}", login.session_id);
        expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 204, None)?;
        let next = Call::get("/orders/next").bearer(&login.token).send(gate, http).await?;
        expect(&next, 401, Some("session_terminated"))?;
        stack.upstream.release();
        expect(&held.await??, 200, None)?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_session_ends_while_the_sidecar_is_asked_is_refused() -> Result<()> {
    let mut stack = Stack::builder()
        .filter(|filter| {
            filter["sidecar"]["timeout"] = "30s".into();
            Ok(())
        })
        .start()
        .await?;
    let login = stack.login("alice", &["read"]).await?;
    expect(&stack.send(Call::get("/orders/first").bearer(&login.token)).await?, 200, None)?;
    stack.sidecar.kill().await?;
    let answer = Arc::new(Notify::new());
    let app = Router::new().fallback(terminated_once_told).with_state(Arc::clone(&answer));
    let fake = FakeSidecar::start(app, stack.sidecar.address().port()).await?;

    let gate = stack.address();
    let call = Call::get("/orders/asked").bearer(&login.token);
    let asked = tokio::spawn(async move { call.send(gate, Http::V1).await });
    wait_for_calls(&stack, 1).await?;
    answer.notify_one();
    expect(&asked.await??, 401, Some("session_terminated"))?;
    drop(fake);
    stack.sidecar.restart().await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_while_the_sidecar_is_asked_harm_nobody() -> Result<()> {
    let mut stack = Stack::builder()
        .filter(|filter| {
            filter["sidecar"]["timeout"] = "30s".into();
            Ok(())
        })
        .start()
        .await?;
    let login = stack.login("alice", &["read"]).await?;
    expect(&stack.send(Call::get("/orders/first").bearer(&login.token)).await?, 200, None)?;
    stack.sidecar.pause()?;
    let request = format!("GET /orders/left HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {}\r\n\r\n", login.token);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(stack.address()).await?;
        client.write_all(request.as_bytes()).await?;
        clients.push(client);
    }
    wait_for_calls(&stack, 20).await?;
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

/// Waits until Envoy has that many calls to the sidecar under way.
async fn wait_for_calls(stack: &Stack, calls: u64) -> Result<()> {
    let name = "cluster.session-gate-sidecar.upstream_rq_active";
    until("calls to the sidecar", async || {
        let active = *stack.envoy.admin().stats(name).await?.get(name).context("no such counter")?;
        ensure!(active == calls, "{active} calls");
        Ok(())
    })
    .await
}

async fn terminated_once_told(State(answer): State<Arc<Notify>>) -> &'static str {
    answer.notified().await;
    r#"{"verdict":"session_terminated"}"#
}
