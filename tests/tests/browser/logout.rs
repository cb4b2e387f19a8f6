//! Who signs out is signed out, in every tab and on the way back; and nobody is who did not want to.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::browser::DEVICE;
use crate::login::refused;
use crate::scene::{Scene, Setup};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn whoever_signs_out_in_one_tab_is_signed_out_in_all() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    let first = browser.client().window().await?;
    let second = browser.client().new_window(true).await?.handle;
    browser.client().switch_to_window(second.clone()).await?;
    browser.open("/account?tab=2").await?;
    browser.sees("Still signed in").await?;
    browser.client().switch_to_window(first).await?;
    browser.press("Sign out").await?;
    browser.is_at("/").await?;
    browser.sees("You are not signed in").await?;
    browser.has_no_session_cookie().await?;
    ensure!(browser.cookie(DEVICE).await?.is_some(), "the device stays known");

    // The page that polls says so, and leads to the form and back.
    browser.client().switch_to_window(second).await?;
    browser.sees("You have been signed out").await?;
    ensure!(browser.fetch("/account/status").await? == refused(401, "credential_missing"));
    browser.follow("Sign in").await?;
    browser.is_at("/login?next=%2Faccount%3Ftab%3D2").await?;
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn the_way_back_does_not_show_what_was_private() -> Result<()> {
    let mut scene = Scene::start().await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    browser.open("/account?private").await?;
    browser.sees("Still signed in").await?;
    browser.press("Sign out").await?;
    browser.is_at("/").await?;
    browser.client().back().await?;
    browser.is_at("/login?next=%2Faccount%3Fprivate").await?;
    let text = browser.sees("Sign in").await?;
    ensure!(!text.contains("alice,"), "{text}");
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn what_a_browser_has_kept_of_a_page_goes_at_logout_where_the_route_says_so() -> Result<()> {
    let clearing = json!({
        "name": "clearing-logout", "match": {"path": {"exact": "/logout"}, "methods": ["POST"]}, "authentication": "public",
        "session_commands": {"allow": ["logout"], "clear_site_data": ["cache", "storage"]},
    });
    for (routes, cleared) in [(Vec::new(), false), (vec![clearing], true)] {
        let mut scene = Scene::start_with(Setup { routes, ..Setup::default() }).await?;
        let browser = scene.browser().await?;
        browser.log_in("alice", "wonderland").await?;
        browser.run("localStorage.setItem('draft', 'kept')").await?;
        // A page of which the application does not say whether it may be kept: the gate has it kept by this browser alone.
        browser.open("/plain").await?;
        browser.open("/account").await?;
        browser.press("Sign out").await?;
        browser.is_at("/").await?;
        let draft = browser.run("return localStorage.getItem('draft')").await?;
        ensure!(draft == if cleared { json!(null) } else { json!("kept") }, "{cleared}: {draft}");
        ensure!(browser.cookie(DEVICE).await?.is_some(), "cookies are not cleared");
        if cleared {
            browser.client().back().await?;
            browser.client().back().await?;
            browser.is_at("/login?next=%2Fplain").await?;
        }
        scene.ends_well().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn signing_out_elsewhere_and_everywhere_and_a_new_password_reach_the_other_browser() -> Result<()> {
    let mut scene = Scene::start().await?;
    let (here, there) = (scene.browser().await?, scene.browser().await?);
    here.log_in("alice", "wonderland").await?;
    let mut password = "wonderland";
    for step in ["Sign out elsewhere", "Change and sign out elsewhere", "Sign out everywhere"] {
        there.log_in("alice", password).await?;
        there.sees("Still signed in").await?;
        if step.starts_with("Change") {
            here.send(&[("password", "wrong"), ("new", "looking-glass")], step).await?;
            here.sees("That is not right").await?;
            here.send(&[("password", password), ("new", "looking-glass")], step).await?;
            password = "looking-glass";
            here.is_at("/account").await?;
        } else {
            here.press(step).await?;
        }
        there.sees("You have been signed out").await?;
        there.open("/account").await?;
        there.is_at("/login?next=%2Faccount").await?;
        if step != "Sign out everywhere" {
            here.open("/account").await?;
            here.sees("Still signed in").await?;
        }
    }
    here.is_at("/").await?;
    here.open("/account").await?;
    here.is_at("/login?next=%2Faccount").await?;
    scene.ends_well().await
}
