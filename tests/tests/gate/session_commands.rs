//! An application logs its users in and out by a header of its answers, with no client library.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use session_gate_tests::upstream::{REPLY_BYTES, REPLY_HEADER, REPLY_STATUS, header_values};
use session_gate_tests::{Builder, Call, Http, Reply, Stack, Store};

use crate::login_story::expect;

const COOKIE: &str = "__Host-session-gate";

fn commanded() -> Builder {
    Stack::builder().routes(json!([
        {
            "name": "login", "match": {"path": {"exact": "/login"}, "methods": ["POST"]}, "authentication": "public",
            "session_commands": {"allow": ["login"], "scopes": ["read", "write"], "amr": ["pwd"]},
        },
        {
            "name": "api-login", "match": {"path": {"exact": "/api/login"}, "methods": ["POST"]},
            "authentication": "public", "session_commands": {"allow": ["login"], "token": "header"},
        },
        {
            "name": "second-factor", "match": {"path": {"exact": "/2fa"}}, "accept_pending_2fa": true,
            "session_commands": {"allow": ["elevate"], "scopes": ["read", "write"], "amr": ["otp"]},
        },
        {
            "name": "logout", "match": {"path": {"exact": "/logout"}}, "authentication": "public",
            "session_commands": {"allow": ["logout"]},
        },
        {
            "name": "password", "match": {"path": {"exact": "/password"}},
            "session_commands": {"allow": ["password_changed"]},
        },
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
        {"name": "write", "match": {"path": {"exact": "/write"}}, "scopes": {"all": ["write"]}},
    ]))
}

/// A form that a page of the application's own sends.
fn form(path: &str) -> Call {
    Call::post(path).header("sec-fetch-site", "same-origin")
}

/// The same, whose answer says something of sessions.
fn saying(path: &str, header: &str, value: &str) -> Call {
    form(path).header(REPLY_HEADER, format!("{header}: {value}"))
}

trait WithCookie {
    fn cookie(self, token: &str) -> Self;
}

impl WithCookie for Call {
    fn cookie(self, token: &str) -> Self {
        self.header("cookie", format!("{COOKIE}={token}"))
    }
}

/// The `Set-Cookie` lines of our name.
fn set_cookies(reply: &Reply) -> Vec<String> {
    let lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    lines.filter(|line| line.starts_with(COOKIE)).map(str::to_owned).collect()
}

/// The token in the cookie that was set.
fn kept(reply: &Reply) -> Result<String> {
    let lines = set_cookies(reply);
    let [line] = lines.as_slice() else { bail!("{lines:?} of {}: {}", reply.status, reply.text()) };
    let value = line.split(';').next().and_then(|pair| pair.split_once('=')).context("a cookie")?.1;
    assert!(line.ends_with("; Secure; HttpOnly; SameSite=Lax") && line.contains("; Path=/"), "{line}");
    Ok(value.to_owned())
}

async fn log_in(stack: &Stack, says: &str, cookie: Option<&str>) -> Result<String> {
    let call = saying("/login", "x-session-login", says);
    let call = cookie.map_or(call.clone(), |token| call.cookie(token));
    let reply = stack.send(call).await?;
    expect(&reply, 200, None)?;
    assert_eq!(reply.header("x-session-login"), None);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    kept(&reply)
}

/// What a request with that cookie is answered: its status, and the code of a refusal.
async fn served(stack: &Stack, path: &str, token: &str) -> Result<(u16, Option<String>)> {
    let reply = stack.send(Call::get(path).cookie(token)).await?;
    Ok((reply.status, reply.field("/code")))
}

fn ok() -> (u16, Option<String>) {
    (200, None)
}

fn refused(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_logs_in_stays_and_logs_out_by_the_applications_headers() -> Result<()> {
    for store in Store::ALL {
        let mut stack = commanded().store(store).start().await?;
        let token = log_in(&stack, r#""alice";scopes="read";amr="pwd""#, None).await?;
        let reply = stack.send(Call::get("/orders/7").cookie(&token)).await?;
        let seen = reply.json()?;
        assert_eq!(header_values(&seen, "x-user-id"), ["alice"]);
        assert_eq!(header_values(&seen, "x-scopes"), ["read"]);
        assert!(header_values(&seen, "cookie").is_empty());
        assert_eq!(served(&stack, "/write", &token).await?, refused(403, "scope_insufficient"));

        let reply = stack.send(saying("/logout", "x-session-logout", "current").cookie(&token)).await?;
        expect(&reply, 200, None)?;
        let gone = set_cookies(&reply);
        assert!(gone.len() == 2 && gone.iter().all(|line| line.contains("=; Path=/; Max-Age=0")), "{gone:?}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let after = served(&stack, "/orders/7", &token).await?;
        assert_eq!(after.0, 401, "{after:?}");
        // Again, and by somebody who has no session: the same.
        for again in [form("/logout").cookie(&token), form("/logout")] {
            let reply = stack.send(again.header(REPLY_HEADER, "x-session-logout: current")).await?;
            expect(&reply, 200, None)?;
            assert_eq!(set_cookies(&reply), gone);
        }
        let log = stack.access_log_of("/login").await?;
        let said = log.get("session_gate").and_then(Value::as_str).unwrap_or_default();
        assert!(said.contains("command=login result=done"), "{log}");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_the_place_of_whoever_was_logged_in_there() -> Result<()> {
    for store in Store::ALL {
        let mut stack = commanded().store(store).start().await?;
        let elsewhere = log_in(&stack, r#""alice""#, None).await?;
        let first = log_in(&stack, r#""alice""#, None).await?;
        let second = log_in(&stack, r#""alice""#, Some(&first)).await?;
        assert_eq!(served(&stack, "/orders/7", &first).await?.0, 401, "the same user's old session");
        assert_eq!(served(&stack, "/orders/7", &second).await?, ok());
        let other = log_in(&stack, r#""bob""#, Some(&second)).await?;
        assert_eq!(served(&stack, "/orders/7", &second).await?.0, 401, "another user's");
        assert_eq!(served(&stack, "/orders/7", &other).await?, ok());
        assert_eq!(served(&stack, "/orders/7", &elsewhere).await?, ok(), "another browser is not touched");
        // A damaged cookie keeps nobody from logging in.
        log_in(&stack, r#""alice""#, Some("garbage")).await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_gives_a_new_session_and_the_old_one_gets_nothing() -> Result<()> {
    for store in Store::ALL {
        let mut stack = commanded().store(store).start().await?;
        let pending = log_in(&stack, r#""alice";amr="pwd";pending_2fa"#, None).await?;
        assert_eq!(served(&stack, "/orders/7", &pending).await?, refused(401, "session_pending_2fa"));
        let page = Call::get("/2fa").cookie(&pending).header("x-session-status", "active");
        let seen = stack.send(page).await?.json()?;
        assert_eq!(header_values(&seen, "x-session-status"), ["pending_2fa"], "not what its client says");
        let says = r#"?1;scopes="read write";amr="otp""#;
        let reply = stack.send(saying("/2fa", "x-session-elevate", says).cookie(&pending)).await?;
        expect(&reply, 200, None)?;
        let whole = kept(&reply)?;
        assert_eq!(served(&stack, "/write", &whole).await?, ok());
        let old = stack.send(Call::get("/2fa").cookie(&pending)).await?;
        assert_eq!((old.status, set_cookies(&old).len()), (401, 0), "whoever knows the old one learns nothing");
        let again = stack.send(saying("/2fa", "x-session-elevate", says).cookie(&pending)).await?;
        assert_eq!((again.status, set_cookies(&again).len()), (401, 0));
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_second_factor_can_log_out_and_in_as_somebody_else() -> Result<()> {
    let mut stack = commanded().start().await?;
    let pending = log_in(&stack, r#""alice";pending_2fa"#, None).await?;
    let other = log_in(&stack, r#""bob""#, Some(&pending)).await?;
    assert_eq!(served(&stack, "/2fa", &pending).await?.0, 401);
    assert_eq!(served(&stack, "/orders/7", &other).await?, ok());
    let pending = log_in(&stack, r#""alice";pending_2fa"#, None).await?;
    let reply = stack.send(saying("/logout", "x-session-logout", "current").cookie(&pending)).await?;
    assert_eq!((reply.status, set_cookies(&reply).len()), (200, 2));
    assert_eq!(served(&stack, "/2fa", &pending).await?.0, 401);
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_elsewhere_and_a_changed_password_leave_this_browser_alone() -> Result<()> {
    for store in Store::ALL {
        let mut stack = commanded().store(store).start().await?;
        let (here, there) = (log_in(&stack, r#""alice""#, None).await?, log_in(&stack, r#""alice""#, None).await?);
        let reply = stack.send(saying("/logout", "x-session-logout", "others").cookie(&here)).await?;
        expect(&reply, 200, None)?;
        assert!(set_cookies(&reply).is_empty());
        assert_eq!(served(&stack, "/orders/7", &here).await?, ok());
        assert_eq!(served(&stack, "/orders/7", &there).await?.0, 401);

        let there = log_in(&stack, r#""alice""#, None).await?;
        expect(&stack.send(saying("/password", "x-session-password-changed", "?1").cookie(&here)).await?, 200, None)?;
        assert_eq!(served(&stack, "/orders/7", &here).await?, ok());
        assert_eq!(served(&stack, "/orders/7", &there).await?.0, 401);

        // One that has ended, or waits for its second factor, ends no other.
        let pending = log_in(&stack, r#""alice";pending_2fa"#, None).await?;
        for (token, sessions) in [(&there, "others"), (&there, "all"), (&pending, "others"), (&pending, "all")] {
            let reply = stack.send(saying("/logout", "x-session-logout", sessions).cookie(token)).await?;
            expect(&reply, 401, Some("session_terminated"))?;
            assert_eq!(served(&stack, "/orders/7", &here).await?, ok());
        }

        let reply = stack.send(saying("/logout", "x-session-logout", "all").cookie(&here)).await?;
        assert_eq!(set_cookies(&reply).len(), 2);
        assert_eq!(served(&stack, "/orders/7", &here).await?.0, 401);
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_token_in_a_header() -> Result<()> {
    let mut stack = commanded().start().await?;
    let call = Call::post("/api/login").header(REPLY_HEADER, "x-session-login: \"alice\"");
    let reply = stack.send(call).await?;
    expect(&reply, 200, None)?;
    let token = reply.header("x-session-token").context("a token")?;
    assert!(set_cookies(&reply).is_empty());
    expect(&stack.send(Call::get("/orders/7").bearer(token)).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_redirects_and_both_protocols_are_held_and_let_go_whole() -> Result<()> {
    let mut stack = commanded().start().await?;
    for http in Http::ALL {
        for (status, bytes) in [("200", "0"), ("200", "300000"), ("200", "3000000"), ("303", "10")] {
            let call = saying("/login", "x-session-login", r#""alice""#)
                .header(REPLY_STATUS, status)
                .header(REPLY_BYTES, bytes)
                .header(REPLY_HEADER, "location: /app")
                .header(REPLY_HEADER, "set-cookie: a=1")
                .header(REPLY_HEADER, "set-cookie: b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
                .header(REPLY_HEADER, format!("set-cookie: {COOKIE}=theirs; Path=/"));
            let reply = call.send(stack.address(), http).await?;
            assert_eq!(reply.status.to_string(), status);
            assert_eq!(reply.body.len().to_string(), bytes, "{http:?}");
            assert_eq!(reply.header("location"), Some("/app"));
            let token = kept(&reply)?;
            let all = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
            let others: Vec<&str> = all.filter(|line| !line.starts_with(COOKIE)).collect();
            assert_eq!(others, ["a=1", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"]);
            assert_eq!(served(&stack, "/orders/7", &token).await?, ok());
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_replaced_whole() -> Result<()> {
    let mut stack = commanded().start().await?;
    let before = stack.sidecar_calls("/v1/session-commands").await?;
    for (value, code) in [
        ("alice", "session_header_invalid"),
        (r#""alice";role="admin""#, "session_header_invalid"),
        (r#""alice";scopes="admin""#, "session_command_refused"),
        (r#""alice";class="remember""#, "session_command_refused"),
    ] {
        let call = saying("/login", "x-session-login", value)
            .header(REPLY_HEADER, "set-cookie: a=1")
            .header(REPLY_HEADER, "location: /app")
            .header(REPLY_STATUS, "303");
        let reply = stack.send(call).await?;
        expect(&reply, 502, Some(code))?;
        assert!(reply.header("set-cookie").is_none() && reply.header("location").is_none(), "{value}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let cached = saying("/login", "x-session-login", r#""alice""#).header(REPLY_HEADER, "age: 3");
    expect(&stack.send(cached).await?, 502, Some("session_command_refused"))?;
    assert_eq!(stack.sidecar_calls("/v1/session-commands").await?, before, "none was asked for");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_an_allowed_route_is_listened_to_or_heard() -> Result<()> {
    let mut stack = commanded().start().await?;
    let before = stack.sidecar_calls("/v1/session-commands").await?;
    // Envoy itself refuses a client's headers with underscores.
    for (name, clients) in [
        ("x-session-login", "x-session-login"),
        ("X_Session_Login", "x.session.login"),
        ("x-session-token", "x-session-nonce"),
    ] {
        let call = form("/public").header(REPLY_HEADER, format!("{name}: \"alice\"")).header(clients, "\"mallory\"");
        let reply = stack.send(call).await?;
        expect(&reply, 200, None)?;
        assert!(reply.headers.keys().all(|header| !header.as_str().contains("session")), "{:?}", reply.headers);
        let seen = reply.json()?;
        assert!(header_values(&seen, clients).is_empty(), "a client's own: {seen}");
    }
    let evil = saying("/login", "x-session-login", r#""alice""#).header("origin", "https://evil.example");
    let evil = evil.header("sec-fetch-site", "cross-site");
    let crossed = Call::post("/login").header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
    for call in [crossed.header(REPLY_HEADER, "x-session-login: \"alice\""), evil] {
        let reply = stack.send(call).await?;
        expect(&reply, 403, Some("csrf_refused"))?;
        assert!(set_cookies(&reply).is_empty());
    }
    assert_eq!(stack.sidecar_calls("/v1/session-commands").await?, before);
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetched_logout_logs_nobody_out() -> Result<()> {
    let mut stack = commanded().start().await?;
    let token = log_in(&stack, r#""alice""#, None).await?;
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("next-router-prefetch", "1"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let call = Call::get("/logout").cookie(&token).header(name, value);
        let reply = stack.send(call.header(REPLY_HEADER, "x-session-logout: current")).await?;
        expect(&reply, 200, None)?;
        assert!(set_cookies(&reply).is_empty(), "{name}: {value}");
        assert_eq!(served(&stack, "/orders/7", &token).await?, ok());
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_sidecar_is_away_nobody_is_told_that_it_is_done() -> Result<()> {
    for store in Store::ALL {
        let mut stack = commanded().store(store).start().await?;
        let token = log_in(&stack, r#""alice""#, None).await?;
        // Then the gate knows the keys.
        assert_eq!(served(&stack, "/orders/7", &token).await?, ok());
        stack.sidecar.kill().await?;
        let login = saying("/login", "x-session-login", r#""alice""#).header(REPLY_HEADER, "set-cookie: a=1");
        let logout = saying("/logout", "x-session-logout", "current").cookie(&token);
        for call in [login, logout] {
            let reply = stack.send(call).await?;
            expect(&reply, 503, Some("store_unavailable"))?;
            assert!(reply.header("set-cookie").is_none() && reply.header("retry-after").is_some());
        }
        stack.envoy.ensure_no_crash().await?;
    }
    Ok(())
}
