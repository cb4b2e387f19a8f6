//! What a request takes of a limit: more than one, what its answer says, or a place for as long as it lasts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use session_gate_tests::poll::until;
use session_gate_tests::streams::{End, Kind, OpenStream};
use session_gate_tests::upstream::REPLY_HEADER;
use session_gate_tests::{Call, Http, Stack, Store};

use crate::limits::{expect_denied, expect_left, gate, send};
use crate::login_story::expect;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_cost_more_than_one() -> Result<()> {
    let mut stack = gate(json!({"dear": {"requests": 10, "window": 60, "cost": 4}})).start().await?;
    let login = stack.login("alice", &[]).await?;
    let call = Call::get("/dear").bearer(&login.token);
    for left in [6, 2] {
        let reply = stack.send(call.clone()).await?;
        expect(&reply, 200, None)?;
        expect_left(&reply, "dear", 10, left)?;
    }
    expect(&stack.send(call).await?, 429, Some("rate_limited"))?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_it_has_cost() -> Result<()> {
    for store in Store::ALL {
        let cost = json!({"response_header": "x-cost", "reserve": 3});
        let limits = json!({"metered": {"requests": 20, "window": 60, "cost": cost}});
        let mut stack = gate(limits).store(store).start().await?;
        let login = stack.login("alice", &[]).await?;
        let costing =
            |cost: &str| Call::get("/metered").bearer(&login.token).header(REPLY_HEADER, format!("x-cost: {cost}"));
        // What it says itself costs nothing: the answer counts.
        let first = stack.send(costing("1").header("x-cost", "1000")).await?;
        expect(&first, 200, None)?;
        expect_left(&first, "metered", 20, 17)?;
        ensure!(!first.headers.contains_key("x-cost"), "the cost is nobody's business: {:?}", first.headers);
        let plain = Call::get("/metered").bearer(&login.token);
        expect_left(&stack.send(plain.clone()).await?, "metered", 20, 16).context("two were given back")?;
        expect_left(&stack.send(costing("nonsense")).await?, "metered", 20, 13).context("three, as reserved")?;
        expect_left(&stack.send(costing("0")).await?, "metered", 20, 10)?;
        expect_left(&stack.send(costing("9")).await?, "metered", 20, 10).context("all three were given back")?;
        // Four are left now: once more there is enough, and then it is paid for what it has really cost.
        until("the excess to be charged", async || expect_left(&stack.send(costing("100")).await?, "metered", 20, 1))
            .await?;
        until("no more to be admitted", async || expect_denied(&stack.send(plain.clone()).await?, "metered", 20))
            .await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

async fn open(stack: &Stack, kind: Kind, token: &str) -> Result<OpenStream> {
    OpenStream::open(kind, stack.address(), "/uploads/stream", token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_at_a_time_and_another_once_one_has_ended() -> Result<()> {
    for store in Store::ALL {
        let mut stack = gate(json!({"uploads": {"in_flight": 2}})).store(store).start().await?;
        let second = stack.another_envoy().await?;
        let login = stack.login("alice", &[]).await?;
        let other = stack.login("bob", &[]).await?;
        let call = Call::get("/uploads").bearer(&login.token);
        // One after the other, as many as there are.
        assert_eq!(send(&stack, &call, 6).await?, BTreeMap::from([(200, 6)]));

        let mut ending = open(&stack, Kind::Sse(Http::V1), &login.token).await?;
        let leaving = open(&stack, Kind::WebSocket, &login.token).await?;
        for gate in [stack.address(), second.address()] {
            let denied = call.send(gate, Http::V1).await?;
            expect(&denied, 429, Some("rate_limited"))?;
            let policy = "\"uploads\";q=2;qu=\"concurrent-requests\"";
            ensure!(denied.header("ratelimit-policy") == Some(policy), "{:?}", denied.headers);
            ensure!(denied.headers.contains_key("retry-after"), "{:?}", denied.headers);
        }
        expect(&stack.send(Call::get("/uploads").bearer(&other.token)).await?, 200, None).context("somebody else")?;

        // The client goes; later the upstream has had enough.
        drop(leaving);
        until("the place of the client that left", async || expect(&stack.send(call.clone()).await?, 200, None))
            .await?;
        stack.upstream.release();
        ensure!(ending.wait_for_end().await? == End::Orderly);
        let both = async || {
            let one = open(&stack, Kind::Sse(Http::V2), &login.token).await?;
            Ok((one, open(&stack, Kind::Sse(Http::V1), &login.token).await?))
        };
        let _both = until("both places", both).await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}
