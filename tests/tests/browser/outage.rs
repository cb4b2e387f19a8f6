//! What is refused is a page for people and a problem document for scripts; an outage logs nobody out.

use anyhow::{Result, ensure};
use serde_json::json;
use session_gate_tests::poll::until;

use crate::login::refused;
use crate::scene::{Scene, Setup};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn a_refusal_is_a_page_for_people_and_a_problem_for_scripts() -> Result<()> {
    let limited = json!({
        "name": "limited", "match": {"path": {"exact": "/plain/limited"}}, "rate_limit": ["one"],
    });
    let limits = json!({
        "one": {"requests": 1, "window": "1h", "exact": true},
        "login": {"requests": 1000, "window": "1min", "exact": true},
    });
    let setup = Setup { filter: json!({"rate_limits": limits}), routes: vec![limited], ..Setup::default() };
    let mut scene = Scene::start_with(setup).await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    browser.open("/admin").await?;
    browser.sees("scope_insufficient").await?;
    ensure!(browser.run("return document.contentType").await? == json!("text/html"));
    ensure!(browser.fetch("/admin").await? == refused(403, "scope_insufficient"));
    browser.open("/nowhere").await?;
    browser.sees("no_rule").await?;
    ensure!(browser.fetch("/nowhere").await? == refused(404, "no_rule"));
    browser.open("/plain/limited").await?;
    browser.open("/plain/limited").await?;
    browser.sees("rate_limited").await?;
    ensure!(browser.run("return document.contentType").await? == json!("text/html"));
    ensure!(browser.fetch("/plain/limited").await? == refused(429, "rate_limited"));
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn an_outage_is_a_page_and_the_cookie_stays_good() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    let token = browser.token().await?;
    scene.demo.sidecar().pause()?;
    // What is sent meanwhile is not believed to be done.
    browser.press("Sign out").await?;
    browser.sees("store_unavailable").await?;
    ensure!(browser.token().await? == token, "nobody believes to be signed out");
    until("the gate to be in doubt", async || {
        browser.open("/account").await?;
        ensure!(browser.client().source().await?.contains("store_unavailable"));
        Ok(())
    })
    .await?;
    ensure!(browser.run("return document.contentType").await? == json!("text/html"));
    ensure!(browser.fetch("/account/status").await? == refused(503, "store_unavailable"));
    ensure!(browser.token().await? == token);
    scene.demo.sidecar().resume()?;
    until("an answer", async || {
        browser.open("/").await?;
        ensure!(!browser.client().source().await?.contains("store_unavailable"));
        Ok(())
    })
    .await?;
    scene.ends_well().await
}
