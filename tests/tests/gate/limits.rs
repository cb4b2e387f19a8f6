//! A limit denies, says so to everybody concerned, and admits again.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::poll::until;
use session_gate_tests::stack::Builder;
use session_gate_tests::{Call, Http, Reply, Stack, Store};

use crate::login_story::expect;

/// The route of the sidecar at which limits are asked about.
pub(crate) const LEASES: &str = "/v1/leases";

/// A gate with these limits and, for each of them, a path with its name that anybody may ask for. All other
/// paths have no limit and need a token.
pub(crate) fn gate(limits: Value) -> Builder {
    gate_with(limits, &json!([]))
}

/// The same, with routes of the test's own in place of those for the limits.
pub(crate) fn gate_of(limits: Value, routes: &Value) -> Builder {
    with_limits(limits, routes.as_array().cloned().unwrap_or_default())
}

/// The same, with routes of the test's own before the others.
pub(crate) fn gate_with(limits: Value, routes: &Value) -> Builder {
    let mut all = routes.as_array().cloned().unwrap_or_default();
    for (name, _) in limits.as_object().into_iter().flatten() {
        let path = json!({"path": {"prefix": format!("/{name}")}});
        all.push(json!({"name": name, "match": path, "authentication": "optional", "rate_limit": [name]}));
    }
    with_limits(limits, all)
}

fn with_limits(limits: Value, mut all: Vec<Value>) -> Builder {
    all.push(json!({"name": "free", "rate_limit": []}));
    Stack::builder().routes(json!(all)).filter(|filter| {
        let sections = filter.as_object_mut().context("an object")?;
        sections.insert("rate_limits".to_owned(), limits);
        // They name a limit of the example's.
        sections.remove("endpoints");
        // What a call that ran out of time was given counts as used: these tests are about what is given, on a
        // machine that may be busy.
        let sidecar = filter.pointer_mut("/sidecar").context("the example has a sidecar")?;
        let sidecar = sidecar.as_object_mut().context("an object")?;
        sidecar.insert("timeout".to_owned(), json!("5s"));
        sidecar.insert("max_staleness".to_owned(), json!("5s"));
        Ok(())
    })
}

/// Sends the call so many times, one after the other. Answers how often it was answered with what.
pub(crate) async fn send(stack: &Stack, call: &Call, count: usize) -> Result<BTreeMap<u16, usize>> {
    let mut statuses = BTreeMap::new();
    for _ in 0..count {
        *statuses.entry(stack.send(call.clone()).await?.status).or_default() += 1;
    }
    Ok(statuses)
}

/// Fails where the answer says something else of that many requests left.
pub(crate) fn expect_left(reply: &Reply, name: &str, limit: u64, left: u64) -> Result<()> {
    let state = reply.header("ratelimit").unwrap_or_default();
    ensure!(state.starts_with(&format!("\"{name}\";r={left};t=")), "{left} left of {name}: {:?}", reply.headers);
    for (header, number) in [("x-ratelimit-limit", limit), ("x-ratelimit-remaining", left)] {
        ensure!(reply.header(header) == Some(&number.to_string()), "{header} is not {number}: {:?}", reply.headers);
    }
    seconds(reply, "x-ratelimit-reset")?;
    Ok(())
}

/// Fails where the answer is no denial of that limit.
pub(crate) fn expect_denied(reply: &Reply, name: &str, limit: u64) -> Result<()> {
    expect(reply, 429, Some("rate_limited"))?;
    expect_left(reply, name, limit, 0)?;
    ensure!(seconds(reply, "retry-after")? > 0, "it says when to come again: {:?}", reply.headers);
    Ok(())
}

fn seconds(reply: &Reply, header: &str) -> Result<u64> {
    reply.header(header).with_context(|| format!("no {header}: {:?}", reply.headers))?.parse().context("seconds")
}

/// Waits for the access log line of the latest request with that path, and fails where it lacks one of these.
pub(crate) async fn expect_logged(stack: &Stack, path: &str, words: &[&str]) -> Result<()> {
    until("the access log", async || {
        let lines = stack.envoy.access_log();
        let line = lines.iter().rfind(|line| line.get("path") == Some(&json!(path))).context("no line")?;
        let text = line.get("session_gate").and_then(Value::as_str).context("no text")?;
        for word in words {
            ensure!(text.split(' ').any(|there| there == *word), "no {word} in {text:?}");
        }
        Ok(())
    })
    .await
}

/// Waits until the filter has counted that.
pub(crate) async fn expect_counted(stack: &Stack, name: &str, count: u64) -> Result<()> {
    until("the filter's counters", async || {
        let counters = stack.envoy.admin().stats(&format!("wasmcustom.session_gate.{name}$")).await?;
        ensure!(counters.values().sum::<u64>() == count, "{counters:?}, not {count}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_denied_is_told_and_so_is_the_operator() -> Result<()> {
    for store in Store::ALL {
        let mut stack = gate(json!({"few": {"requests": 3, "window": 60}})).store(store).start().await?;
        let login = stack.login("alice", &["read"]).await?;
        let call = Call::get("/few").bearer(&login.token);
        for left in [2, 1, 0] {
            let reply = stack.send(call.clone()).await?;
            expect(&reply, 200, None)?;
            expect_left(&reply, "few", 3, left)?;
            ensure!(reply.header("ratelimit-policy") == Some("\"few\";q=3;w=60"), "{:?}", reply.headers);
            ensure!(!reply.headers.contains_key("retry-after"), "{:?}", reply.headers);
        }
        let denied = stack.send(Call::get("/few/denied").bearer(&login.token)).await?;
        expect_denied(&denied, "few", 3)?;
        // A use falls out of a sliding window up to a 64th of it late.
        ensure!(seconds(&denied, "retry-after")? <= 61, "{:?}", denied.headers);
        ensure!(denied.header("ratelimit-policy") == Some("\"few\";q=3;w=60"), "{:?}", denied.headers);
        ensure!(denied.header("content-type") == Some("application/problem+json"), "{:?}", denied.headers);
        assert_eq!(stack.upstream.seen().len(), 3, "what is denied does not reach the upstream");
        expect_logged(&stack, "/few/denied", &["decision=deny", "reason=rate_limited", "rule=few", "limit=few"])
            .await?;
        expect_counted(&stack, "limit.few.allowed", 3).await?;
        expect_counted(&stack, "limit.few.denied", 1).await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_window_admits_again() -> Result<()> {
    for store in Store::ALL {
        let algorithms = ["fixed_window", "sliding_window", "token_bucket"];
        let limits: serde_json::Map<String, Value> = algorithms
            .iter()
            .map(|name| ((*name).to_owned(), json!({"requests": 2, "window": 1, "algorithm": name})))
            .collect();
        let mut stack = gate(json!(limits)).store(store).start().await?;
        let login = stack.login("alice", &["read"]).await?;
        for name in algorithms {
            let call = Call::get(&format!("/{name}")).bearer(&login.token);
            until("a window to be used up", async || expect_denied(&stack.send(call.clone()).await?, name, 2)).await?;
            until("the next window", async || expect(&stack.send(call.clone()).await?, 200, None)).await?;
        }
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_is_denied_in_its_own_language() -> Result<()> {
    let mut stack = gate(json!({"few": {"requests": 1, "window": 60}})).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    expect(&stack.send(Call::get("/few").bearer(&login.token)).await?, 200, None)?;
    let call = Call::post("/few/Few.List").header("content-type", "application/grpc").header("te", "trailers");
    let reply = call.bearer(&login.token).send(stack.address(), Http::V2).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    ensure!(reply.header("grpc-status") == Some("8"), "RESOURCE_EXHAUSTED: {:?}", reply.headers);
    expect_left(&reply, "few", 1, 0)?;
    ensure!(reply.headers.contains_key("retry-after"), "{:?}", reply.headers);
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn preflights_do_not_count() -> Result<()> {
    let routes = json!([{
        "name": "api",
        "match": {"path": {"prefix": "/api"}},
        "authentication": "optional",
        "cors": {"allow_origins": ["https://app.example"]},
        "rate_limit": ["few"],
    }]);
    let limits = json!({"few": {"requests": 1, "window": 60, "key": ["address"]}});
    let mut stack = gate_with(limits, &routes).start().await?;
    let preflight = Call::new(Method::OPTIONS, "/api")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST");
    let get = Call::get("/api").header("origin", "https://app.example");
    assert_eq!(send(&stack, &preflight, 3).await?, BTreeMap::from([(204, 3)]));
    expect(&stack.send(get.clone()).await?, 200, None)?;
    let denied = stack.send(get).await?;
    expect_denied(&denied, "few", 1)?;
    assert_eq!(denied.header("access-control-allow-origin"), Some("https://app.example"), "a page may read why");
    assert_eq!(send(&stack, &preflight, 3).await?, BTreeMap::from([(204, 3)]));
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_limit_only_reports() -> Result<()> {
    let limits = json!({"trial": {"requests": 2, "window": 60, "shadow": true}});
    let mut stack = gate(limits).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let call = Call::get("/trial").bearer(&login.token);
    assert_eq!(send(&stack, &call, 2).await?, BTreeMap::from([(200, 2)]));
    let beyond = stack.send(Call::get("/trial/beyond").bearer(&login.token)).await?;
    expect(&beyond, 200, None)?;
    for header in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "retry-after"] {
        ensure!(!beyond.headers.contains_key(header), "clients know nothing of it: {:?}", beyond.headers);
    }
    expect_logged(&stack, "/trial/beyond", &["decision=allow", "shadow_limit=trial"]).await?;
    expect_counted(&stack, "limit.trial.allowed", 2).await?;
    expect_counted(&stack, "limit.trial.shadow_denied", 1).await?;
    expect_counted(&stack, "limit.trial.denied", 0).await?;
    stack.assert_still_serving().await
}
