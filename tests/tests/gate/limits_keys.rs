//! Whose requests a limit counts together.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::{Call, Stack};

use crate::limits::{expect_denied, expect_left, gate, gate_of};
use crate::login_story::expect;

/// A limit of one request, by that key.
fn one(key: &Value) -> Value {
    json!({"requests": 1, "window": 60, "key": key})
}

/// Fails unless each of these calls is admitted, in their order, or is denied by that limit.
async fn expect_in_order(stack: &Stack, name: &str, calls: &[(&str, Call, bool)]) -> Result<()> {
    for (what, call, is_admitted) in calls {
        let reply = stack.send(call.clone()).await?;
        let outcome = if *is_admitted { expect(&reply, 200, None) } else { expect_denied(&reply, name, 1) };
        outcome.with_context(|| format!("{name}: {what}"))?;
    }
    Ok(())
}

/// A token like that one, with a claim more.
pub(crate) fn with_claim(stack: &Stack, token: &str, name: &str, value: Value) -> Result<String> {
    let parts = Parts::of(token)?;
    EcKey::read(stack.sidecar.key_file())?.token(&parts.header, &parts.with_claim(name, value))
}

#[tokio::test(flavor = "multi_thread")]
async fn users_sessions_headers_and_claims_have_counts_of_their_own() -> Result<()> {
    let limits = json!({
        "by-user": one(&json!(["user"])),
        "by-session": one(&json!(["session"])),
        "by-header": one(&json!([{"header": "x-tenant"}])),
        "by-claim": one(&json!([{"claim": "tenant"}])),
        "by-two": one(&json!(["user", {"header": "x-tenant"}])),
        "by-nothing": one(&json!([])),
    });
    let mut stack = gate(limits).start().await?;
    let alice = stack.login("alice", &[]).await?.token;
    let again = stack.login("alice", &[]).await?.token;
    let bob = stack.login("bob", &[]).await?.token;
    let get = |path: &str, token: &str| Call::get(path).bearer(token);

    expect_in_order(
        &stack,
        "by-user",
        &[
            ("alice", get("/by-user", &alice), true),
            ("alice in another session", get("/by-user", &again), false),
            ("bob", get("/by-user", &bob), true),
            ("nobody, whose address counts", Call::get("/by-user"), true),
            ("nobody, from the same address", Call::get("/by-user"), false),
        ],
    )
    .await?;
    expect_in_order(
        &stack,
        "by-session",
        &[
            ("alice", get("/by-session", &alice), true),
            ("alice in another session", get("/by-session", &again), true),
            ("alice once more", get("/by-session", &alice), false),
        ],
    )
    .await?;
    let tenant = |path: &str, token: &str, tenant: &str| get(path, token).header("x-tenant", tenant);
    expect_in_order(
        &stack,
        "by-header",
        &[
            ("one tenant", tenant("/by-header", &alice, "one"), true),
            ("the same with somebody else", tenant("/by-header", &bob, "one"), false),
            ("another tenant", tenant("/by-header", &alice, "two"), true),
            ("no tenant", get("/by-header", &alice), true),
            ("no tenant again", get("/by-header", &bob), false),
        ],
    )
    .await?;
    let [acme, other] = ["acme", "other"].map(|name| with_claim(&stack, &alice, "tenant", json!(name)));
    let (acme, other) = (acme?, other?);
    expect_in_order(
        &stack,
        "by-claim",
        &[
            ("one claim", get("/by-claim", &acme), true),
            ("the same", get("/by-claim", &acme), false),
            ("another", get("/by-claim", &other), true),
        ],
    )
    .await?;
    expect_in_order(
        &stack,
        "by-two",
        &[
            ("alice of one tenant", tenant("/by-two", &alice, "one"), true),
            ("alice of another", tenant("/by-two", &alice, "two"), true),
            ("bob of the first", tenant("/by-two", &bob, "one"), true),
            ("alice again", tenant("/by-two", &again, "one"), false),
        ],
    )
    .await?;
    expect_in_order(
        &stack,
        "by-nothing",
        &[("alice", get("/by-nothing", &alice), true), ("bob", get("/by-nothing", &bob), false)],
    )
    .await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_the_connections_and_of_ipv6_its_subscribers() -> Result<()> {
    let behind_a_proxy = |config: &mut session_gate_tests::envoy::Config| {
        let manager = config.manager()?.as_object_mut().context("a manager is an object")?;
        manager.insert("xff_num_trusted_hops".to_owned(), json!(1));
        Ok(())
    };
    let limits = json!({"by-address": one(&json!(["address"]))});
    let mut stack = gate(limits.clone()).envoy(behind_a_proxy).start().await?;
    let from = |address: &str| Call::get("/by-address").header("x-forwarded-for", address);
    expect_in_order(
        &stack,
        "by-address",
        &[
            ("an address", from("192.0.2.1"), true),
            ("the same", from("192.0.2.1"), false),
            ("another", from("192.0.2.2"), true),
            ("an IPv6 address", from("2001:db8:0:1::1"), true),
            ("one of the same network", from("2001:db8:0:1:ffff::2"), false),
            ("one of another", from("2001:db8:0:2::1"), true),
        ],
    )
    .await?;
    stack.assert_still_serving().await?;

    // Where there is no proxy, what a client says of its address counts for nothing.
    let mut stack = gate(limits).start().await?;
    let calls = [("its own", from("192.0.2.1"), true), ("another, as it says", from("192.0.2.2"), false)];
    expect_in_order(&stack, "by-address", &calls).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_names_no_limit_has_the_usual_ones() -> Result<()> {
    let limits = json!({"default": {"requests": 2, "window": 60}, "authenticated": {"requests": 3, "window": 60}});
    let routes = json!([{"name": "usual", "match": {"path": {"prefix": "/usual"}}, "authentication": "optional"}]);
    let mut stack = gate_of(limits, &routes).start().await?;
    let alice = stack.login("alice", &[]).await?.token;
    let bob = stack.login("bob", &[]).await?.token;
    for (what, call, name, limit) in [
        ("nobody", Call::get("/usual"), "default", 2),
        ("alice", Call::get("/usual").bearer(&alice), "authenticated", 3),
        ("bob", Call::get("/usual").bearer(&bob), "authenticated", 3),
    ] {
        for left in (0..limit).rev() {
            let reply = stack.send(call.clone()).await?;
            expect(&reply, 200, None).with_context(|| what)?;
            expect_left(&reply, name, limit, left)?;
        }
        expect_denied(&stack.send(call).await?, name, limit).with_context(|| what)?;
    }
    stack.assert_still_serving().await?;

    // Nobody has a limit that the configuration does not name.
    let limits = json!({"authenticated": {"requests": 3, "window": 60}});
    let mut stack = gate_of(limits, &routes).start().await?;
    let anonymous = stack.send(Call::get("/usual")).await?;
    expect(&anonymous, 200, None)?;
    ensure!(!anonymous.headers.contains_key("ratelimit"), "{:?}", anonymous.headers);
    stack.assert_still_serving().await
}
