//! Headers that upstreams believe come from the gate alone, however a client spells them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Stack, raw};

/// Names that some server or other takes for `x-user-id`.
const SPELLINGS: &[&str] = &[
    "x-user-id",
    "X-User-Id",
    "X-USER-ID",
    "x-User-iD",
    "x_user_id",
    "X_User_Id",
    "X-USER_ID",
    "x-user_id",
    "x.user.id",
    "x!user!id",
    "x~user~id",
    "x|user'id",
];

/// The example but for its first defence, Envoy's refusal of underscores: the filter must do alone.
fn without_envoys_help() -> Builder {
    Stack::builder()
        .routes(json!([
            {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
            {"name": "optional", "match": {"path": {"prefix": "/optional"}}, "authentication": "optional"},
            {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
        ]))
        .envoy(|config| {
            let options = config.manager()?.get_mut("common_http_protocol_options").context("options")?;
            options["headers_with_underscores_action"] = json!("ALLOW");
            Ok(())
        })
}

/// The values of every header that a server might take for `name`.
fn values_of_variable<'v>(seen: &'v Value, name: &str) -> Vec<&'v str> {
    let fold = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let headers = seen["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let same = headers.iter().filter(|pair| pair[0].as_str().is_some_and(|key| fold(key) == fold(name)));
    same.filter_map(|pair| pair[1].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_sees_them_only_from_the_gate() -> Result<()> {
    let mut stack = without_envoys_help().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let trusted = [
        ("x-user-id", "alice"),
        ("x-session-id", &login.session_id),
        ("x-scopes", "read"),
        ("x-token-id", &login.token_id),
    ];
    for http in Http::ALL {
        for spelling in SPELLINGS {
            for path in ["/orders", "/public", "/optional"] {
                let forge = |name: &str| spelling.to_lowercase().replace("user", name);
                let call = ["user", "session", "token"].into_iter().fold(Call::get(path), |call, name| {
                    call.header(&forge(name), "mallory").header(&forge(name), "root").header("x-scopes", "write admin")
                });
                let call = if path == "/public" || path == "/optional" { call } else { call.bearer(&login.token) };
                let reply = call.send(stack.address(), http).await?;
                ensure!(reply.status == 200, "{spelling} {path}: {} {}", reply.status, reply.text());
                let seen = reply.json()?;
                for (name, value) in trusted {
                    let expected: &[&str] = if path == "/orders" { &[value] } else { &[] };
                    let values = values_of_variable(&seen, name);
                    ensure!(values == expected, "{spelling} {path}: the upstream saw {name}: {values:?}");
                }
            }
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_spellings_reach_the_upstream_no_more_than_others() -> Result<()> {
    let mut stack = without_envoys_help().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let authorization = format!("Authorization: Bearer {}", login.token);
    for line in [
        &b"X-User-Id: mallory"[..],
        b"X-User-Id:mallory",
        b"X-User-Id :mallory",
        b" X-User-Id: mallory",
        b"\tX-User-Id: mallory",
        b"X-Filler: x\r\n X-User-Id: mallory",
        b"X-User-Id: \xff",
        b"X-User-Id\0: mallory",
        b"X-User-Id\xff: mallory",
        b"X\x0bUser-Id: mallory",
        // A header that is named as belonging to the connection is taken off by the next proxy.
        b"Connection: x-user-id",
        b"Connection: close, X-User-Id, x-session-id",
        b"Keep-Alive: x-user-id",
        b"Proxy-Connection: x-user-id",
        b"TE: trailers, x-user-id",
        b"Trailer: x-user-id",
    ] {
        let reply = raw::get(stack.address(), b"/orders", &[authorization.as_bytes(), line]).await?;
        let what = String::from_utf8_lossy(line);
        // Or the line has become part of the token's.
        if [400, 401].contains(&reply.status) {
            continue;
        }
        ensure!(reply.status == 200, "{what:?}: {}", reply.text);
        let (_, body) = reply.text.split_once("\r\n\r\n").context("a body")?;
        let seen: Value = serde_json::from_str(body).with_context(|| reply.text.clone())?;
        let values = values_of_variable(&seen, "x-user-id");
        ensure!(values == ["alice"], "{what:?}: the upstream saw x-user-id: {values:?}");
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_refuses_underscores_before_the_filter_sees_them() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    for http in Http::ALL {
        let reply = Call::post("/login").header("x_user_id", "mallory").send(stack.address(), http).await;
        // On HTTP/2 Envoy resets the stream.
        let refused = reply.as_ref().map_or(http == Http::V2, |reply| reply.status == 400);
        ensure!(refused, "{http:?}: {reply:?}");
    }
    ensure!(stack.upstream.seen().is_empty());
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_passes_untouched() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let call = Call::get("/orders?token=kept&access_token=kept")
        .bearer(&login.token)
        .header("x-user-identity", "kept")
        .header("x-user", "kept")
        .header("user-id", "kept")
        .header("cookie", "a=1; b=2")
        .header("x-empty", "");
    let reply = stack.send(call).await?;
    let seen = reply.json()?;
    assert_eq!(seen["path"], "/orders?token=kept&access_token=kept");
    for (name, value) in
        [("x-user-identity", "kept"), ("x-user", "kept"), ("user-id", "kept"), ("cookie", "a=1; b=2"), ("x-empty", "")]
    {
        assert_eq!(header_values(&seen, name), [value], "{name}");
    }
    assert_eq!(header_values(&seen, "authorization"), [format!("Bearer {}", login.token)]);
    stack.assert_still_serving().await
}
