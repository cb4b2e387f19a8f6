//! A sidecar that is down, frozen, or answers nonsense: the failure mode decides, and nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::{FakeSidecar, ScriptedSidecar};
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Stack};

use crate::feed::served_alone;
use crate::login_story::expect;

fn two_routes() -> Builder {
    Stack::builder().routes(json!([
        {"name": "lenient", "match": {"path": {"prefix": "/lenient"}}, "failure_mode": "allow"},
        {"name": "strict", "match": {"path": {"prefix": "/"}}},
    ]))
}

/// What clients see while the sidecar cannot be asked: a good token is refused for a while, with its
/// cookie left alone, or passes where the route says so; a bad one is refused as ever.
async fn ensure_failure_mode(stack: &Stack, token: &str) -> Result<()> {
    let reply = stack.send(Call::get("/strict").bearer(token)).await?;
    expect(&reply, 503, Some("store_unavailable"))?;
    ensure!(reply.header("retry-after").is_some(), "a 503 says when to try again: {:?}", reply.headers);
    ensure!(reply.header("set-cookie").is_none(), "the cookie is left alone: {:?}", reply.headers);
    ensure!(reply.header("www-authenticate").is_none(), "the client need not log in: {:?}", reply.headers);
    let reply = stack.send(Call::get("/lenient").bearer(token)).await?;
    expect(&reply, 200, None)?;
    ensure!(header_values(&reply.json()?, "x-user-id") == ["alice"]);
    expect(&stack.send(Call::get("/lenient").bearer("forged")).await?, 401, Some("token_malformed"))?;
    expect(&stack.send(Call::get("/lenient")).await?, 401, Some("credential_missing"))
}

/// Waits until the worker no longer trusts what it knew, and must ask. Of a token that it had served alone:
/// about another one it would have asked while its feed was current.
async fn wait_until_stale(stack: &Stack, token: &str) -> Result<()> {
    until("the feed to be stale", async || {
        expect(&stack.send(Call::get("/strict").bearer(token)).await?, 503, Some("store_unavailable"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_down_and_comes_back() -> Result<()> {
    let mut stack = two_routes().start().await?;
    let login = served_alone(&stack).await?;
    stack.sidecar.kill().await?;
    wait_until_stale(&stack, &login.token).await?;
    ensure_failure_mode(&stack, &login.token).await?;
    stack.sidecar.restart().await?;
    // It had its sessions in memory.
    until("the gate to reach the sidecar again", async || {
        expect(&stack.send(Call::get("/strict").bearer(&login.token)).await?, 401, Some("session_unknown"))
    })
    .await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_frozen_and_thaws() -> Result<()> {
    let mut stack = two_routes().start().await?;
    let login = served_alone(&stack).await?;
    stack.sidecar.pause()?;
    wait_until_stale(&stack, &login.token).await?;
    ensure_failure_mode(&stack, &login.token).await?;
    stack.sidecar.resume()?;
    until("the gate to be answered again", async || {
        expect(&stack.send(Call::get("/strict").bearer(&login.token)).await?, 200, None)
    })
    .await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_answers_nonsense() -> Result<()> {
    let mut stack = two_routes().start().await?;
    let login = served_alone(&stack).await?;
    stack.sidecar.kill().await?;
    wait_until_stale(&stack, &login.token).await?;

    let answer = Arc::new(Mutex::new((200, Vec::new())));
    let app = Router::new().fallback(scripted).with_state(Arc::clone(&answer));
    let fake = FakeSidecar::start(app, stack.sidecar.address().port()).await?;
    let say = |status: u16, body: &[u8]| {
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = (status, body.to_vec());
    };
    // The control: what a sidecar says of a live session.
    say(200, br#"{"verdict":"live"}"#);
    until("the gate to ask the fake", async || {
        expect(&stack.send(Call::get("/strict").bearer(&login.token)).await?, 200, None)
    })
    .await?;
    for (status, body) in [
        (200, &b""[..]),
        (200, b"live"),
        (200, b"{}"),
        (200, b"null"),
        (200, b"[]"),
        (200, b"{\"verdict\":\"live\""),
        (200, b"{\"verdict\":\"LIVE\"}"),
        (200, b"{\"verdict\":true}"),
        (200, b"{\"verdict\":[\"live\"]}"),
        (200, b"{\"verdict\":\"session_terminated\",\"verdict\":\"live\"}"),
        (200, b"{\"verdict\":\"\xff\"}"),
        (200, b"\xff\xfe{\0"),
        (200, &[b'['; 100_000]),
        (200, &[b' '; 2_000_000]),
        (201, br#"{"verdict":"live"}"#),
        (204, b""),
        (302, br#"{"verdict":"live"}"#),
        (400, br#"{"verdict":"live"}"#),
        (401, br#"{"verdict":"live"}"#),
        (404, br#"{"verdict":"live"}"#),
        (500, br#"{"verdict":"live"}"#),
        (503, br#"{"verdict":"live"}"#),
    ] {
        say(status, body);
        let what = format!("{status} {:?}", String::from_utf8_lossy(body.get(..60).unwrap_or(body)));
        ensure_failure_mode(&stack, &login.token).await.map_err(|error| error.context(what))?;
    }
    drop(fake);
    stack.sidecar.restart().await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_breaks_off() -> Result<()> {
    let mut stack = two_routes().start().await?;
    let login = served_alone(&stack).await?;
    stack.sidecar.kill().await?;
    wait_until_stale(&stack, &login.token).await?;
    let port = stack.sidecar.address().port();
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"verdict\":",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n12\r\n{\"verdict\":\"live\"}\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\ncontent-length: 2\r\n\r\n{\"verdict\":\"live\"}",
        b"HTTP/1.1 999 What\r\ncontent-length: 18\r\n\r\n{\"verdict\":\"live\"}",
        b"HTTP/1.1 200 OK\r\nx: \xff\r\ncontent-length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let fake = ScriptedSidecar::start(port, bytes).await?;
        let outcome = ensure_failure_mode(&stack, &login.token).await;
        outcome.map_err(|error| error.context(String::from_utf8_lossy(bytes).into_owned()))?;
        drop(fake);
    }
    stack.sidecar.restart().await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_keys_are_kept() -> Result<()> {
    let mut stack = two_routes()
        .filter(|filter| {
            filter["sidecar"]["keys_refresh"] = json!("1s");
            Ok(())
        })
        .start()
        .await?;
    let login = served_alone(&stack).await?;
    stack.sidecar.kill().await?;

    let keys = Arc::new(Mutex::new((200, Vec::new())));
    let fetches = Arc::new(Mutex::new(0));
    let app = Router::new().fallback(live_with_keys).with_state((Arc::clone(&keys), Arc::clone(&fetches)));
    let fake = FakeSidecar::start(app, stack.sidecar.address().port()).await?;
    let fetched = || *fetches.lock().unwrap_or_else(PoisonError::into_inner);
    for (status, body) in [
        (200, &b"{}"[..]),
        (200, b"no JSON"),
        (200, b"{\"keys\":[]}"),
        (200, b"{\"keys\":[{\"kty\":\"EC\"}]}"),
        (200, b"\xff"),
        (404, b"{\"keys\":[]}"),
        (500, b""),
    ] {
        *keys.lock().unwrap_or_else(PoisonError::into_inner) = (status, body.to_vec());
        let before = fetched();
        until("two more fetches of the keys", async || {
            ensure!(fetched() >= before + 2, "{} fetches", fetched());
            Ok(())
        })
        .await?;
        expect(&stack.send(Call::get("/strict").bearer(&login.token)).await?, 200, None)?;
    }
    drop(fake);
    stack.sidecar.restart().await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_no_token_passes() -> Result<()> {
    let mut stack = two_routes().start().await?;
    let login = stack.login("alice", &[]).await?;
    stack.sidecar.kill().await?;
    // Another Envoy, which has never seen a key. Not even the lenient route trusts what it can't verify.
    let mut other = two_routes().start_with_dead_sidecar().await?;
    for path in ["/strict", "/lenient"] {
        let reply = other.send(Call::get(path).bearer(&login.token)).await?;
        expect(&reply, 503, Some("keys_unavailable"))?;
    }
    assert!(other.upstream.seen().is_empty());
    other.sidecar.restart().await?;
    other.assert_still_serving().await?;
    stack.sidecar.restart().await?;
    stack.assert_still_serving().await
}

type Answer = Arc<Mutex<(u16, Vec<u8>)>>;

fn response(answer: &Answer) -> Response {
    let (status, body) = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response
}

async fn scripted(State(answer): State<Answer>) -> Response {
    response(&answer)
}

async fn live_with_keys(State((keys, fetches)): State<(Answer, Arc<Mutex<u64>>)>, uri: Uri) -> Response {
    if uri.path() == "/v1/check" {
        return Response::new(Body::from(r#"{"verdict":"live"}"#));
    }
    *fetches.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    response(&keys)
}
