//! What two do at the same time at two sidecars on one Redis, where one of them must lose.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::{Sidecar, counted_in};
use session_gate_tests::upstream::{HOLD, REPLY_HEADER};
use session_gate_tests::{Call, Http, Reply, Stack, Store};

use crate::login_story::expect;

const COOKIE: &str = "__Host-session-gate";

fn form(path: &str, fields: &str) -> Call {
    Call::post(path).header("content-type", "application/x-www-form-urlencoded").body(fields.to_owned())
}

fn with_cookie(call: Call, token: &str) -> Call {
    call.header("cookie", format!("{COOKIE}={token}"))
}

/// The token in the cookie that an answer sets.
fn kept(reply: &Reply) -> Option<String> {
    let mut lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let value = lines.find_map(|line| line.strip_prefix(COOKIE)?.strip_prefix('='))?;
    Some(value.split(';').next().unwrap_or_default().to_owned())
}

async fn refresh(sidecar: &Sidecar, token: &str) -> Result<Reply> {
    let fields = format!("grant_type=refresh_token&refresh_token={token}");
    form("/v1/tokens/refresh", &fields).send(sidecar.address(), Http::V1).await
}

/// A session whose token is due is renewed at one sidecar while it is ended at the other. Every fourth is renewed first.
async fn race(number: usize, stack: &Stack, other: &Sidecar, key: &EcKey) -> Result<bool> {
    let login = stack.login(&format!("user-{number}"), &["read"]).await?;
    let parts = Parts::of(&login.token)?;
    let issued = parts.claims.get("iat").and_then(Value::as_i64).context("iat")?;
    let due = key.token(&parts.header, &parts.with_claim("exp", json!(issued + 300)))?;
    let renewal = Call::post("/v1/tokens/renew").json(&json!({"token": due}));
    let end = Call::new(Method::DELETE, &format!("/v1/sessions/{}?wait=applied", login.session_id));
    let (renewing, ending) = (renewal.send(other.address(), Http::V1), stack.ask_sidecar(end));
    let (renewed, ended) = match number % 4 {
        0 => (renewing.await?, ending.await?),
        1 | 2 => tokio::try_join!(renewing, ending)?,
        _ => {
            let (ended, renewed) = tokio::try_join!(ending, renewing)?;
            (renewed, ended)
        }
    };
    expect(&ended, 200, None)?;
    let successor = renewed.field("/token/token");
    for token in [Some(&due), successor.as_ref()].into_iter().flatten() {
        for sidecar in [&stack.sidecar, other] {
            let seen =
                form("/v1/tokens/introspect", &format!("token={token}")).send(sidecar.address(), Http::V1).await?;
            ensure!(seen.json()? == json!({"active": false}), "{number}: {}", seen.text());
        }
        let served = stack.send(with_cookie(Call::get("/orders"), token)).await?;
        ensure!(served.status == 401, "{number}: {}", served.status);
    }
    Ok(successor.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_renewals_none_outlives_the_session_that_ends_meanwhile() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).concurrency(2).start().await?;
    let other = stack.another_sidecar().await?;
    stack.wait_until_it_serves().await?;
    let key = EcKey::read(stack.sidecar.key_file())?;
    let mut renewed = 0;
    for batch in 0..50 {
        let races = (0..20).map(|number| race(20 * batch + number, &stack, &other, &key));
        renewed += try_join_all(races).await?.into_iter().filter(|won| *won).count();
    }
    ensure!(renewed >= 250, "{renewed} of 1000 were renewed first");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_uses_of_a_refresh_token_at_once_give_one_successor_and_an_older_one_ends_the_session() -> Result<()> {
    let mut stack = Stack::builder().store(Store::Redis).concurrency(2).routes(json!([])).start().await?;
    let other = stack.another_sidecar().await?;
    stack.wait_until_it_serves().await?;
    let login = stack.ask_sidecar(Call::post("/v1/login").json(&json!({"user_id": "alice", "refresh_token": true})));
    let first = login.await?.field("/refresh_token").context("a refresh token")?;
    let elsewhere = stack.login("alice", &[]).await?;
    let sidecars = [&stack.sidecar, &other];
    let uses = try_join_all((0..50_usize).map(|number| refresh(sidecars[number % 2], &first))).await?;
    let mut successors = BTreeSet::new();
    for reply in &uses {
        expect(reply, 200, None)?;
        successors.insert(reply.field("/refresh_token").context("a successor")?);
    }
    ensure!(successors.len() == 1, "{} successors", successors.len());
    let mut made = 0;
    for sidecar in sidecars {
        let metrics = Call::get("/metrics").send(sidecar.address(), Http::V1).await?.text();
        made += counted_in(&metrics, "session_gate_tokens_refreshed_total", r#"outcome="refreshed""#)?;
    }
    ensure!(made == 1, "{made} rotations");
    // Each is used at the other sidecar. Sixteen are answered while answers to them may be under way, an older one is theft.
    let (mut newest, mut access) = (successors.pop_first().context("a successor")?, String::new());
    for number in 0..17_usize {
        let next = refresh(sidecars[number % 2], &newest).await?;
        expect(&next, 200, None)?;
        newest = next.field("/refresh_token").context("a refresh token")?;
        access = next.field("/access_token").context("an access token")?;
    }
    expect(&stack.send(Call::get("/orders").bearer(&access)).await?, 200, None)?;
    let theft = refresh(&other, &first).await?;
    ensure!(theft.status == 400 && theft.field("/error").as_deref() == Some("invalid_grant"), "{}", theft.text());
    let newest = refresh(&stack.sidecar, &newest).await?;
    ensure!(newest.status == 400, "the newest is dead, too: {}", newest.text());
    until("the gate to know", async || {
        expect(&stack.send(Call::get("/orders").bearer(&access)).await?, 401, Some("session_terminated"))
    })
    .await?;
    expect(&stack.send(Call::get("/orders").bearer(&elsewhere.token)).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_a_second_factor_ends_well_and_a_thief_of_the_old_cookie_gets_nothing() -> Result<()> {
    let mut stack = Stack::builder()
        .store(Store::Redis)
        .concurrency(4)
        .routes(json!([
            {
                "name": "login", "match": {"path": {"exact": "/login"}}, "authentication": "public",
                "session_commands": {"allow": ["login"], "amr": ["pwd"]},
            },
            {
                "name": "second-factor", "match": {"path": {"prefix": "/2fa"}}, "accept_pending_2fa": true,
                "session_commands": {"allow": ["elevate"], "amr": ["otp"]},
            },
        ]))
        .start()
        .await?;
    stack.wait_until_it_serves().await?;
    let own = |path: &str| Call::post(path).header("sec-fetch-site", "same-origin");
    let says = r#"x-session-login: "alice";amr="pwd";pending_2fa"#;
    let login = stack.send(own("/login").header(REPLY_HEADER, says)).await?;
    let pending = kept(&login).context("a cookie")?;
    let in_flight = with_cookie(Call::get("/2fa/slow").header(HOLD, "1"), &pending);
    let in_flight = in_flight.send(stack.address(), Http::V1);
    let address = stack.address();
    let attacks = |count: usize| {
        let call = with_cookie(Call::get("/2fa"), &pending);
        let private = with_cookie(Call::get("/orders"), &pending);
        try_join_all((0..count).flat_map(move |number| {
            let http = if number.is_multiple_of(2) { Http::V1 } else { Http::V2 };
            let (call, private) = (call.clone(), private.clone());
            [(call, http), (private, http)].map(|(call, http)| async move { call.send(address, http).await })
        }))
    };
    let elevation = async {
        stack.upstream.wait_for("/2fa/slow").await?;
        let call = own("/2fa").header(REPLY_HEADER, "x-session-elevate: ?1;amr=\"otp\"");
        let (elevated, seen) = tokio::try_join!(stack.send(with_cookie(call, &pending)), attacks(25))?;
        stack.upstream.release();
        Ok((elevated, seen))
    };
    let (slow, (elevated, during)) = tokio::try_join!(in_flight, elevation)?;
    expect(&slow, 200, None)?;
    ensure!(kept(&slow).is_none(), "it began before, and learns nothing: {:?}", slow.headers);
    let whole = kept(&elevated).context("the successor")?;
    let after = attacks(25).await?;
    for reply in during.iter().chain(&after) {
        ensure!(kept(reply).is_none_or(|token| token.is_empty()), "a thief gets a token: {:?}", reply.headers);
    }
    for (number, reply) in during.iter().enumerate() {
        match reply.status {
            200 => ensure!(number % 2 == 0, "{number}: a page that waits for the second factor"),
            // The old session is suspended while it is replaced.
            403 => expect(reply, 403, Some("session_suspended"))?,
            _ => expect(reply, 401, None)?,
        }
    }
    ensure!(after.iter().all(|reply| reply.status == 401), "dead as soon as the answer has left");
    expect(&stack.send(with_cookie(Call::get("/orders"), &whole)).await?, 200, None)?;
    stack.assert_still_serving().await
}
