//! A session's token goes on as another one, in a browser's cookie or for a program in a header.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use session_gate_tests::envoy::Envoy;
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::{Sidecar, counted_in};
use session_gate_tests::upstream::{HOLD, REPLY_HEADER, REPLY_STATUS};
use session_gate_tests::{Builder, Call, Http, Reply, Stack, Store};

use crate::login_story::expect;

const COOKIE: &str = "__Host-session-gate";

fn stack() -> Builder {
    Stack::builder().routes(json!([
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
        {"name": "optional", "match": {"path": {"prefix": "/optional"}}, "authentication": "optional"},
    ]))
}

/// A login's token as it is that many seconds before its end, or after it.
async fn token_with(stack: &Stack, user: &str, left: i64) -> Result<(String, String)> {
    let login = stack.login(user, &["read"]).await?;
    let parts = Parts::of(&login.token)?;
    assert_eq!(parts.claims.get("renewal"), Some(&json!(0)));
    let now = parts.claims.get("iat").and_then(Value::as_i64).context("iat")?;
    let claims = parts.with_claim("exp", json!(now + left));
    let token = EcKey::read(stack.sidecar.key_file())?.token(&parts.header, &claims)?;
    Ok((token, login.session_id))
}

fn get(path: &str, token: &str) -> Call {
    Call::get(path).header("cookie", format!("{COOKIE}={token}"))
}

fn page(path: &str, token: &str) -> Call {
    get(path, token).header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")
}

/// The tokens in the cookies that an answer sets.
fn kept(reply: &Reply) -> Vec<String> {
    let lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let ours = lines.filter_map(|line| line.strip_prefix(COOKIE)?.strip_prefix('='));
    ours.map(|value| value.split(';').next().unwrap_or_default().to_owned()).collect()
}

/// Asks until an answer brings the new token, as a page does that goes on to ask.
async fn renewed(stack: &Stack, token: &str) -> Result<String> {
    until("an answer that brings the new token", async || {
        let reply = stack.send(get("/orders/7", token)).await?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        kept(&reply).pop().context("no cookie yet")
    })
    .await
}

/// How many tokens the sidecars have renewed.
async fn minted(sidecars: &[&Sidecar]) -> Result<u64> {
    let mut all = 0;
    for sidecar in sidecars {
        let metrics = Call::get("/metrics").send(sidecar.address(), Http::V1).await?.text();
        all += counted_in(&metrics, "session_gate_tokens_renewed_total", r#"outcome="renewed""#)?;
    }
    Ok(all)
}

/// Another Envoy, which asks another sidecar on the same Redis.
async fn another_pair(stack: &Stack) -> Result<(Envoy, Sidecar)> {
    let sidecar = stack.another_sidecar().await?;
    let port = sidecar.address().port();
    let envoy = stack.another_envoy_with(|config| config.set_cluster_port("session-gate-sidecar", port)).await?;
    until("the other gate to serve", async || {
        let login = stack.login("other", &[]).await?;
        let reply = Call::get("/orders/7").bearer(&login.token).send(envoy.address(), Http::V1).await?;
        ensure!(reply.status == 200, "{}", reply.status);
        Ok(())
    })
    .await?;
    Ok((envoy, sidecar))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_over_eight_workers_make_one_new_token() -> Result<()> {
    let mut stack = stack().store(Store::Redis).concurrency(4).start().await?;
    let (mut envoy, sidecar) = another_pair(&stack).await?;
    let (due, _) = token_with(&stack, "alice", 60).await?;
    let send = async |i: usize| {
        let address = if i.is_multiple_of(2) { stack.address() } else { envoy.address() };
        get(&format!("/orders/{i}"), &due).send(address, if i % 10 < 8 { Http::V2 } else { Http::V1 }).await
    };
    let mut tokens = BTreeSet::new();
    for burst in 0..10 {
        for reply in try_join_all((0..100).map(|i| send(100 * burst + i))).await? {
            expect(&reply, 200, None)?;
            tokens.extend(kept(&reply));
        }
    }
    let next = renewed(&stack, &due).await?;
    tokens.insert(next.clone());
    assert_eq!(tokens.len(), 1, "all get the same");
    assert_eq!(minted(&[&stack.sidecar, &sidecar]).await?, 1, "exactly one was made");
    let seen = stack.send(get("/orders/7", &next)).await?;
    expect(&seen, 200, None)?;
    assert!(kept(&seen).is_empty(), "the new one is not due");
    envoy.ensure_no_crash().await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_tabs_that_open_after_a_night_are_all_served() -> Result<()> {
    for store in Store::ALL {
        let mut stack = stack().store(store).concurrency(2).start().await?;
        stack.wait_until_it_serves().await?;
        let (expired, session) = token_with(&stack, "alice", -40_000).await?;
        // A worker that has just begun knows nothing against the session only once it has heard from the feed.
        let all = until("all tabs to be told", async || {
            let tabs = (0..12).map(|i| stack.send(page(&format!("/orders/{i}"), &expired)));
            let mut tokens = Vec::new();
            for reply in try_join_all(tabs).await? {
                expect(&reply, 200, None)?;
                tokens.extend(kept(&reply));
            }
            ensure!(tokens.len() == 12, "{} of 12", tokens.len());
            Ok(tokens)
        })
        .await?;
        let mut tokens: BTreeSet<String> = all.into_iter().collect();
        assert_eq!((tokens.len(), minted(&[&stack.sidecar]).await?), (1, 1));
        let next = tokens.pop_first().context("a token")?;
        let claims = Parts::of(&next)?.claims;
        assert_eq!(claims.get("sid"), Some(&json!(session)));
        expect(&stack.send(get("/orders/7", &next)).await?, 200, None)?;

        // A program's token that has expired has expired.
        expect(&stack.send(Call::get("/orders/7").bearer(&expired)).await?, 401, Some("token_expired"))?;
        // And no renewal helps a session that has ended; nor is the browser told to keep anything.
        expect(
            &stack.ask_sidecar(Call::new("DELETE".parse()?, &format!("/v1/sessions/{session}?wait=applied"))).await?,
            200,
            None,
        )?;
        let reply = stack.send(page("/orders/7", &expired)).await?;
        assert_eq!(reply.status, 302, "to the login page");
        assert!(kept(&reply).iter().all(String::is_empty), "{:?}", kept(&reply));
        let reply = stack.send(page("/optional", &expired)).await?;
        expect(&reply, 200, None)?;
        assert!(kept(&reply).is_empty());
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_brings_no_token_of_a_session_that_has_ended_meanwhile() -> Result<()> {
    for store in Store::ALL {
        let mut stack = stack().store(store).start().await?;
        stack.wait_until_it_serves().await?;
        let (due, session) = token_with(&stack, "alice", 60).await?;
        let next = renewed(&stack, &due).await?;
        let slow = get("/orders/slow", &due).header(HOLD, "1");
        let slow = slow.send(stack.address(), Http::V1);
        let end = async {
            stack.upstream.wait_for("/orders/slow").await?;
            let path = format!("/v1/sessions/{session}?wait=applied");
            let ended = stack.ask_sidecar(Call::new("DELETE".parse()?, &path)).await?;
            stack.upstream.release();
            Ok(ended)
        };
        let (slow, ended) = tokio::try_join!(slow, end)?;
        expect(&ended, 200, None)?;
        expect(&slow, 200, None)?;
        assert!(kept(&slow).is_empty(), "the application's answer, and no token");
        for token in [&due, &next] {
            let form = format!("token={token}");
            let call = Call::post("/v1/tokens/introspect").header("content-type", "application/x-www-form-urlencoded");
            assert_eq!(stack.ask_sidecar(call.body(form)).await?.json()?, json!({"active": false}));
            assert_eq!(stack.send(get("/orders/7", token)).await?.status, 401);
        }
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_finds_its_new_token_in_a_header() -> Result<()> {
    let mut stack = stack().start().await?;
    stack.wait_until_it_serves().await?;
    let (due, _) = token_with(&stack, "alice", 60).await?;
    let next = until("an answer that brings the new token", async || {
        let reply = stack.send(Call::get("/orders/7").bearer(&due)).await?;
        assert!(kept(&reply).is_empty());
        reply.header("x-session-token").map(str::to_owned).context("none yet")
    })
    .await?;
    expect(&stack.send(Call::get("/orders/7").bearer(&next)).await?, 200, None)?;
    let call =
        Call::get("/orders/7").bearer(&due).header(REPLY_HEADER, "access-control-allow-origin: https://a.example");
    let reply = stack.send(call).await?;
    assert_eq!(reply.header("access-control-expose-headers"), Some("x-session-token"));
    let narrowed = json!({"user_id": "alice", "duration": 60});
    let token =
        stack.ask_sidecar(Call::post("/v1/tokens").json(&narrowed)).await?.field("/token").context("a token")?;
    let before = stack.sidecar_calls("/v1/tokens/renew").await?;
    expect(&stack.send(Call::get("/orders/7").bearer(&token)).await?, 200, None)?;
    assert_eq!(stack.sidecar_calls("/v1/tokens/renew").await?, before, "one of its own is what it is");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_cache_may_keep_brings_no_token() -> Result<()> {
    let mut stack = stack().start().await?;
    stack.wait_until_it_serves().await?;
    let (due, _) = token_with(&stack, "alice", 60).await?;
    let next = renewed(&stack, &due).await?;
    for header in [
        "cache-control: public, max-age=31536000, immutable",
        "cache-control: s-maxage=60",
        "cache-control: max-age=60",
        "content-type: text/event-stream",
    ] {
        let reply = stack.send(get("/orders/7", &due).header(REPLY_HEADER, header)).await?;
        expect(&reply, 200, None)?;
        assert!(kept(&reply).is_empty(), "{header} {:?}", reply.headers);
        let (name, value) = header.split_once(": ").context("a header")?;
        let all: Vec<_> = reply.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        assert!(all.last().is_some_and(|said| said.ends_with(value)), "as the upstream has said it: {all:?}");
    }
    let reply = stack.send(get("/orders/7", &due).header(REPLY_STATUS, "304")).await?;
    assert_eq!((reply.status, kept(&reply).len()), (304, 0));
    for (header, expected) in
        [("cache-control: no-cache", "private, no-cache"), ("cdn-cache-control: max-age=9", "private")]
    {
        let reply = stack.send(get("/orders/7", &due).header(REPLY_HEADER, header)).await?;
        assert_eq!(kept(&reply), [next.as_str()]);
        assert_eq!(reply.header("cache-control"), Some(expected));
        assert_eq!(reply.header("cdn-cache-control"), None);
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_sidecar_is_away_nobody_is_logged_out() -> Result<()> {
    for store in Store::ALL {
        // So long that what is known stays known.
        let stays = |filter: &mut Value| {
            filter["sidecar"]["max_staleness"] = json!("60s");
            Ok(())
        };
        let mut stack = stack().store(store).filter(stays).start().await?;
        stack.wait_until_it_serves().await?;
        let (due, _) = token_with(&stack, "alice", 60).await?;
        let (expired, _) = token_with(&stack, "bob", -60).await?;
        // It is from the first seconds of the feed: so it is asked about once.
        expect(&stack.send(page("/orders/7", &due)).await?, 200, None)?;
        stack.sidecar.kill().await?;
        expect(&stack.send(page("/orders/7", &due)).await?, 200, None)?;
        for path in ["/orders/7", "/optional"] {
            let reply = stack.send(page(path, &expired)).await?;
            assert_eq!((reply.status, kept(&reply).len()), (503, 0), "nobody knows, and the cookie stays");
            assert!(reply.header("retry-after").is_some());
        }
        if store == Store::Redis {
            stack.sidecar.restart().await?;
            until("the same cookie to be served again", async || {
                let reply = stack.send(page("/orders/7", &expired)).await?;
                ensure!(reply.status == 200 && kept(&reply).len() == 1, "{}: {}", reply.status, reply.text());
                Ok(())
            })
            .await?;
            stack.assert_still_serving().await?;
        }
    }
    Ok(())
}
