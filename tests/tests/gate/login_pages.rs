//! What a browser's page load gets that is refused: the way to the login page, a page, and no dead cookie any more.

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use hyper::Method;
use serde_json::json;
use session_gate_tests::client::Reply;
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::FakeSidecar;
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Stack, raw};

use crate::feed::{end, served_alone};
use crate::login_story::expect;

const REMOVAL: [&str; 2] = [
    "__Host-session-gate=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
    "__Host-session-gate=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=None; Partitioned",
];

fn with_login() -> Builder {
    let routes = json!([
        {"name": "login", "match": {"path": {"prefix": "/login"}}, "authentication": "public"},
        {"name": "second-factor", "match": {"path": {"exact": "/2fa"}}, "accept_pending_2fa": true},
        {"name": "optional", "match": {"path": {"exact": "/"}}, "authentication": "optional"},
        {"name": "no-login", "match": {"path": {"prefix": "/no-login"}}, "login": false},
        {"name": "admin", "match": {"path": {"prefix": "/admin"}}, "scopes": {"all": ["admin"]}},
        {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
    ]);
    Stack::builder().routes(routes).filter(|filter| {
        filter["login"] = json!({"url": "/login/?from=gate", "second_factor_url": "/2fa"});
        filter["default_rule"] = json!("deny");
        Ok(())
    })
}

/// A login page, and nothing else without a login.
fn with_login_everywhere() -> Builder {
    with_login().filter(|filter| {
        filter["routes"] = json!([
            {"name": "login", "match": {"path": {"prefix": "/login"}}, "authentication": "public"},
            {"name": "all"},
        ]);
        Ok(())
    })
}

/// A page load, as browsers send it.
fn page(path: &str) -> Call {
    navigation(Method::GET, path).header("sec-fetch-user", "?1")
}

fn navigation(method: Method, path: &str) -> Call {
    Call::new(method, path)
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-site", "same-origin")
}

fn fetch(path: &str) -> Call {
    Call::get(path).header("accept", "*/*").header("sec-fetch-mode", "cors").header("sec-fetch-dest", "empty")
}

fn cookie(token: &str) -> String {
    format!("__Host-session-gate={token}; theme=dark")
}

fn set_cookies(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect()
}

fn ensure_redirect(reply: &Reply, location: &str, removal: &[&str]) -> Result<()> {
    ensure!(reply.status == 302, "{} {}", reply.status, reply.text());
    ensure!(reply.header("location") == Some(location), "{:?}", reply.headers);
    ensure!(reply.header("cache-control") == Some("no-store"), "{:?}", reply.headers);
    ensure!(reply.header("vary") == Some("Cookie"), "{:?}", reply.headers);
    ensure!(set_cookies(reply) == removal, "{:?}", reply.headers);
    Ok(())
}

fn ensure_page(reply: &Reply, status: u16, text: &str) -> Result<()> {
    ensure!(reply.status == status, "{} {}", reply.status, reply.text());
    ensure!(reply.header("content-type") == Some("text/html; charset=utf-8"), "{:?}", reply.headers);
    ensure!(reply.header("cache-control") == Some("no-store"), "{:?}", reply.headers);
    ensure!(reply.header("location").is_none() && set_cookies(reply).is_empty(), "{:?}", reply.headers);
    ensure!(reply.text().contains(text), "{}", reply.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_page_loads_are_sent_to_log_in() -> Result<()> {
    let mut stack = with_login().start().await?;
    for http in Http::ALL {
        let send = async |call: Call| call.send(stack.address(), http).await;
        ensure_redirect(
            &send(page("/orders/7?a=1&b=%C3%A9")).await?,
            "/login/?from=gate&next=%2Forders%2F7%3Fa%3D1%26b%3D%25C3%25A9",
            &[],
        )?;
        let head = navigation(Method::HEAD, "/orders");
        ensure_redirect(&send(head).await?, "/login/?from=gate&next=%2Forders", &[])?;
        // A browser without Fetch Metadata.
        let old = Call::get("/orders").header("accept", "text/html,*/*;q=0.8");
        ensure_redirect(&send(old.clone()).await?, "/login/?from=gate&next=%2Forders", &[])?;
        for call in [
            fetch("/orders"),
            fetch("/orders").header("accept", "text/html"),
            old.header("x-requested-with", "XMLHttpRequest"),
            Call::get("/orders").header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "iframe"),
            Call::get("/orders").header("sec-fetch-mode", "same-origin").header("sec-fetch-dest", "serviceworker"),
            Call::get("/orders"),
        ] {
            let reply = send(call).await?;
            expect(&reply, 401, Some("credential_missing"))?;
            ensure!(reply.header("content-type") == Some("application/problem+json"), "{:?}", reply.headers);
        }
        let grpc = Call::post("/orders").header("content-type", "application/grpc").header("te", "trailers");
        let grpc = send(grpc.header("accept", "text/html")).await?;
        ensure!(grpc.header("grpc-status") == Some("16"), "{:?}", grpc.headers);
        // A form that was sent: what it has sent cannot be asked for again.
        let form = navigation(Method::POST, "/orders").header("origin", "null").body("a=1");
        ensure_page(&send(form).await?, 401, "<a href=\"/login/?from=gate\">Sign in</a>")?;
        ensure_page(&send(page("/no-login")).await?, 401, "Sign in and try again.")?;
        ensure_page(&send(page("/nowhere")).await?, 404, "There is no such resource")?;
    }
    ensure!(stack.upstream.seen().is_empty(), "nothing has reached the upstream");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_logged_in_gets_pages_and_who_may_not_see_them_is_told() -> Result<()> {
    let mut stack = with_login().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let with_cookie = |call: Call| call.header("cookie", cookie(&login.token));
    expect(&stack.send(with_cookie(page("/orders"))).await?, 200, None)?;
    ensure_page(&stack.send(with_cookie(page("/admin"))).await?, 403, "scope_insufficient")?;
    let foreign = Call::post("/orders")
        .header("accept", "text/html")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-site", "cross-site");
    ensure_page(&stack.send(with_cookie(foreign)).await?, 403, "csrf_refused")?;
    let pending = stack.login_with(json!({"user_id": "bob", "pending_2fa": true})).await?;
    let reply = stack.send(page("/orders").header("cookie", cookie(&pending.token))).await?;
    ensure_redirect(&reply, "/2fa?next=%2Forders", &[])?;
    expect(&stack.send(page("/2fa").header("cookie", cookie(&pending.token))).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_cookie_is_removed_with_a_page_load_alone() -> Result<()> {
    let mut stack = with_login().start().await?;
    let login = served_alone(&stack).await?;
    end(&stack, &login.session_id).await?;
    for http in Http::ALL {
        for (token, code) in [(login.token.as_str(), "session_terminated"), ("garbage", "token_malformed")] {
            let send = async |call: Call| call.header("cookie", cookie(token)).send(stack.address(), http).await;
            ensure_redirect(&send(page("/orders")).await?, "/login/?from=gate&next=%2Forders", &REMOVAL)?;
            let own = send(page("/no-login")).await?;
            ensure!(own.status == 401 && set_cookies(&own) == REMOVAL, "{} {:?}", own.status, own.headers);
            let background = send(fetch("/orders")).await?;
            expect(&background, 401, Some(code))?;
            ensure!(set_cookies(&background).is_empty(), "it may come late: {:?}", background.headers);
            let form = send(navigation(Method::POST, "/no-login")).await?;
            ensure!(form.status == 401 && set_cookies(&form).is_empty(), "{} {:?}", form.status, form.headers);
            // Where a login is optional the answer is the upstream's.
            let anonymous = send(page("/")).await?;
            expect(&anonymous, 200, None)?;
            let seen = anonymous.json()?;
            ensure!(header_values(&seen, "x-user-id").is_empty() && set_cookies(&anonymous).is_empty(), "{seen}");
            ensure!(header_values(&seen, "cookie") == ["theme=dark"], "{seen}");
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cookies_of_our_name_lock_nobody_out() -> Result<()> {
    let mut stack = with_login().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let both = |other: &str| format!("__Host-session-gate={}; a=1; __Host-session-gate={other}", login.token);
    let same = stack.send(page("/orders").header("cookie", both(&login.token))).await?;
    expect(&same, 200, None)?;
    ensure!(header_values(&same.json()?, "cookie") == ["a=1"], "{}", same.text());
    let reply = stack.send(page("/orders").header("cookie", both("other"))).await?;
    ensure_redirect(&reply, "/login/?from=gate&next=%2Forders", &REMOVAL)?;
    let background = stack.send(fetch("/orders").header("cookie", both("other"))).await?;
    expect(&background, 401, Some("duplicate_cookie"))?;
    ensure!(set_cookies(&background).is_empty(), "{:?}", background.headers);
    let anonymous = stack.send(page("/").header("cookie", both("other"))).await?;
    expect(&anonymous, 200, None)?;
    ensure!(header_values(&anonymous.json()?, "x-user-id").is_empty(), "{}", anonymous.text());
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_a_page_that_says_so_and_keeps_the_cookie() -> Result<()> {
    let mut stack = with_login().start().await?;
    let login = served_alone(&stack).await?;
    let load = || page("/orders").header("cookie", cookie(&login.token));
    stack.sidecar.pause()?;
    until("the feed to be stale", async || {
        let reply = stack.send(load()).await?;
        ensure_page(&reply, 503, "Try again in a second.")?;
        ensure!(reply.header("retry-after") == Some("1"), "{:?}", reply.headers);
        Ok(())
    })
    .await?;
    expect(
        &stack.send(fetch("/orders").header("cookie", cookie(&login.token))).await?,
        503,
        Some("store_unavailable"),
    )?;
    stack.sidecar.resume()?;
    until("the same cookie to be served again", async || expect(&stack.send(load()).await?, 200, None)).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_and_no_host_leads_to_another_origin() -> Result<()> {
    let mut stack = with_login_everywhere().start().await?;
    for target in [
        "//evil.example",
        "/\\evil.example",
        "/\\/evil.example",
        "/%09/evil.example",
        "/%5cevil.example",
        "/%255cevil.example",
        "/%2fevil.example",
        "/%252f%252fevil.example",
        "/.//evil.example",
        "/%2e/%2fevil.example",
        "/a?x=//evil.example",
        "http://evil.example/a",
        "http://evil.example//evil.example",
    ] {
        let lines: [&[u8]; 4] =
            [b"accept: text/html", b"x-forwarded-host: evil.example", b"x-original-host: evil.example", b"x-a: b"];
        let reply = raw::get(stack.address(), target.as_bytes(), &lines).await?;
        let location = reply.header("location").unwrap_or_default().to_owned();
        match reply.status {
            302 => {
                let next =
                    location.strip_prefix("/login/?from=gate").with_context(|| format!("{target}: {location}"))?;
                let is_own = next.is_empty() || (next.starts_with("&next=%2F") && !next.starts_with("&next=%2F%2F"));
                ensure!(is_own && !next.starts_with("&next=%2F%5C"), "{target}: {location}");
            }
            // Envoy's own redirect to the plain spelling, and what no upstream should see.
            307 => ensure!(
                location.starts_with('/') || location.starts_with("http://gate.example/"),
                "{target}: {location}"
            ),
            status => ensure!(status == 400, "{target}: {}", reply.text),
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_teams_own_and_a_limit() -> Result<()> {
    let mut stack = with_login()
        .filter(|filter| {
            filter["error_page"] = json!("<h1>{{status}}</h1>{{title}}|{{code}}|{{retry_after}}");
            filter["rate_limits"] = json!({"one": {"requests": 1, "window": "1h", "key": []}});
            // They name a limit of the example's.
            filter.as_object_mut().context("an object")?.remove("endpoints");
            filter["routes"][3]["rate_limit"] = json!(["one"]);
            filter["routes"][3]["authentication"] = json!("optional");
            Ok(())
        })
        .start()
        .await?;
    until("the limit to admit one", async || expect(&stack.send(page("/no-login")).await?, 200, None)).await?;
    let reply = stack.send(page("/no-login")).await?;
    let retry_after = reply.header("retry-after").context("it says when to try again")?.to_owned();
    ensure_page(&reply, 429, &format!("<h1>429</h1>Too many requests|rate_limited|{retry_after}"))?;
    expect(&stack.send(fetch("/no-login")).await?, 429, Some("rate_limited"))?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_required_once_the_sidecar_says_so() -> Result<()> {
    let mut stack = with_login()
        .filter(|filter| {
            filter.as_object_mut().context("an object")?.remove("require_https");
            filter["sidecar"]["keys_refresh"] = json!("1s");
            Ok(())
        })
        .sidecar_env("REQUIRE_HTTPS", "false")
        .start()
        .await?;
    let mut keys = stack.ask_sidecar(Call::get("/v1/keys")).await?.json()?;
    expect(&stack.send(Call::get("/login/")).await?, 200, None)?;
    stack.sidecar.kill().await?;
    keys["policy"] = json!({"require_https": true, "of_a_later_version": [1]});
    let body = keys.to_string();
    let app = Router::new().route("/v1/keys", get(move || std::future::ready(Response::new(body.clone()))));
    let fake = FakeSidecar::start(app, stack.sidecar.address().port()).await?;
    until("https to be required", async || {
        expect(&stack.send(Call::get("/login/")).await?, 403, Some("https_required"))
    })
    .await?;
    let reply = stack.send(page("/orders?a=1")).await?;
    ensure!(reply.status == 308, "before anything else: {}", reply.text());
    drop(fake);
    // It stays through an outage, and ends when the sidecar says otherwise.
    expect(&stack.send(Call::get("/login/")).await?, 403, Some("https_required"))?;
    stack.sidecar.restart().await?;
    until("http to be served again", async || expect(&stack.send(Call::get("/login/")).await?, 200, None)).await?;
    stack.assert_still_serving().await
}
