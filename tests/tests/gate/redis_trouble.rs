//! A Redis that goes away and comes back, with a sidecar that stays.

use anyhow::{Context as _, Result};
use hyper::Method;
use session_gate_tests::poll::until;
use session_gate_tests::{Call, Stack, Store};

use crate::login_story::expect;

async fn expect_answer(stack: &Stack, token: &str, status: u16, code: Option<&str>) -> Result<()> {
    let what = format!("the gate to answer {status}");
    until(&what, async || expect(&stack.send(Call::get("/orders").bearer(token)).await?, status, code)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_and_comes_back_with_its_data() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    let kept = stack.login("alice", &["read"]).await?;
    let ended = stack.login("alice", &["read"]).await?;
    let path = format!("/v1/sessions/{}?wait=applied", ended.session_id);
    expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 200, None)?;
    expect_answer(&stack, &kept.token, 200, None).await?;

    stack.redis.as_mut().context("a Redis")?.kill().await?;
    // While the feed's last proof is fresh enough, requests are still served.
    expect_answer(&stack, &kept.token, 503, Some("store_unavailable")).await?;
    for path in ["/readyz", "/healthz", "/.well-known/jwks.json"] {
        assert_eq!(stack.ask_sidecar(Call::get(path)).await?.status, 200, "{path}: all replicas have the same Redis");
    }

    stack.redis.as_mut().context("a Redis")?.restart().await?;
    expect_answer(&stack, &kept.token, 200, None).await?;
    expect_answer(&stack, &ended.token, 401, Some("session_terminated")).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_and_goes_on() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    expect_answer(&stack, &login.token, 200, None).await?;
    let redis = stack.redis.as_ref().context("a Redis")?;
    redis.pause()?;
    expect_answer(&stack, &login.token, 503, Some("store_unavailable")).await?;
    redis.resume()?;
    expect_answer(&stack, &login.token, 200, None).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_a_restart_of_the_sidecar() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    let kept = stack.login("alice", &["read"]).await?;
    let ended = stack.login("bob", &["read"]).await?;
    let path = format!("/v1/sessions/{}?wait=applied", ended.session_id);
    expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 200, None)?;
    assert!(stack.sidecar.stop().await?, "the sidecar ends well:\n{}", stack.sidecar.output());
    stack.sidecar.restart().await?;
    expect_answer(&stack, &kept.token, 200, None).await?;
    expect_answer(&stack, &ended.token, 401, Some("session_terminated")).await?;
    stack.assert_still_serving().await
}
