//! Several workers: each has its own VM, and all say the same.

use anyhow::{Result, ensure};
use hyper::Method;
use session_gate_tests::{Call, Http, Stack};

use crate::login_story::expect;

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_serves_and_every_worker_refuses_once_the_session_has_ended() -> Result<()> {
    let mut stack = Stack::builder().concurrency(4).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let call = Call::get("/orders").bearer(&login.token);
    ensure!(all(&stack, &call, 40).await? == [200; 40]);
    let path = format!("/v1/sessions/{}?wait=applied", login.session_id);
    expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 200, None)?;
    ensure!(all(&stack, &call, 40).await? == [401; 40]);
    stack.assert_still_serving().await
}

/// Sends the same request at once on that many connections, which the kernel spreads over the workers.
async fn all(stack: &Stack, call: &Call, count: usize) -> Result<Vec<u16>> {
    let gate = stack.address();
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let call = call.clone();
            tokio::spawn(async move { call.send(gate, Http::V1).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await??.status);
    }
    Ok(statuses)
}
