//! A browser stays signed in while its tokens come and go.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::poll::until;

use crate::browser::{Browser, COOKIE};
use crate::scene::{EVIL, Scene};

/// Puts the session's token into the cookie as it is that many seconds before its end, or after it.
async fn age_token(scene: &Scene, browser: &Browser, left: i64) -> Result<String> {
    let parts = Parts::of(&browser.token().await?)?;
    let issued = parts.claims.get("iat").and_then(Value::as_i64).context("iat")?;
    let claims = parts.with_claim("exp", json!(issued + left));
    let token = EcKey::read(scene.demo.sidecar().key_file())?.token(&parts.header, &claims)?;
    browser.set_token(&token).await?;
    Ok(token)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn a_page_that_polls_gets_one_new_cookie_and_stays_signed_in() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    let before = browser.cookie(COOKIE).await?.context("a cookie")?;
    let due = age_token(&scene, &browser, 120).await?;
    until("the page to have got a new cookie", async || {
        ensure!(browser.token().await? != due, "it is the one that is due");
        Ok(())
    })
    .await?;
    let next = browser.cookie(COOKIE).await?.context("a cookie")?;
    for name in ["domain", "path", "secure", "httpOnly", "sameSite", "session"] {
        ensure!(next.get(name) == before.get(name), "{name} of {next}");
    }
    ensure!(browser.fetch("/account/status").await?.0 == 200);
    browser.sees("Still signed in").await?;
    ensure!(scene.renewed().await? == 1, "{} new tokens", scene.renewed().await?);
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn twelve_tabs_that_open_after_a_night_are_all_signed_in_by_one_renewal() -> Result<()> {
    let mut scene = Scene::with_pages(&[("/blank", "")]).await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    // No page of the gate's asks for anything meanwhile.
    browser.open_at(EVIL, "/blank").await?;
    let expired = age_token(&scene, &browser, -40_000).await?;
    let open = "for (let tab = 0; tab < 12; tab++) window.open(arguments[0] + tab)";
    browser.client().execute(open, vec![json!(browser.url("/account?tab="))]).await?;
    let this = browser.client().window().await?;
    let tabs = browser.client().windows().await?;
    ensure!(tabs.len() == 13, "{} windows", tabs.len());
    for tab in tabs.into_iter().filter(|tab| *tab != this) {
        browser.client().switch_to_window(tab).await?;
        browser.sees("signed in as alice").await?;
        let url = browser.client().current_url().await?;
        ensure!(url.path() == "/account", "{url}");
    }
    ensure!(browser.token().await? != expired);
    ensure!(scene.renewed().await? == 1, "{} new tokens", scene.renewed().await?);
    scene.ends_well().await
}
