//! How many sessions a user may have, where everybody logs in at once, through two gates with a sidecar each.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use session_gate_tests::poll::until;
use session_gate_tests::upstream::REPLY_HEADER;
use session_gate_tests::{Call, Http, Reply, Stack, Store};

use crate::login_story::expect;

const COOKIE: &str = "__Host-session-gate";
const LOGINS: usize = 50;
const LIMIT: usize = 3;

fn login() -> Call {
    Call::post("/login").header("sec-fetch-site", "same-origin").header(REPLY_HEADER, "x-session-login: \"alice\"")
}

/// The token in the cookie that a login has set; none: it has set none.
fn kept(reply: &Reply) -> Option<String> {
    let mut lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let line = lines.find(|line| line.starts_with(COOKIE))?;
    Some(line.split(';').next()?.split_once('=')?.1.to_owned())
}

/// Logs in so many times at once, by turns through either gate, and returns the answers and which tokens both gates serve.
async fn log_in_at_once(when_full: &str) -> Result<(Vec<Reply>, Vec<String>)> {
    let stack = Stack::builder()
        .store(Store::Redis)
        .sidecar_env("SESSION_GATE_MAX_SESSIONS_PER_USER", &LIMIT.to_string())
        .sidecar_env("SESSION_GATE_WHEN_SESSIONS_FULL", when_full)
        .routes(json!([{
            "name": "login", "match": {"path": {"exact": "/login"}, "methods": ["POST"]}, "authentication": "public",
            "session_commands": {"allow": ["login"]},
        }]))
        .start()
        .await?;
    let other_sidecar = stack.another_sidecar().await?;
    let other_gate = stack
        .another_envoy_with(|config| {
            config.use_free_ports()?;
            config.set_cluster_port("session-gate-sidecar", other_sidecar.address().port())
        })
        .await?;
    let gates = [stack.address(), other_gate.address()];
    let [one, other] = gates;
    let logins = (0..LOGINS).map(|number| {
        let gate = if number % 2 == 0 { one } else { other };
        tokio::spawn(async move { login().send(gate, Http::V1).await })
    });
    let mut replies = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        replies.push(login.await??);
    }
    let tokens: Vec<String> = replies.iter().filter_map(kept).collect();
    let mut served = Vec::new();
    until("all but three to be refused at both gates", async || {
        served.clear();
        for token in &tokens {
            let call = Call::get("/orders").header("cookie", format!("{COOKIE}={token}"));
            let (one, other) = (call.send(gates[0], Http::V1).await?, call.send(gates[1], Http::V1).await?);
            ensure!(one.status == other.status, "{} and {}", one.status, other.status);
            match one.status {
                200 => served.push(token.clone()),
                _ => expect(&one, 401, Some("session_terminated"))?,
            }
        }
        ensure!(served.len() == LIMIT, "{} are served", served.len());
        Ok(())
    })
    .await?;
    if when_full == "deny" {
        let person = login().header("accept", "text/html").header("sec-fetch-mode", "navigate");
        let page = stack.send(person.header("sec-fetch-dest", "document")).await?;
        ensure!(page.status == 409 && kept(&page).is_none(), "{}: {}", page.status, page.text());
        ensure!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        ensure!(page.text().contains("Too many sessions are open"), "{}", page.text());
    }
    Ok((replies, served))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_logins_at_once_three_are_made_and_all_others_denied() -> Result<()> {
    let (replies, served) = log_in_at_once("deny").await?;
    let (made, denied): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((made.len(), denied.len()), (LIMIT, LOGINS - LIMIT));
    for reply in denied {
        expect(reply, 409, Some("session_limit_reached"))?;
        ensure!(kept(reply).is_none(), "a login that is denied sets no cookie");
    }
    for reply in made {
        ensure!(served.contains(&kept(reply).context("a cookie")?));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_logins_at_once_three_live_and_the_evicted_are_refused_at_both_gates() -> Result<()> {
    let (replies, served) = log_in_at_once("evict_oldest").await?;
    assert!(replies.iter().all(|reply| reply.status == 200 && kept(reply).is_some()));
    assert_eq!(served.len(), LIMIT);
    Ok(())
}

/// Their sidecar answers when nobody waits any more: nobody has their tokens, and they would be in their users' way.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_nobody_waits_for_any_more_leave_no_sessions() -> Result<()> {
    let stack = Stack::builder()
        .store(Store::Redis)
        .sidecar_env("SESSION_GATE_MAX_SESSIONS_PER_USER", "1")
        .sidecar_env("SESSION_GATE_WHEN_SESSIONS_FULL", "deny")
        .routes(json!([{
            "name": "login", "match": {"path": {"exact": "/login"}, "methods": ["POST"]}, "authentication": "public",
            "session_commands": {"allow": ["login"]},
        }]))
        .start()
        .await?;
    let of_user = |user: &str| {
        let says = format!("x-session-login: \"{user}\"");
        Call::post("/login").header("sec-fetch-site", "same-origin").header(REPLY_HEADER, says)
    };
    until("the first login", async || expect(&stack.send(of_user("zoe")).await?, 200, None)).await?;
    expect(&stack.send(of_user("zoe")).await?, 409, Some("session_limit_reached"))?;
    let users = ["ann", "ben", "cat", "dan", "eve", "fay"];
    stack.sidecar.pause()?;
    let logins = users.map(|user| {
        let (gate, login) = (stack.address(), of_user(user));
        tokio::spawn(async move { login.send(gate, Http::V1).await })
    });
    for login in logins {
        expect(&login.await??, 503, Some("store_unavailable"))?;
    }
    stack.sidecar.resume()?;
    for user in users {
        until(&format!("{user} to have room"), async || expect(&stack.send(of_user(user)).await?, 200, None)).await?;
    }
    Ok(())
}
