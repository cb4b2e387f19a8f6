//! Streams of messages (server-sent events, WebSockets, gRPC) live as long as what they were admitted by.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::json;
use session_gate_tests::stack::Login;
use session_gate_tests::streams::{End, Kind, OpenStream};
use session_gate_tests::upstream::HOLD;
use session_gate_tests::{Call, Stack};

use crate::login_story::expect;

/// A gate whose upstream may speak HTTP/2.
async fn streaming_gate() -> Result<Stack> {
    Stack::builder().routes(json!([])).envoy(|config| config.speak_as_the_client_does("app")).start().await
}

async fn open_all(stack: &Stack, token: &str) -> Result<Vec<OpenStream>> {
    let mut streams = Vec::new();
    for kind in Kind::ALL {
        streams.push(OpenStream::open(kind, stack.address(), "/stream", token).await?);
    }
    Ok(streams)
}

async fn ensure_all_broken(streams: &mut [OpenStream]) -> Result<()> {
    for (kind, stream) in Kind::ALL.into_iter().zip(streams) {
        let end = stream.wait_for_end().await.context(kind.as_str())?;
        ensure!(end == End::Broken, "the {} stream has ended well: the upstream has not ended it", kind.as_str());
    }
    Ok(())
}

async fn ensure_all_go_on(stack: &Stack, streams: &mut [OpenStream], message: &str) -> Result<()> {
    stack.upstream.say(message);
    for (kind, stream) in Kind::ALL.into_iter().zip(streams) {
        stream.wait_for(message).await.context(kind.as_str())?;
    }
    Ok(())
}

/// Mints another token of the login's session.
async fn renew(stack: &Stack, login: &Login) -> Result<String> {
    let call = Call::post("/v1/tokens").json(&json!({"session_id": login.session_id, "scopes": ["read"]}));
    let reply = stack.ask_sidecar(call).await?;
    reply.field("/token").with_context(|| reply.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_session_and_those_of_others_go_on() -> Result<()> {
    let mut stack = streaming_gate().await?;
    for suspend in [false, true] {
        let ended = stack.login("alice", &["read"]).await?;
        let kept = stack.login("alice", &["read"]).await?;
        let mut ending = open_all(&stack, &ended.token).await?;
        let mut going_on = open_all(&stack, &kept.token).await?;
        let path = format!("/v1/sessions/{}", ended.session_id);
        if suspend {
            let call = Call::new(Method::PATCH, &path).json(&json!({"status": "suspended"}));
            expect(&stack.ask_sidecar(call).await?, 200, None)?;
        } else {
            expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 204, None)?;
        }
        ensure_all_broken(&mut ending).await?;
        ensure_all_go_on(&stack, &mut going_on, "still here").await?;
        stack.upstream.release();
        for stream in &mut going_on {
            ensure!(stream.wait_for_end().await? == End::Orderly, "it ends as the upstream ends it");
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_all_sessions_of_a_user_end_with_them() -> Result<()> {
    let mut stack = streaming_gate().await?;
    let mut ending = Vec::new();
    for _ in 0..2 {
        let login = stack.login("alice", &["read"]).await?;
        ending.push(open_all(&stack, &login.token).await?);
    }
    let other = stack.login("bob", &["read"]).await?;
    let mut going_on = open_all(&stack, &other.token).await?;
    expect(&stack.ask_sidecar(Call::new(Method::DELETE, "/v1/users/alice/sessions")).await?, 200, None)?;
    for streams in &mut ending {
        ensure_all_broken(streams).await?;
    }
    ensure_all_go_on(&stack, &mut going_on, "still here").await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_survives_that_its_token_is_renewed() -> Result<()> {
    let mut stack = streaming_gate().await?;
    let login = stack.login("alice", &["read"]).await?;
    let old = renew(&stack, &login).await?;
    let mut first = open_all(&stack, &old).await?;
    let renewed = renew(&stack, &login).await?;
    let mut second = open_all(&stack, &renewed).await?;
    ensure_all_go_on(&stack, &mut first, "renewed").await?;

    // The old token is taken back: what it has opened ends, the session goes on.
    let revoke = Call::post("/v1/tokens/revoke")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={old}"));
    expect(&stack.ask_sidecar(revoke).await?, 200, None)?;
    ensure_all_broken(&mut first).await?;
    ensure_all_go_on(&stack, &mut second, "revoked").await?;

    let path = format!("/v1/sessions/{}", login.session_id);
    expect(&stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?, 204, None)?;
    ensure_all_broken(&mut second).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_an_ended_stream_comes_after_the_end_was_applied() -> Result<()> {
    let mut stack = streaming_gate().await?;
    let ended = stack.login("alice", &["read"]).await?;
    let kept = stack.login("bob", &["read"]).await?;
    let mut ending = open_all(&stack, &ended.token).await?;
    let mut going_on = open_all(&stack, &kept.token).await?;
    ensure_all_go_on(&stack, &mut ending, "before").await?;

    let path = format!("/v1/sessions/{}?wait=applied", ended.session_id);
    let reply = stack.ask_sidecar(Call::new(Method::DELETE, &path)).await?;
    ensure!(reply.json()?["applied"] == true, "{}", reply.text());
    // Over HTTP/1.1 the connections are still open, for `delayed_close_timeout`.
    ensure_all_go_on(&stack, &mut going_on, "after").await?;
    for (kind, stream) in Kind::ALL.into_iter().zip(&mut ending) {
        let rest = stream.rest().await.context(kind.as_str())?;
        ensure!(!rest.iter().any(|message| message == "after"), "the ended {} stream brings {rest:?}", kind.as_str());
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_must_begin_in_time_and_may_then_take_as_long_as_it_likes() -> Result<()> {
    let mut stack = Stack::builder()
        .routes(json!([]))
        .envoy(|config| {
            config.speak_as_the_client_does("app")?;
            config.set_time_until_an_answer_begins("0.5s")
        })
        .start()
        .await?;
    let login = stack.login("alice", &["read"]).await?;
    let mut streams = open_all(&stack, &login.token).await?;
    // Its time-out is over when it has been answered, and was so for the streams before.
    let late = stack.send(Call::get("/orders/late").bearer(&login.token).header(HOLD, "yes")).await?;
    ensure!(late.status == 504, "{} {}", late.status, late.text());
    ensure_all_go_on(&stack, &mut streams, "later").await?;
    stack.upstream.release();
    stack.assert_still_serving().await
}
