//! Credentials as browsers carry them: cookies, query parameters, pages of other sites.

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::json;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Stack};

use crate::login_story::expect;

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_a_credential_and_stays_at_the_gate() -> Result<()> {
    for http in Http::ALL {
        let mut stack = Stack::builder().start().await?;
        let login = stack.login("alice", &["read"]).await?;
        let ours = format!("__Host-session-gate={}", login.token);
        for (cookie, kept) in [
            (ours.clone(), None),
            (format!("theme=dark; {ours}; lang=en"), Some("theme=dark; lang=en")),
            (format!("{ours}; theme=dark"), Some("theme=dark")),
            (format!("x__Host-session-gate=kept; {ours}"), Some("x__Host-session-gate=kept")),
        ] {
            let reply = Call::get("/orders").header("cookie", &cookie).send(stack.address(), http).await?;
            expect(&reply, 200, None)?;
            let seen = reply.json()?;
            assert_eq!(header_values(&seen, "cookie"), kept.into_iter().collect::<Vec<_>>(), "{cookie}");
            assert_eq!(header_values(&seen, "x-user-id"), ["alice"]);
            assert!(!seen.to_string().contains(&login.token), "the token does not travel on: {seen}");
        }
        // On a public route it is taken off as well.
        let reply = Call::post("/login").header("cookie", format!("a=1; {ours}")).send(stack.address(), http).await?;
        assert_eq!(header_values(&reply.json()?, "cookie"), ["a=1"]);
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_on_an_unsafe_method_must_come_from_our_own_page() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read", "write"]).await?;
    let own = format!("http://{}", stack.address());
    let cookie = format!("__Host-session-gate={}", login.token);
    for (method, headers, passes) in [
        (Method::GET, &[("sec-fetch-site", "cross-site")][..], true),
        (Method::POST, &[], false),
        (Method::POST, &[("origin", own.as_str())], true),
        (Method::POST, &[("sec-fetch-site", "same-origin")], true),
        (Method::POST, &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false),
        (Method::POST, &[("sec-fetch-site", "same-site")], false),
        (Method::POST, &[("origin", "null")], false),
        (Method::DELETE, &[("origin", "https://evil.example")], false),
        (Method::PUT, &[("referer", own.as_str())], false),
    ] {
        let call = Call::new(method.clone(), "/orders").header("cookie", &cookie);
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        let reply = stack.send(call).await?;
        let (status, code) = if passes { (200, None) } else { (403, Some("csrf_refused")) };
        expect(&reply, status, code).with_context(|| format!("{method} {headers:?}"))?;
    }
    // The same request with a header that no other site's page can set.
    expect(&stack.send(Call::post("/orders").bearer(&login.token)).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_parameter_is_a_credential_only_where_the_route_says_so() -> Result<()> {
    let routes = json!([
        {"name": "events", "match": {"path": {"prefix": "/events"}}, "token_query_parameter": "access_token"},
        {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
    ]);
    let mut stack = Stack::builder().routes(routes).start().await?;
    let login = stack.login("alice", &[]).await?;
    let query = format!("access_token={}", login.token);
    for (target, kept) in
        [(format!("/events?{query}"), "/events"), (format!("/events?a=1&{query}&b=%20"), "/events?a=1&b=%20")]
    {
        let reply = stack.send(Call::get(&target)).await?;
        expect(&reply, 200, None)?;
        assert_eq!(reply.json()?["path"], kept);
    }
    expect(&stack.send(Call::get(&format!("/orders?{query}"))).await?, 401, Some("credential_missing"))?;
    let both = Call::get(&format!("/events?{query}")).bearer(&login.token);
    expect(&stack.send(both).await?, 400, Some("credential_repeated"))?;
    assert!(!stack.envoy.output().contains(&login.token), "the token is not logged");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_allowed_origin_may_read_denials_and_its_preflight_is_answered_by_the_gate() -> Result<()> {
    let routes = json!([{
        "name": "api",
        "match": {"path": {"prefix": "/api"}, "methods": ["GET", "POST"]},
        "cors": {"allow_origins": ["https://app.example"], "allow_credentials": true},
    }]);
    let mut stack = Stack::builder().routes(routes).start().await?;
    let reply = stack.send(Call::get("/api").header("origin", "https://app.example")).await?;
    expect(&reply, 401, Some("credential_missing"))?;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    let reply = stack.send(Call::get("/api").header("origin", "https://evil.example")).await?;
    expect(&reply, 401, Some("credential_missing"))?;
    assert_eq!(reply.header("access-control-allow-origin"), None);

    let preflight = |origin| {
        Call::new(Method::OPTIONS, "/api").header("origin", origin).header("access-control-request-method", "POST")
    };
    let reply = stack.send(preflight("https://app.example")).await?;
    expect(&reply, 204, None)?;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    let reply = stack.send(preflight("https://evil.example")).await?;
    expect(&reply, 403, Some("origin_refused"))?;
    assert_eq!(reply.header("access-control-allow-origin"), None);
    assert!(stack.upstream.seen().is_empty(), "a preflight is not forwarded");
    expect(&stack.send(Call::new(Method::OPTIONS, "/api")).await?, 401, Some("credential_missing"))?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_handshake_needs_a_credential_and_with_a_cookie_a_page_of_ours() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let own = format!("http://{}", stack.address());
    let handshake = || {
        Call::get("/orders/stream")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let with_cookie = || handshake().header("cookie", format!("__Host-session-gate={}", login.token));
    expect(&stack.send(handshake()).await?, 401, Some("credential_missing"))?;
    expect(&stack.send(with_cookie()).await?, 403, Some("csrf_refused"))?;
    let foreign = with_cookie().header("origin", "https://evil.example");
    expect(&stack.send(foreign).await?, 403, Some("csrf_refused"))?;
    assert!(stack.upstream.seen().is_empty());
    for good in [handshake().bearer(&login.token), with_cookie().header("origin", own)] {
        expect(&stack.send(good).await?, 101, None)?;
    }
    let seen = stack.upstream.seen();
    assert_eq!(seen.iter().map(|seen| header_values(seen, "upgrade")).collect::<Vec<_>>(), [["websocket"]; 2]);
    stack.assert_still_serving().await
}
