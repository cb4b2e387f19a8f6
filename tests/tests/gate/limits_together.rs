//! Limits that hold together: several on a route, several Envoys on one limit, and what changes meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hyper::Method;
use serde_json::json;
use session_gate_tests::envoy::{Config, Envoy};
use session_gate_tests::poll::until;
use session_gate_tests::stack::Login;
use session_gate_tests::{Call, Http, Stack, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::limits::{LEASES, expect_denied, expect_left, gate, gate_with, send};
use crate::limits_keys::with_claim;
use crate::login_story::expect;

/// Sends the call so many times to each of these gates, all at once. Answers how often it was answered with
/// what.
async fn send_at_once(gates: &[SocketAddr], call: &Call, count: usize) -> Result<BTreeMap<u16, usize>> {
    let mut under_way = JoinSet::new();
    for gate in gates.iter().copied().cycle().take(count * gates.len()) {
        let call = call.clone();
        under_way.spawn(async move { call.send(gate, Http::V1).await });
    }
    let mut statuses = BTreeMap::new();
    while let Some(reply) = under_way.join_next().await {
        *statuses.entry(reply??.status).or_default() += 1;
    }
    Ok(statuses)
}

fn admitted(statuses: &BTreeMap<u16, usize>) -> Result<usize> {
    ensure!(statuses.keys().all(|status| [200, 429].contains(status)), "{statuses:?}");
    Ok(statuses.get(&200).copied().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_limits_the_one_that_denies_is_told_and_no_other_is_charged() -> Result<()> {
    let limits = json!({
        "wide": {"requests": 9, "window": 60},
        "narrow": {"requests": 1, "window": 60, "key": ["user", {"header": "x-item"}]},
        "search": {"windows": [{"requests": 3, "window": "30s"}, {"requests": 1000, "window": "1h"}]},
    });
    let both = json!([{"name": "both", "match": {"path": {"prefix": "/both"}}, "rate_limit": ["wide", "narrow"]}]);
    for store in Store::ALL {
        let mut stack = gate_with(limits.clone(), &both).store(store).start().await?;
        let login = stack.login("alice", &[]).await?;
        let call = Call::get("/both").bearer(&login.token).header("x-item", "1");
        let reply = stack.send(call.clone()).await?;
        expect(&reply, 200, None)?;
        expect_left(&reply, "narrow", 1, 0).context("the tightest")?;
        for _ in 0..3 {
            let denied = stack.send(call.clone()).await?;
            expect_denied(&denied, "narrow", 1)?;
            ensure!(denied.header("ratelimit-policy") == Some("\"narrow\";q=1;w=60"), "{:?}", denied.headers);
        }
        let other = Call::get("/both").bearer(&login.token).header("x-item", "2");
        expect(&stack.send(other).await?, 200, None)?;
        expect_left(&stack.send(Call::get("/wide").bearer(&login.token)).await?, "wide", 9, 6)?;

        let search = Call::get("/search").bearer(&login.token);
        let reply = stack.send(search.clone()).await?;
        let policy = "\"search.30s\";q=3;w=30, \"search.3600s\";q=1000;w=3600";
        ensure!(reply.header("ratelimit-policy") == Some(policy), "{:?}", reply.headers);
        expect_left(&reply, "search.30s", 3, 2)?;
        assert_eq!(send(&stack, &search, 2).await?, BTreeMap::from([(200, 2)]));
        expect_denied(&stack.send(search).await?, "search.30s", 3)?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_workers_of_all_envoys_never_admit_more_than_a_limit() -> Result<()> {
    for store in Store::ALL {
        let limits = json!({
            "all": {"requests": 100, "window": 3600},
            "login": {"requests": 5, "window": 60, "key": ["address"], "exact": true},
        });
        let mut stack = gate(limits).store(store).concurrency(3).start().await?;
        let second = stack.another_envoy().await?;
        let gates = [stack.address(), second.address()];
        let login = stack.login("alice", &[]).await?;
        let call = Call::get("/all").bearer(&login.token);
        let first = admitted(&send_at_once(&gates, &call, 100).await?)?;
        ensure!(first <= 100, "{first} of 100");
        // What some have leased and others need comes back; what comes back late counts as used.
        let mut all = first;
        until("the limit to be used up", async || {
            all += admitted(&send_at_once(&gates, &call, 20).await?)?;
            ensure!(all >= 99, "{all} of 100");
            Ok(())
        })
        .await?;
        all += admitted(&send_at_once(&gates, &call, 20).await?)?;
        ensure!(all <= 100, "{all} of 100, {first} of them at once");

        let exact = admitted(&send_at_once(&gates, &Call::post("/login"), 6).await?)?;
        ensure!(exact == 5, "{exact} of 5 logins");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_goes_on_with_what_the_old_one_has_leased() -> Result<()> {
    let limits = json!({"all": {"requests": 1000, "window": 3600}});
    let mut stack = gate(limits).start().await?;
    let login = stack.login("alice", &[]).await?;
    let dir = stack.dir().join("reconfigured");
    std::fs::create_dir(&dir)?;
    let listener = dir.join("listener.json");
    let config = |name: &str| -> Result<Config> {
        let mut config = stack.config().clone();
        config.use_free_ports()?;
        let routes = config.filter().get_mut("routes").context("routes")?.as_array_mut().context("a list")?;
        let marker = json!({"name": "marker", "match": {"path": {"exact": format!("/{name}")}},
            "authentication": "public", "rate_limit": []});
        routes.insert(0, marker);
        Ok(config)
    };
    let envoy = Envoy::start_with_listener_file(&config("first")?, &listener, &dir).await?;
    let get = async |path: &str| Call::get(path).send(envoy.admin().listener().await?, Http::V1).await;
    let ten = async || -> Result<()> {
        let call = Call::get("/all").bearer(&login.token);
        for _ in 0..10 {
            expect(&call.send(envoy.admin().listener().await?, Http::V1).await?, 200, None)?;
        }
        Ok(())
    };
    ten().await?;
    let mut admitted = 10;
    // On a machine that stands still what is leased may be handed back for want of requests.
    for turn in 0..5 {
        let (calls, at) = (stack.sidecar_calls(LEASES).await?, Instant::now());
        ten().await?;
        let name = format!("turn-{turn}");
        config(&name)?.write_listener(&listener)?;
        until("the new configuration", async || expect(&get(&format!("/{name}")).await?, 200, None)).await?;
        ten().await?;
        admitted += 20;
        let took = at.elapsed();
        let asked = stack.sidecar_calls(LEASES).await? - calls;
        let last = Call::get("/all").bearer(&login.token).send(envoy.admin().listener().await?, Http::V1).await?;
        admitted += 1;
        expect_left(&last, "all", 1000, 1000 - admitted)?;
        // Sizes follow demand: twenty requests are asked for ahead at some time, once.
        if took < Duration::from_secs(2) {
            ensure!(asked <= 1, "{asked} calls, though there was enough");
            return stack.assert_still_serving().await;
        }
    }
    bail!("a new configuration took longer than two seconds every time")
}

async fn set_override(stack: &Stack, login: &Login, requests: Option<u64>) -> Result<()> {
    let user = Call::get("/free").bearer(&login.token);
    expect(&stack.send(user).await?, 200, None)?;
    let path = "/v1/limits/overrides/few%3Aissuer%3Dsession-gate%26user%3Dalice";
    let call = match requests {
        Some(requests) => Call::new(Method::PUT, path).json(&json!({"requests": [requests], "note": "a test"})),
        None => Call::new(Method::DELETE, path),
    };
    let reply = stack.ask_sidecar(call).await?;
    ensure!((200..300).contains(&reply.status), "{} {}", reply.status, reply.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_raises_and_lowers_what_one_user_has() -> Result<()> {
    for store in Store::ALL {
        let mut stack = gate(json!({"few": {"requests": 2, "window": 3600}})).store(store).start().await?;
        let alice = stack.login("alice", &[]).await?;
        let bob = stack.login("bob", &[]).await?;
        let [call, bobs] = [&alice, &bob].map(|login| Call::get("/few").bearer(&login.token));
        for call in [&call, &bobs] {
            assert_eq!(send(&stack, call, 3).await?, BTreeMap::from([(200, 2), (429, 1)]));
        }
        set_override(&stack, &alice, Some(5)).await?;
        until("the override to raise the limit", async || {
            let reply = stack.send(call.clone()).await?;
            expect(&reply, 200, None)?;
            expect_left(&reply, "few", 5, 2)
        })
        .await?;
        expect_denied(&stack.send(bobs.clone()).await?, "few", 2)?;
        set_override(&stack, &alice, None).await?;
        until("the limit to be the usual one", async || expect_denied(&stack.send(call.clone()).await?, "few", 2))
            .await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_how_many() -> Result<()> {
    let limits = json!({"plan": {
        "requests": 10, "window": 60, "requests_from": {"claim": "plan", "values": {"pro": 100, "trial": 1}},
    }});
    let mut stack = gate(limits).start().await?;
    for (user, plan, limit) in [
        ("alice", json!("pro"), 100),
        ("bob", json!("trial"), 1),
        ("carol", json!("unheard of"), 10),
        ("dave", json!(null), 10),
    ] {
        let login = stack.login(user, &[]).await?;
        let token = with_claim(&stack, &login.token, "plan", plan)?;
        let reply = stack.send(Call::get("/plan").bearer(&token)).await?;
        expect(&reply, 200, None)?;
        expect_left(&reply, "plan", limit, limit - 1).with_context(|| user)?;
    }
    stack.assert_still_serving().await
}
