//! Who has logged in is served, and loses access the moment the session or the token ends.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Reply, Stack, Store};

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_the_memory_store_over_http1() -> Result<()> {
    story(Store::Memory, Http::V1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_the_memory_store_over_http2() -> Result<()> {
    story(Store::Memory, Http::V2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_redis_over_http1() -> Result<()> {
    story(Store::Redis, Http::V1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_redis_over_http2() -> Result<()> {
    story(Store::Redis, Http::V2).await
}

async fn story(store: Store, http: Http) -> Result<()> {
    let mut stack = Stack::builder().store(store).start().await?;
    let gate = stack.address();

    let login = stack.login("alice", &["read"]).await?;
    let reply = Call::get("/orders/7?full=1").bearer(&login.token).send(gate, http).await?;
    expect(&reply, 200, None)?;
    let seen = reply.json()?;
    assert_eq!(seen.get("path"), Some(&json!("/orders/7?full=1")));
    for (name, value) in [
        ("x-user-id", "alice"),
        ("x-session-id", &login.session_id),
        ("x-scopes", "read"),
        ("x-token-id", &login.token_id),
    ] {
        assert_eq!(header_values(&seen, name), [value], "{name}");
    }

    let reply = Call::post("/orders").bearer(&login.token).send(gate, http).await?;
    expect(&reply, 403, Some("scope_insufficient"))?;
    let challenge = reply.header("www-authenticate").context("RFC 6750 asks for a challenge")?;
    assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"write\""), "{challenge}");

    // A session of its own ends alone.
    let other = stack.login("alice", &["read", "write"]).await?;
    let reply =
        stack.ask_sidecar(Call::post("/v1/logout?wait=applied").json(&json!({"session_id": login.session_id}))).await?;
    expect(&reply, 200, None)?;
    let reply = Call::get("/orders/7").bearer(&login.token).send(gate, http).await?;
    expect(&reply, 401, Some("session_terminated"))?;
    let reply = Call::post("/orders").bearer(&other.token).send(gate, http).await?;
    expect(&reply, 200, None)?;

    // All sessions of a user end at once.
    let reply = stack.ask_sidecar(Call::new(Method::DELETE, "/v1/users/alice/sessions?wait=applied")).await?;
    let ended = reply.json()?;
    assert_eq!(ended, json!({"terminated": 1, "receipt": {"applied": true, "pending": []}}));
    let reply = Call::get("/orders/7").bearer(&other.token).send(gate, http).await?;
    expect(&reply, 401, Some("session_terminated"))?;

    let refused = stack.upstream.seen().len();
    assert_eq!(refused, 2, "refused requests do not reach the upstream");
    let log = stack.access_log_of("/orders/7").await?;
    assert!(log.get("session_gate").and_then(Value::as_str).is_some_and(|text| text.contains("orders-read")), "{log}");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_and_its_session_with_it_if_that_token_is_renewed() -> Result<()> {
    for store in Store::ALL {
        let mut stack = Stack::builder().store(store).start().await?;
        let first = stack.login("alice", &["read"]).await?;
        let minted = Call::post("/v1/tokens").json(&json!({"session_id": first.session_id, "scopes": ["read"]}));
        let second = stack.ask_sidecar(minted).await?.field("/token").context("a second token")?;

        let form =
            Call::post("/v1/tokens/revoke?wait=applied").header("content-type", "application/x-www-form-urlencoded");
        expect(&stack.ask_sidecar(form.clone().body(format!("token={second}"))).await?, 200, None)?;
        expect(&stack.send(Call::get("/orders").bearer(&second)).await?, 401, Some("token_revoked"))?;
        expect(&stack.send(Call::get("/orders").bearer(&first.token)).await?, 200, None)?;
        // The token of the login is renewed: its successor would live on.
        let minted = Call::post("/v1/tokens").json(&json!({"session_id": first.session_id, "scopes": ["read"]}));
        let third = stack.ask_sidecar(minted).await?.field("/token").context("a third token")?;
        expect(&stack.ask_sidecar(form.body(format!("token={}", first.token))).await?, 200, None)?;
        expect(&stack.send(Call::get("/orders").bearer(&first.token)).await?, 401, Some("token_revoked"))?;
        expect(&stack.send(Call::get("/orders").bearer(&third)).await?, 401, Some("session_terminated"))?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_session_is_refused_until_it_is_active_again() -> Result<()> {
    for store in Store::ALL {
        let mut stack = Stack::builder().store(store).start().await?;
        let login = stack.login("alice", &["read"]).await?;
        let call = Call::get("/orders").bearer(&login.token);
        for (status, expected, code) in [
            ("suspended", 403, Some("session_suspended")),
            ("active", 200, None),
            ("terminated", 401, Some("session_terminated")),
        ] {
            set_status(&stack, &login.session_id, status).await?;
            expect(&stack.send(call.clone()).await?, expected, code)?;
        }
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_waits_for_its_second_factor_is_served_only_where_a_route_says_so() -> Result<()> {
    let routes = json!([
        {"name": "second-factor", "match": {"path": {"exact": "/2fa"}}, "accept_pending_2fa": true},
        {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
    ]);
    let mut stack = Stack::builder().routes(routes).start().await?;
    let login = stack.login_with(json!({"user_id": "alice", "pending_2fa": true})).await?;
    expect(&stack.send(Call::get("/2fa").bearer(&login.token)).await?, 200, None)?;
    let refused = stack.send(Call::get("/orders").bearer(&login.token)).await?;
    expect(&refused, 401, Some("session_pending_2fa"))?;
    set_status(&stack, &login.session_id, "active").await?;
    expect(&stack.send(Call::get("/orders").bearer(&login.token)).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_tell_public_optional_and_required_apart() -> Result<()> {
    let routes = json!([
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
        {"name": "optional", "match": {"path": {"prefix": "/optional"}}, "authentication": "optional"},
        {"name": "session", "match": {"path": {"template": "/users/{id}"}}, "require_session": true},
        {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
    ]);
    let mut stack = Stack::builder().routes(routes).start().await?;
    let login = stack.login("alice", &[]).await?;
    let minted = stack.ask_sidecar(Call::post("/v1/tokens").json(&json!({"user_id": "service"}))).await?;
    let sessionless = minted.field("/token").context("a token without a session")?;

    for (path, token, status, code, user) in [
        ("/public", None, 200, None, None),
        ("/public", Some("no-token-at-all"), 200, None, None),
        ("/optional", None, 200, None, None),
        ("/optional", Some(login.token.as_str()), 200, None, Some("alice")),
        ("/optional", Some("no-token-at-all"), 401, Some("token_malformed"), None),
        ("/users/7", Some(login.token.as_str()), 200, None, Some("alice")),
        ("/users/7", Some(sessionless.as_str()), 401, Some("session_missing"), None),
        ("/orders", Some(sessionless.as_str()), 200, None, Some("service")),
        ("/orders", None, 401, Some("credential_missing"), None),
        ("/in-no-rule", None, 401, Some("credential_missing"), None),
        ("/in-no-rule", Some(login.token.as_str()), 200, None, Some("alice")),
    ] {
        let call = token.into_iter().fold(Call::get(path), |call, token| call.bearer(token));
        let reply = stack.send(call).await?;
        expect(&reply, status, code).with_context(|| path.to_owned())?;
        if status == 200 {
            assert_eq!(header_values(&reply.json()?, "x-user-id"), user.into_iter().collect::<Vec<_>>(), "{path}");
        }
    }
    stack.assert_still_serving().await
}

async fn set_status(stack: &Stack, session_id: &str, status: &str) -> Result<()> {
    let patch =
        Call::new(Method::PATCH, &format!("/v1/sessions/{session_id}?wait=applied")).json(&json!({"status": status}));
    expect(&stack.ask_sidecar(patch).await?, 200, None)
}

/// Fails where a reply has another status or code.
pub(crate) fn expect(reply: &Reply, status: u16, code: Option<&str>) -> Result<()> {
    ensure!(reply.status == status, "the answer is {}, not {status}: {}", reply.status, reply.text());
    if let Some(code) = code {
        ensure!(reply.code().as_deref() == Some(code), "the code is not {code}: {}", reply.text());
    }
    Ok(())
}
