//! Limits while the sidecar is away, while Envoy goes, and among clients that mean harm.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::poll::until;
use session_gate_tests::upstream::REPLY_HEADER;
use session_gate_tests::{Call, Http, Stack, Store};
use tokio::task::JoinSet;

use crate::limits::{LEASES, expect_counted, expect_denied, expect_left, expect_logged, gate, gate_of, send};
use crate::login_story::expect;

/// A limit of ten whose store may go away, and a route that goes on to serve while nothing new is known.
fn away(name: &str) -> (Value, Value) {
    let limit = json!({"requests": 10, "window": 3600, "on_store_unavailable": name});
    let route = json!({
        "name": name, "match": {"path": {"prefix": format!("/{name}")}}, "failure_mode": "allow", "rate_limit": [name],
    });
    (limit, route)
}

async fn expect_soon(stack: &Stack, call: &Call, status: u16, code: Option<&str>) -> Result<()> {
    until("an answer", async || expect(&stack.send(call.clone()).await?, status, code)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_sidecar_is_away_each_limit_does_as_it_says() -> Result<()> {
    let [deny, allow, share] = ["deny", "allow", "share"].map(away);
    let limits = json!({"deny": deny.0, "allow": allow.0, "share": share.0});
    let routes = json!([deny.1, allow.1, share.1]);
    let mut stack = gate_of(limits, &routes).store(Store::Redis).start().await?;
    let login = stack.login("alice", &[]).await?;
    // The token is known, and so is how many workers there are.
    let call = |path: &str| Call::get(path).bearer(&login.token);
    expect(&stack.send(call("/share")).await?, 200, None)?;
    stack.sidecar.kill().await?;

    expect_soon(&stack, &call("/deny/away"), 503, Some("limit_unavailable")).await?;
    let denied = stack.send(call("/deny/away")).await?;
    ensure!(denied.headers.contains_key("retry-after"), "{:?}", denied.headers);
    expect_logged(&stack, "/deny/away", &["decision=deny", "reason=limit_unavailable", "limit_unavailable=deny"])
        .await?;
    assert_eq!(send(&stack, &call("/allow/away"), 30).await?, BTreeMap::from([(200, 30)]));
    expect_logged(&stack, "/allow/away", &["decision=allow", "limit_unavailable=allow"]).await?;
    let statuses = send(&stack, &call("/share"), 30).await?;
    let shared = statuses.get(&200).copied().unwrap_or_default();
    ensure!((1..10).contains(&shared), "a part of ten, and no more: {statuses:?}");
    expect(&stack.send(call("/share")).await?, 429, Some("rate_limited"))?;
    expect_counted(&stack, "limit.allow.unavailable", 30).await?;

    stack.sidecar.restart().await?;
    expect_soon(&stack, &call("/deny"), 200, None).await?;
    // What was admitted without leave counts: all of a share, and of what was let pass as much as that.
    let part = u64::try_from(shared)? + 1;
    until("the sidecar to be told", async || {
        let owed = stack.sidecar_counts("session_gate_limit_admissions_owed_total").await?;
        ensure!(owed == part + part - 1, "{owed}");
        Ok(())
    })
    .await?;
    for path in ["/allow", "/share"] {
        let statuses = send(&stack, &call(path), 12).await?;
        ensure!(statuses.get(&200) == Some(&(10 - usize::try_from(part)?)), "{path}: {statuses:?}");
    }
    stack.assert_still_serving().await
}

/// They wait for one answer, and then need a lease that cannot even be asked for: Envoy makes no call where no
/// host is healthy.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_left_behind_where_a_call_cannot_be_made() -> Result<()> {
    let (limit, route) = away("allow");
    let mut stack = gate_of(json!({"allow": limit}), &json!([route]))
        .envoy(|config| {
            let cluster = config.cluster("session-gate-sidecar")?.as_object_mut().context("a cluster")?;
            let check = json!({
                "timeout": "0.2s", "interval": "0.2s", "no_traffic_interval": "0.2s", "unhealthy_threshold": 1,
                "healthy_threshold": 1, "http_health_check": {"path": "/healthz"},
            });
            cluster.insert("health_checks".to_owned(), json!([check]));
            cluster.insert("common_lb_config".to_owned(), json!({"healthy_panic_threshold": {"value": 0}}));
            Ok(())
        })
        .filter(|filter| {
            let sidecar = filter.pointer_mut("/sidecar").context("the example has a sidecar")?;
            let sidecar = sidecar.as_object_mut().context("an object")?;
            sidecar.insert("timeout".to_owned(), json!("2s"));
            sidecar.insert("max_staleness".to_owned(), json!("2s"));
            Ok(())
        })
        .start()
        .await?;
    stack.wait_until_it_serves().await?;
    // It was issued so soon after the feed began that it is asked about.
    let login = stack.login("alice", &[]).await?;
    stack.sidecar.pause()?;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (call, address) = (Call::get("/allow").bearer(&login.token), stack.address());
        calls.spawn(async move { call.send(address, Http::V1).await });
    }
    while let Some(reply) = calls.join_next().await {
        expect(&reply??, 200, None)?;
    }
    expect_counted(&stack, "limit.allow.away", 20).await?;
    stack.sidecar.resume()?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_and_upstreams_say_of_limits_counts_for_nothing() -> Result<()> {
    let mut stack = gate(json!({"few": {"requests": 2, "window": 60}})).start().await?;
    let login = stack.login("alice", &[]).await?;
    let lies = [
        ("ratelimit", "\"few\";r=1000;t=1"),
        ("ratelimit-policy", "\"few\";q=1000;w=1"),
        ("x-ratelimit-limit", "1000"),
        ("x-ratelimit-remaining", "1000"),
        ("x-ratelimit-reset", "0"),
    ];
    let call = lies.iter().fold(Call::get("/few").bearer(&login.token), |call, (name, value)| {
        call.header(name, value).header(REPLY_HEADER, format!("{name}: {value}"))
    });
    for left in [1, 0] {
        let reply = stack.send(call.clone()).await?;
        expect(&reply, 200, None)?;
        expect_left(&reply, "few", 2, left)?;
        ensure!(reply.header("ratelimit-policy") == Some("\"few\";q=2;w=60"), "{:?}", reply.headers);
    }
    expect_denied(&stack.send(call).await?, "few", 2)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_denied_costs_no_calls() -> Result<()> {
    for store in Store::ALL {
        let mut stack = gate(json!({"few": {"requests": 3, "window": 3600}})).store(store).start().await?;
        let login = stack.login("mallory", &[]).await?;
        let call = Call::get("/few").bearer(&login.token);
        assert_eq!(send(&stack, &call, 4).await?, BTreeMap::from([(200, 3), (429, 1)]));
        let before = stack.sidecar_calls(LEASES).await?;
        assert_eq!(send(&stack, &call, 300).await?, BTreeMap::from([(429, 300)]));
        let calls = stack.sidecar_calls(LEASES).await? - before;
        ensure!(calls == 0, "{calls} calls");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_a_worker_keeps_are_counted_all_the_same() -> Result<()> {
    const KEYS: usize = 1000;
    const AT_ONCE: usize = 32;
    let limits = json!({"tenants": {"requests": 2, "window": 3600, "key": [{"header": "x-tenant"}]}});
    let few_keys = |filter: &mut Value| {
        let limits = json!({"rate_limit_keys": 100});
        filter.as_object_mut().context("an object")?.insert("bounds".to_owned(), limits);
        Ok(())
    };
    let mut stack = gate(limits).filter(few_keys).start().await?;
    let tenant = |name: &str| Call::get("/tenants").header("x-tenant", name);
    assert_eq!(send(&stack, &tenant("first"), 3).await?, BTreeMap::from([(200, 2), (429, 1)]));
    let mut under_way = JoinSet::new();
    for number in 0..KEYS {
        if under_way.len() >= AT_ONCE {
            expect(&under_way.join_next().await.context("one is under way")???, 200, None)?;
        }
        let (call, gate) = (tenant(&format!("tenant-{number}")), stack.address());
        under_way.spawn(async move { call.send(gate, Http::V1).await });
    }
    while let Some(reply) = under_way.join_next().await {
        expect(&reply??, 200, None)?;
    }
    // The worker has forgotten it, and the store has not.
    expect_denied(&stack.send(tenant("first")).await?, "tenants", 2)?;
    assert_eq!(send(&stack, &tenant("tenant-0"), 2).await?, BTreeMap::from([(200, 1), (429, 1)]));
    until("the forgotten keys to be counted", async || {
        let counters = stack.envoy.admin().stats("wasmcustom.session_gate.limit_keys.forgotten").await?;
        ensure!(counters.values().sum::<u64>() >= 800, "{counters:?}");
        Ok(())
    })
    .await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_goes_takes_no_more_with_it_than_it_had_leased() -> Result<()> {
    for store in Store::ALL {
        let mut stack = gate(json!({"all": {"requests": 72, "window": 3600}})).store(store).start().await?;
        let mut leaving = stack.another_envoy().await?;
        let login = stack.login("alice", &[]).await?;
        let call = Call::get("/all").bearer(&login.token);
        expect(&call.send(leaving.address(), Http::V1).await?, 200, None)?;
        leaving.stop().await?;
        // A worker that has seen one request has leased a twelfth of the limit. Envoy sends nothing more for
        // it once it is told to stop, and what nobody hands back counts as used.
        let rest = send(&stack, &call, 73).await?;
        let admitted = rest.get(&200).copied().unwrap_or_default();
        ensure!((66..=71).contains(&admitted), "of 71 that are left: {rest:?}");
        stack.assert_still_serving().await?;
    }
    Ok(())
}
