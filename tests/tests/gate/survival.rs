//! What was taken back stays so: through a new configuration, a trap, a sidecar that is killed or away,
//! and a store that loses its data.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::envoy::{Config, Envoy};
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::Sidecar;
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{Call, Http, Stack, Store, tools, trap};

use crate::feed::{end, served_alone};
use crate::login_story::expect;

async fn expect_soon(stack: &Stack, token: &str, status: u16, code: Option<&str>) -> Result<()> {
    let what = format!("the gate to answer {status}");
    until(&what, async || expect(&stack.send(Call::get("/orders").bearer(token)).await?, status, code)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_vm_after_a_trap_knows_what_was_taken_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let module = trap::write_trapping_filter(dir.path())?;
    let stack = Stack::builder().store(Store::Redis).module(module).start().await?;
    let kept = served_alone(&stack).await?;
    let ended = served_alone(&stack).await?;
    end(&stack, &ended.session_id).await?;
    trap::send_trailers(stack.address(), "/orders", &kept.token).await;
    // The next request makes the new VM.
    expect_soon(&stack, &ended.token, 401, Some("session_terminated")).await?;
    let counters = stack.envoy.admin().crash_counters().await?;
    ensure!(counters.values().any(|count| *count > 0), "it has not trapped: {counters:?}");
    expect_soon(&stack, &kept.token, 200, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sidecar_comes_back_with_what_it_had_confirmed() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    let kept = served_alone(&stack).await?;
    let ended = served_alone(&stack).await?;
    let delete = Call::new(Method::DELETE, &format!("/v1/sessions/{}", ended.session_id));
    expect(&stack.ask_sidecar(delete).await?, 204, None)?;
    stack.sidecar.kill().await?;
    expect_soon(&stack, &ended.token, 401, Some("session_terminated")).await?;
    stack.sidecar.restart().await?;
    expect_soon(&stack, &kept.token, 200, None).await?;
    expect(&stack.send(Call::get("/orders").bearer(&ended.token)).await?, 401, Some("session_terminated"))?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_takes_back_while_the_gates_own_is_away_is_refused() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    let ended = served_alone(&stack).await?;
    let url = stack.redis.as_ref().context("a Redis")?.url();
    let dir = tempfile::tempdir()?;
    let other = Sidecar::start(vec![("REDIS_URL".to_owned(), url)], dir.path()).await?;
    stack.sidecar.kill().await?;
    let delete = Call::new(Method::DELETE, &format!("/v1/sessions/{}?wait=applied", ended.session_id));
    let reply = delete.send(other.address(), Http::V1).await?;
    ensure!(reply.json()?.get("applied") == Some(&json!(true)), "{}", reply.text());
    let refused = stack.send(Call::get("/orders").bearer(&ended.token)).await?;
    ensure!([401, 503].contains(&refused.status), "it was answered {}", refused.status);
    stack.sidecar.restart().await?;
    expect_soon(&stack, &ended.token, 401, Some("session_terminated")).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_lost_everything_brings_nothing_back() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).start().await?;
    let kept = served_alone(&stack).await?;
    let ended = served_alone(&stack).await?;
    let alone =
        stack.ask_sidecar(Call::post("/v1/tokens").json(&json!({"user_id": "robot", "scopes": ["read"]}))).await?;
    let alone = alone.field("/token").context("a token of no session")?;
    expect_soon(&stack, &alone, 200, None).await?;
    end(&stack, &ended.session_id).await?;
    let revoke =
        Call::post("/v1/tokens/revoke?wait=applied").header("content-type", "application/x-www-form-urlencoded");
    expect(&stack.ask_sidecar(revoke.body(format!("token={alone}"))).await?, 200, None)?;
    stack.redis.as_ref().context("a Redis")?.flush().await?;
    // Whoever knew goes on to refuse; the store has forgotten the session that was kept.
    expect(&stack.send(Call::get("/orders").bearer(&ended.token)).await?, 401, Some("session_terminated"))?;
    expect(&stack.send(Call::get("/orders").bearer(&alone)).await?, 401, Some("token_revoked"))?;
    expect_soon(&stack, &kept.token, 401, Some("session_unknown")).await?;
    // So does whoever comes afterwards: the sidecar has told the store again.
    let fresh = second_gate(&stack).await?;
    until("the second gate to know", async || {
        let reply = Call::get("/orders").bearer(&alone).send(fresh.address(), Http::V1).await?;
        expect(&reply, 401, Some("token_revoked"))
    })
    .await?;
    // Whether it goes by the feed, or has asked about a token from before it began.
    let reply = Call::get("/orders").bearer(&ended.token).send(fresh.address(), Http::V1).await?;
    ensure!(
        ["session_terminated", "session_unknown"].map(|code| Some(code.to_owned())).contains(&reply.code()),
        "{}",
        reply.text()
    );
    stack.assert_still_serving().await
}

/// Another Envoy in front of the same sidecar and upstream.
async fn second_gate(stack: &Stack) -> Result<Envoy> {
    let mut config = Config::example()?;
    config.use_free_ports()?;
    config.set_cluster_port("app", stack.upstream.address().port())?;
    config.set_cluster_port("session-gate-sidecar", stack.sidecar.address().port())?;
    config.set_module(&tools::filter()?)?;
    let dir = stack.dir().join("second");
    std::fs::create_dir(&dir)?;
    Envoy::start(&config, 1, &dir).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_begins_with_what_the_old_one_knew() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let listener = dir.path().join("listener.json");
    let upstream = Upstream::start().await?;
    let mut sidecar = Sidecar::start(Vec::new(), dir.path()).await?;
    let config = |name: &str| -> Result<Config> {
        let mut config = Config::example()?;
        config.use_free_ports()?;
        config.set_cluster_port("app", upstream.address().port())?;
        config.set_cluster_port("session-gate-sidecar", sidecar.address().port())?;
        config.set_module(&tools::filter()?)?;
        let routes = json!([{"name": name, "failure_mode": "allow"}]);
        config.filter().as_object_mut().context("an object")?.insert("routes".to_owned(), routes);
        Ok(config)
    };
    let envoy = Envoy::start_with_listener_file(&config("old")?, &listener, dir.path()).await?;
    let login = async |user: &str| -> Result<(String, String)> {
        let body = json!({"user_id": user});
        let reply = Call::post("/v1/login").json(&body).send(sidecar.address(), Http::V1).await?;
        Ok((reply.field("/token/token").context("a token")?, reply.field("/session/session_id").context("a session")?))
    };
    let (kept, _) = login("alice").await?;
    let (ended, session) = login("bob").await?;
    let get = async |token: &str| Call::get("/").bearer(token).send(envoy.admin().listener().await?, Http::V1).await;
    until("the gate to serve", async || expect(&get(&kept).await?, 200, None)).await?;
    let delete = Call::new(Method::DELETE, &format!("/v1/sessions/{session}?wait=applied"));
    expect(&delete.send(sidecar.address(), Http::V1).await?, 200, None)?;
    let next = config("new")?;
    sidecar.kill().await?;

    next.write_listener(&listener)?;
    until("the new configuration to serve", async || {
        expect(&get(&kept).await?, 200, None)?;
        let lines = envoy.access_log();
        let rule = lines.last().and_then(|line| line.get("session_gate")).and_then(Value::as_str).unwrap_or_default();
        ensure!(rule.contains("rule=new"), "still {rule:?}");
        Ok(())
    })
    .await?;
    // With nobody to ask, and a failure mode that lets good tokens pass, only what it knows can refuse.
    expect(&get(&ended).await?, 401, Some("session_terminated"))?;
    let counters = envoy.admin().crash_counters().await?;
    ensure!(counters.values().all(|count| *count == 0), "{counters:?}");
    Ok(())
}
