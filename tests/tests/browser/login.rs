//! Who is to log in is led to the form and back, and keeps a cookie that only the browser and the gate see.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::browser::{Browser, COOKIE, DEVICE};
use crate::scene::{EVIL, Scene};

/// Fails where a cookie is not kept as ours are to be.
fn ensure_kept_as_ours(cookie: &Value, same_site: &str) -> Result<()> {
    for (name, value) in
        [("path", json!("/")), ("secure", json!(true)), ("httpOnly", json!(true)), ("sameSite", json!(same_site))]
    {
        ensure!(cookie.get(name) == Some(&value), "{name} of {cookie}");
    }
    let domain = cookie.get("domain").and_then(Value::as_str).unwrap_or_default();
    ensure!(!domain.is_empty() && !domain.starts_with('.'), "it is for one host: {cookie}");
    ensure!(cookie.get("size").and_then(Value::as_u64).is_some_and(|size| size <= 4096), "{cookie}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn whoever_must_log_in_is_led_to_the_form_and_back_with_a_cookie_that_no_script_sees() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.open("/account?tab=1&name=%C3%A9").await?;
    browser.is_at("/login?next=%2Faccount%3Ftab%3D1%26name%3D%25C3%25A9").await?;
    let first = browser.client().window().await?;
    let second = browser.client().new_window(true).await?.handle;
    browser.client().switch_to_window(second.clone()).await?;
    browser.open("/account?tab=2").await?;
    ensure!(browser.jar().await?.is_empty(), "nothing is kept of where anybody was going");

    // Each tab is led back to its own page.
    browser.send(&[("user", "alice"), ("password", "wonderland")], "Sign in").await?;
    browser.is_at("/account?tab=2").await?;
    browser.client().switch_to_window(first).await?;
    browser.send(&[("user", "alice"), ("password", "wonderland")], "Sign in").await?;
    browser.is_at("/account?tab=1&name=%C3%A9").await?;
    browser.sees("signed in as alice").await?;

    let (cookie, device) = (browser.cookie(COOKIE).await?, browser.cookie(DEVICE).await?);
    let (cookie, device) = (cookie.context("a session cookie")?, device.context("a device cookie")?);
    ensure_kept_as_ours(&cookie, "Lax")?;
    ensure_kept_as_ours(&device, "Lax")?;
    ensure!(cookie.get("session") == Some(&json!(true)), "it ends with the browser: {cookie}");
    ensure!(browser.jar().await?.len() == 2, "and no others: {:?}", browser.jar().await?);
    ensure!(browser.run("return document.cookie").await? == json!(""), "a script sees none");
    let seen = browser.run("return fetch('/orders').then(answer => answer.json())").await?.to_string();
    ensure!(seen.contains("alice") && !seen.contains(COOKIE), "the application sees none: {seen}");
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn whoever_wants_to_stay_signed_in_has_a_cookie_that_outlives_the_browser() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.open("/login").await?;
    let remember = browser.client().find(fantoccini::Locator::Css("input[name=remember]")).await?;
    remember.click().await?;
    browser.send(&[("user", "alice"), ("password", "wonderland")], "Sign in").await?;
    browser.is_at("/account").await?;
    let cookie = browser.cookie(COOKIE).await?.context("a session cookie")?;
    ensure_kept_as_ours(&cookie, "Lax")?;
    let now = browser.run("return Date.now() / 1000").await?.as_f64().context("a time")?;
    let days = (cookie.get("expires").and_then(Value::as_f64).context("an end")? - now) / 86_400.0;
    ensure!((89.0..=90.1).contains(&days), "as long as the session at most: {days} days");
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn a_second_factor_leads_on_with_another_cookie_and_the_first_is_dead() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.open("/account").await?;
    browser.send(&[("user", "carol"), ("password", "christmas")], "Sign in").await?;
    browser.is_at("/2fa?next=%2Faccount").await?;
    let pending = browser.token().await?;
    // Nothing else opens, and a page's own requests are told why.
    browser.open("/account").await?;
    browser.is_at("/2fa?next=%2Faccount").await?;
    ensure!(browser.fetch("/account/status").await? == refused(401, "session_pending_2fa"));
    browser.send(&[("code", "000000")], "Go on").await?;
    browser.sees("That is not right").await?;
    browser.send(&[("code", "123456")], "Go on").await?;
    browser.is_at("/account").await?;
    browser.sees("signed in as carol").await?;
    ensure!(browser.token().await? != pending, "the session has another id");

    let thief = scene.browser().await?;
    thief.set_token(&pending).await?;
    thief.open("/2fa").await?;
    thief.is_at("/login?next=%2F2fa").await?;
    thief.has_no_session_cookie().await?;
    scene.ends_well().await
}

/// What [`Browser::fetch`] sees of a refusal.
pub fn refused(status: u64, code: &str) -> (u64, String, Option<String>) {
    (status, "application/problem+json".to_owned(), Some(code.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn an_identity_provider_of_another_site_leads_to_a_page_that_is_signed_in() -> Result<()> {
    let pages = [
        ("/provider", "<a href=\"GATE/callback\">Back</a>"),
        ("/image", "<img src=\"GATE/callback\" onload=\"document.title='done'\" onerror=\"document.title='done'\">"),
    ];
    let mut scene = Scene::with_pages(&pages).await?;
    let browser = scene.browser().await?;
    browser.open_at(EVIL, "/image").await?;
    browser.has_title("done").await?;
    ensure!(browser.jar().await?.is_empty(), "an image logs nobody in: {:?}", browser.jar().await?);
    browser.open_at(EVIL, "/provider").await?;
    browser.follow("Back").await?;
    browser.is_at("/account").await?;
    browser.sees("signed in as alice").await?;
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn a_dead_cookie_locks_nobody_out_and_goes_with_a_page_load_alone() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    let ended = browser.token().await?;
    scene.end_all_sessions_of("alice").await?;
    for dead in [ended.as_str(), "garbage"] {
        browser.open_blank().await?;
        browser.set_token(dead).await?;
        // Where a login is optional the page opens, and says that nobody is signed in.
        browser.open("/").await?;
        browser.sees("You are not signed in").await?;
        ensure!(browser.fetch("/account/status").await?.0 == 401);
        ensure!(browser.token().await? == dead, "an answer to a script may come late: it removes nothing");
        browser.open("/account").await?;
        browser.is_at("/login?next=%2Faccount").await?;
        browser.has_no_session_cookie().await?;
        browser.send(&[("user", "alice"), ("password", "wonderland")], "Sign in").await?;
        browser.is_at("/account").await?;
    }
    // Two cookies of the name, as after a change of `cookie.partitioned`.
    let partition = json!({"sameSite": "None", "partitionKey": partition(&browser)});
    browser.set_cookie("another", &partition).await?;
    ensure!(browser.jar().await?.iter().filter(|cookie| cookie.get("name") == Some(&json!(COOKIE))).count() == 2);
    ensure!(browser.fetch("/account/status").await? == refused(401, "duplicate_cookie"));
    browser.open("/account").await?;
    browser.is_at("/login?next=%2Faccount").await?;
    browser.has_no_session_cookie().await?;
    scene.ends_well().await
}

fn partition(browser: &Browser) -> Value {
    let site = browser.url_at("shop.example", "");
    json!({"topLevelSite": site.rsplit_once(':').map_or(site.as_str(), |(site, _)| site), "hasCrossSiteAncestor": false})
}
