//! The gate's own endpoints for clients, through a real Envoy whose route leads to a real sidecar.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::envoy::Config;
use session_gate_tests::{Builder, Call, Http, Stack, Store, raw};

use crate::login_story::expect;

const SESSION: &str = "/.session-gate/session";
const TOKEN: &str = "/.session-gate/token";
const COOKIE: &str = "__Host-session-gate";
const SPA: &str = "https://spa.example";

fn stack() -> Builder {
    Stack::builder().routes(json!([])).filter(|filter| {
        let cors = json!({"allow_origins": [SPA], "allow_credentials": true});
        let limit = json!({"requests": 3, "window": "1h", "key": ["address"], "exact": true});
        *filter.get_mut("rate_limits").context("the example has limits")? = json!({"few": limit});
        *filter.get_mut("endpoints").context("the example has endpoints")? =
            json!({"session": {"cors": cors}, "token": {"cors": cors}});
        Ok(())
    })
}

fn own_route(config: &mut Config) -> Result<&mut Value> {
    let routes = config.manager()?.pointer_mut("/route_config/virtual_hosts/0/routes");
    let mut routes = routes.and_then(Value::as_array_mut).context("routes are a list")?.iter_mut();
    routes
        .find(|route| route.pointer("/match/prefix") == Some(&json!("/.session-gate/")))
        .context("the gate's own route")
}

fn exchange(refresh: &str) -> Call {
    Call::post(TOKEN)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("grant_type=refresh_token&refresh_token={refresh}"))
}

async fn refresh_token(stack: &Stack) -> Result<String> {
    let login = json!({"user_id": "alice", "scopes": ["read"], "refresh_token": true});
    let reply = stack.ask_sidecar(Call::post("/v1/login").json(&login)).await?;
    reply.field("/refresh_token").with_context(|| reply.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_learns_whose_session_it_has_and_until_when() -> Result<()> {
    for store in Store::ALL {
        let mut stack = stack().store(store).start().await?;
        stack.wait_until_it_serves().await?;
        let login = stack.login_with(json!({"user_id": "alice", "scopes": ["read"], "amr": ["pwd"]})).await?;
        let pending = stack.login_with(json!({"user_id": "bob", "pending_2fa": true})).await?;
        for http in Http::ALL {
            let by_cookie = Call::get(SESSION).header("cookie", format!("{COOKIE}={}; theme=dark", login.token));
            for call in [by_cookie, Call::get(SESSION).bearer(&login.token)] {
                let reply = call.header("x-user-id", "mallory").send(stack.address(), http).await?;
                expect(&reply, 200, None)?;
                ensure!(reply.header("cache-control") == Some("no-store"), "{:?}", reply.headers);
                ensure!(reply.header("set-cookie").is_none(), "{:?}", reply.headers);
                let told = reply.json()?;
                ensure!(told["user_id"] == "alice" && told["status"] == "active", "{told}");
                ensure!(told["amr"] == json!(["pwd"]) && told["scopes"] == json!(["read"]), "{told}");
                ensure!(told["second_factor_missing"] == false && told["expires_at"].is_u64(), "{told}");
            }
            let told = Call::get(SESSION).bearer(&pending.token).send(stack.address(), http).await?.json()?;
            ensure!(told["second_factor_missing"] == true && told["user_id"] == "bob", "{told}");
            let missing = Call::get(SESSION).send(stack.address(), http).await?;
            expect(&missing, 401, Some("credential_missing"))?;
            ensure!(missing.header("content-type") == Some("application/problem+json"), "{:?}", missing.headers);
        }
        let path = format!("/v1/sessions/{}?wait=applied", login.session_id);
        expect(&stack.ask_sidecar(Call::new("DELETE".parse()?, &path)).await?, 200, None)?;
        expect(&stack.send(Call::get(SESSION).bearer(&login.token)).await?, 401, Some("session_terminated"))?;
        ensure!(!stack.upstream.seen().iter().any(is_below_prefix), "the application has seen such a request");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

fn is_below_prefix(seen: &Value) -> bool {
    seen["path"].as_str().is_some_and(|path| path.to_ascii_lowercase().contains("session-gate"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_exchanges_its_refresh_token_with_nothing_else() -> Result<()> {
    let mut stack = stack().start().await?;
    stack.wait_until_it_serves().await?;
    let refresh = refresh_token(&stack).await?;
    let other = stack.login("mallory", &["admin"]).await?;
    // Neither a cookie nor a token of somebody's counts, nor the sidecar's own API behind the same cluster.
    let call = exchange(&refresh)
        .bearer(&other.token)
        .header("cookie", format!("{COOKIE}={}", other.token))
        .header("x-user-id", "mallory");
    let reply = stack.send(call).await?;
    expect(&reply, 200, None)?;
    ensure!(reply.header("cache-control") == Some("no-store"), "{:?}", reply.headers);
    let access = reply.field("/access_token").context("access_token")?;
    let served = stack.send(Call::get("/orders/1").bearer(&access)).await?.json()?;
    ensure!(served["headers"].to_string().contains("alice"), "{served}");
    // The same again: its answer may have been lost.
    ensure!(stack.send(exchange(&refresh)).await?.field("/refresh_token") == reply.field("/refresh_token"));

    let next = reply.field("/refresh_token").context("refresh_token")?;
    let in_query = Call::post(&format!("{TOKEN}?grant_type=refresh_token&refresh_token={next}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=refresh_token");
    let refused = stack.send(in_query).await?;
    ensure!(
        (refused.status, refused.field("/error").as_deref()) == (400, Some("invalid_request")),
        "{}",
        refused.text()
    );
    let wrong = stack.send(exchange("sgr_AAAA")).await?;
    ensure!((wrong.status, wrong.field("/error").as_deref()) == (400, Some("invalid_grant")), "{}", wrong.text());
    expect(&stack.send(exchange(&next)).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_reaches_another_path_of_the_sidecars_or_the_applications() -> Result<()> {
    let mut stack = stack().start().await?;
    stack.wait_until_it_serves().await?;
    let login = stack.login("alice", &["read"]).await?;
    let authorization = format!("authorization: Bearer {}", login.token);
    for target in [
        "/.session-gate",
        "/.session-gate/",
        "/.session-gate/devices",
        "/.session-gate/v1/keys",
        "/.session-gate/session/x",
        "/.session-gate/session;a=b",
        "/.session-gate/session%3ba=b",
        "/.session-gate/;/session",
        "/.session-gate/%2e%2e;/v1/keys",
        "/.session-gate/%252e%252e/v1/keys",
        "/.session-gate/session%252f..%252f..%252fv1%252fkeys",
        "/.SESSION-GATE/session",
        "/.Session-Gate/Session",
        "/.session-gate/session?_method=DELETE",
        "/.session-gate/session/.",
        "/.session-gate%00/session",
        "/.session-gate\\session",
    ] {
        let reply = raw::get(stack.address(), target.as_bytes(), &[authorization.as_bytes()]).await?;
        // What Envoy itself resolves is that endpoint; of the rest nothing is served.
        let is_resolved = ["/.session-gate/session/.", "/.session-gate\\session"].contains(&target);
        ensure!(reply.status == 200 && is_resolved || matches!(reply.status, 400 | 404), "{target}: {}", reply.status);
    }
    for header in ["x-http-method-override", "x-original-url", "x-rewrite-url"] {
        let value = if header.contains("method") { "POST" } else { "/v1/keys" };
        let reply = stack.send(Call::get(SESSION).bearer(&login.token).header(header, value)).await?;
        expect(&reply, 400, Some("path_ambiguous")).context(header)?;
    }
    expect(&stack.send(Call::post(SESSION).bearer(&login.token)).await?, 404, Some("no_rule"))?;
    expect(&stack.send(Call::get(TOKEN).bearer(&login.token)).await?, 404, Some("no_rule"))?;
    // Envoy resolves these before the filter: ordinary requests of the application's.
    for target in ["/.session-gate/../admin", "/.session-gate/..;/v1/keys"] {
        let out = raw::get(stack.address(), target.as_bytes(), &[authorization.as_bytes()]).await?;
        ensure!(out.status == 200, "{target}: {}", out.status);
    }
    ensure!(stack.upstream.seen().iter().all(|seen| !is_below_prefix(seen)), "{:?}", stack.upstream.seen());
    for slash in ["/.session-gate/session/", "/.session-gate//session", "/x/../.session-gate/session"] {
        expect(&stack.send(Call::get(slash).bearer(&login.token)).await?, 200, None).context(slash)?;
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecars_port_believes_no_header() -> Result<()> {
    let stack = stack().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let forged = Call::get(SESSION)
        .header("x-user-id", "alice")
        .header("x-session-id", &login.session_id)
        .header("x-session-status", "active")
        .header("cookie", format!("{COOKIE}={}", login.token));
    expect(&stack.ask_sidecar(forged).await?, 401, Some("credential_invalid"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_route_nothing_reaches_the_application() -> Result<()> {
    let to_application = stack().envoy(|config| {
        own_route(config)?["route"]["cluster"] = json!("app");
        Ok(())
    });
    let mut stack = to_application.start().await?;
    stack.wait_until_it_serves().await?;
    let login = stack.login("alice", &["read"]).await?;
    let refresh = refresh_token(&stack).await?;
    let by_cookie = Call::get(SESSION).header("cookie", format!("{COOKIE}={}", login.token));
    for call in [by_cookie, Call::get(SESSION).bearer(&login.token), exchange(&refresh)] {
        expect(&stack.send(call).await?, 503, Some("endpoint_unrouted"))?;
    }
    ensure!(!stack.upstream.seen().iter().any(is_below_prefix), "{:?}", stack.upstream.seen());
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn off_it_is_a_path_like_any_other() -> Result<()> {
    let off = stack().filter(|filter| {
        filter.as_object_mut().context("an object")?.remove("endpoints");
        Ok(())
    });
    let off = off.envoy(|config| {
        own_route(config)?["route"]["cluster"] = json!("app");
        Ok(())
    });
    let mut stack = off.start().await?;
    stack.wait_until_it_serves().await?;
    let login = stack.login("alice", &["read"]).await?;
    let seen = stack.send(Call::get(SESSION).bearer(&login.token)).await?.json()?;
    ensure!(seen["path"] == SESSION, "{seen}");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_limits_and_a_sidecar_that_is_away() -> Result<()> {
    let limited = stack().filter(|filter| {
        filter["endpoints"]["token"]["rate_limit"] = json!(["few"]);
        Ok(())
    });
    let mut stack = limited.start().await?;
    stack.wait_until_it_serves().await?;
    let login = stack.login("alice", &["read"]).await?;
    let allow = "access-control-allow-origin";
    let page = |origin: &str| Call::get(SESSION).bearer(&login.token).header("origin", origin);
    let reply = stack.send(page(SPA)).await?;
    expect(&reply, 200, None)?;
    ensure!(reply.header(allow) == Some(SPA), "{:?}", reply.headers);
    ensure!(reply.header("access-control-allow-credentials") == Some("true"), "{:?}", reply.headers);
    let foreign = stack.send(page("https://evil.example")).await?;
    ensure!(foreign.header(allow).is_none(), "{:?}", foreign.headers);
    let preflight = Call::new("OPTIONS".parse()?, TOKEN).header("origin", SPA);
    let preflight = stack.send(preflight.header("access-control-request-method", "POST")).await?;
    ensure!((preflight.status, preflight.header(allow)) == (204, Some(SPA)), "{:?}", preflight.headers);

    for _ in 0..3 {
        let reply = stack.send(exchange("sgr_AAAA").header("origin", SPA)).await?;
        ensure!((reply.status, reply.header(allow)) == (400, Some(SPA)), "{:?}", reply.headers);
    }
    expect(&stack.send(exchange("sgr_AAAA")).await?, 429, Some("rate_limited"))?;
    stack.assert_still_serving().await?;

    stack.sidecar.kill().await?;
    let reply = stack.send(page(SPA)).await?;
    ensure!((reply.status, reply.header(allow)) == (503, Some(SPA)), "{}: {:?}", reply.status, reply.headers);
    ensure!(reply.header("set-cookie").is_none(), "{:?}", reply.headers);
    Ok(())
}
