//! Workers that follow the change feed decide alone, and open streams end with their session.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::json;
use session_gate_tests::poll::until;
use session_gate_tests::stack::Login;
use session_gate_tests::upstream::STREAM;
use session_gate_tests::{Call, Stack, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::login_story::expect;

/// How often the worker has asked the sidecar about a token.
async fn asked(stack: &Stack) -> Result<u64> {
    let counters = stack.envoy.admin().stats("wasmcustom.session_gate.check").await?;
    Ok(counters.values().sum())
}

/// A session that the worker serves without asking: issued after the feed began, and the feed is current.
pub(crate) async fn served_alone(stack: &Stack) -> Result<Login> {
    until("a session that is served without asking", async || {
        let login = stack.login("alice", &["read"]).await?;
        let before = asked(stack).await?;
        expect(&stack.send(Call::get("/orders").bearer(&login.token)).await?, 200, None)?;
        ensure!(asked(stack).await? == before, "it was asked about");
        Ok(login)
    })
    .await
}

async fn end(stack: &Stack, session_id: &str) -> Result<()> {
    let path = format!("/v1/sessions/{session_id}?wait=applied");
    let reply = stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?;
    ensure!(reply.json()? == json!({"applied": true, "pending": []}), "{}", reply.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_asked_about_while_the_feed_is_current_and_an_ended_one_is_refused_at_once() -> Result<()> {
    for store in Store::ALL {
        let mut stack = Stack::builder().store(store).start().await?;
        let warm = served_alone(&stack).await?;
        let before = asked(&stack).await?;
        for _ in 0..20 {
            let cold = stack.login("bob", &["read"]).await?;
            expect(&stack.send(Call::get("/orders").bearer(&warm.token)).await?, 200, None)?;
            expect(&stack.send(Call::get("/orders").bearer(&cold.token)).await?, 200, None)?;
            end(&stack, &cold.session_id).await?;
            let refused = stack.send(Call::get("/orders").bearer(&cold.token)).await?;
            expect(&refused, 401, Some("session_terminated"))?;
        }
        assert_eq!(asked(&stack).await?, before);
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_with_its_session_and_others_go_on() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let ended = served_alone(&stack).await?;
    let kept = served_alone(&stack).await?;
    let mut ending = open_stream(&stack, &ended.token).await?;
    let mut going_on = open_stream(&stack, &kept.token).await?;
    end(&stack, &ended.session_id).await?;
    assert!(!rest(&mut ending).await?.contains("released"), "it was ended before the upstream let go");
    stack.upstream.release();
    assert!(rest(&mut going_on).await?.contains("released"), "it went on to its end");
    stack.assert_still_serving().await
}

/// A reply that has begun.
async fn open_stream(stack: &Stack, token: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(stack.address()).await?;
    let request = format!(
        "GET /orders HTTP/1.1\r\nhost: gate\r\n{STREAM}: 1\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    while !text.contains("begun") {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await?;
        ensure!(length > 0, "the reply ends too soon: {text}");
        text += &String::from_utf8_lossy(chunk.get(..length).context("a chunk")?);
    }
    Ok(stream)
}

/// What comes until the connection ends, in order or not.
async fn rest(stream: &mut TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ended: std::io::Result<usize> = stream.read_to_end(&mut bytes).await;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
