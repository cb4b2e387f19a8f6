//! Whatever bytes a client or an upstream sends as headers: no trap, and no way in.

use anyhow::{Result, ensure};
use serde_json::json;
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::REPLY_HEADER;
use session_gate_tests::{Call, Http, Stack, raw};

/// Every header that the filter reads, and some that it does not.
const NAMES: &[&str] = &[
    "accept",
    "access-control-request-method",
    "authorization",
    "content-type",
    "cookie",
    "origin",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "te",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "x-scopes",
    "x-session-id",
    "x-user-id",
    "traceparent",
    "x-whatever",
];

const VALUES: &[&[u8]] = &[
    b"\xff",
    b"\xff\xfe",
    b"\x80",
    b"caf\xe9",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"Bearer \xff\xff.\xff.\xff",
    b"Bearer caf\xc3\xa9",
    b"__Host-session-gate=\xff",
    b"a=\xff; __Host-session-gate=\xfe; b=\xfd",
    b"",
    b";;;=;,",
    b"application/grpc\xff",
    b"https://\xff.example",
];

fn cross_origin() -> Builder {
    Stack::builder().routes(json!([
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
        {"name": "pages", "match": {"path": {"prefix": "/pages"}}, "require_https": true},
        {
            "name": "cors",
            "match": {"path": {"prefix": "/cors"}},
            "cors": {"allow_origins": ["https://app.example"], "allow_credentials": true},
            "token_query_parameter": "access_token",
        },
        {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
    ]))
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_no_text_get_nobody_in_and_trap_nothing() -> Result<()> {
    for http in Http::ALL {
        let mut stack = cross_origin().start().await?;
        for name in NAMES {
            for value in VALUES {
                for path in ["/orders/x", "/cors/x", "/pages/x"] {
                    let call = Call::get(path).header(name, value);
                    // Envoy itself refuses some of them, on HTTP/2 by resetting the stream.
                    let Ok(reply) = call.send(stack.address(), http).await else { continue };
                    let refused = (400..500).contains(&reply.status) || reply.status == 308;
                    ensure!(refused, "{name}: {:?} at {path}: {}", String::from_utf8_lossy(value), reply.status);
                }
            }
        }
        ensure!(stack.upstream.seen().is_empty(), "nothing has reached the upstream");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_no_text_pass_where_no_credential_is_needed() -> Result<()> {
    let mut stack = cross_origin().start().await?;
    let reply = stack.send(Call::get("/public").header("x-name", b"caf\xe9")).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    ensure!(reply.text().contains("caf\u{fffd}"), "the upstream got the byte: {}", reply.text());

    let call = Call::get("/public").header(REPLY_HEADER, b"x-name: caf\xe9").header(REPLY_HEADER, b"server: \xff");
    let reply = stack.send(call).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    ensure!(reply.headers.get("x-name").is_some_and(|value| value.as_bytes() == b"caf\xe9"), "{:?}", reply.headers);
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_allowed_character_trap_nothing() -> Result<()> {
    let mut stack = cross_origin().start().await?;
    let login = stack.login("alice", &[]).await?;
    let authorization = format!("Authorization: Bearer {}", login.token);
    for byte in 0..=255_u8 {
        let line = [b"x", &[byte][..], b"y: value"].concat();
        let reply = raw::get(stack.address(), b"/orders", &[authorization.as_bytes(), &line]).await?;
        ensure!([200, 400].contains(&reply.status), "byte {byte:#x} in a name: {}", reply.text);
    }
    // The same from the upstream's side, where its server lets them through.
    for byte in (0x21..0x7f_u8).filter(|byte| *byte != b':') {
        let call = Call::get("/public").header(REPLY_HEADER, [b"x", &[byte][..], b"y: value"].concat());
        let reply = stack.send(call).await?;
        ensure!([200, 502, 503].contains(&reply.status), "byte {byte:#x} in a name: {}", reply.status);
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn query_parameters_of_any_bytes_get_nobody_in() -> Result<()> {
    let mut stack = cross_origin().start().await?;
    for query in [
        &b"access_token=%ff%fe"[..],
        b"access_token=\xff",
        b"access_token",
        b"access_token=",
        b"access_token=a&access_token=b",
        b"%61ccess_token=x",
        b"access_token=%",
        b"access_token=%zz",
        b"access_token=%00",
        b"access_token=x;y",
        b"&&&=&access_token=e30.e30.e30&",
        b"?access_token=x",
    ] {
        let target = [b"/cors?", query].concat();
        let reply = raw::get(stack.address(), &target, &[]).await?;
        ensure!((400..500).contains(&reply.status), "{:?}: {}", String::from_utf8_lossy(query), reply.text);
    }
    ensure!(stack.upstream.seen().is_empty(), "nothing has reached the upstream");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_envoys_limits_trap_nothing() -> Result<()> {
    let mut stack = cross_origin().start().await?;
    let login = stack.login("alice", &[]).await?;
    for http in Http::ALL {
        let call = Call::get("/orders").bearer(&login.token);
        let many = (0..80).fold(call.clone(), |call, i| call.header(&format!("x-{i}"), "x"));
        ensure!(many.send(stack.address(), http).await?.status == 200);
        ensure!(call.clone().header("x-long", "x".repeat(50_000)).send(stack.address(), http).await?.status == 200);
        let cookies =
            (0..50).fold(call.clone(), |call, i| call.header("cookie", format!("c{i}=__Host-session-gate=x")));
        ensure!(cookies.send(stack.address(), http).await?.status == 200);
        let long = Call::get(&format!("/orders/{}", "%41/".repeat(5000))).bearer(&login.token);
        let status = long.send(stack.address(), http).await?.status;
        ensure!([200, 400].contains(&status), "{status}");
    }
    stack.assert_still_serving().await
}
