//! A page within a page of another site, with a cookie of that site's partition.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::browser::COOKIE;
use crate::scene::{EVIL, Scene, Setup};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn whoever_logs_in_within_a_page_of_another_site_is_signed_in_there_alone() -> Result<()> {
    let filter = json!({
        "cookie": {"partitioned": true},
        "security_headers": {"x_frame_options": false, "content_security_policy": "frame-ancestors https://evil.example:*"},
    });
    let pages = vec![("/shows", "<p>Outside</p><iframe src=\"GATE/login\" width=600 height=600></iframe>")];
    let mut scene = Scene::start_with(Setup { filter, pages, ..Setup::default() }).await?;
    let browser = scene.browser().await?;
    browser.open_at(EVIL, "/shows").await?;
    browser.client().enter_frame(0).await?;
    browser.send(&[("user", "alice"), ("password", "wonderland")], "Sign in").await?;
    browser.sees("signed in as alice").await?;
    browser.sees("Still signed in").await?;
    let cookie = browser.cookie(COOKIE).await?.context("a session cookie")?;
    ensure!(cookie.get("sameSite") == Some(&json!("None")), "{cookie}");
    let site = cookie.pointer("/partitionKey/topLevelSite").and_then(Value::as_str);
    ensure!(site == Some("https://evil.example"), "{cookie}");

    // Visited by itself it is another partition's.
    browser.client().enter_parent_frame().await?;
    browser.open("/account").await?;
    browser.is_at("/login?next=%2Faccount").await?;
    browser.open_at(EVIL, "/shows").await?;
    browser.client().enter_frame(0).await?;
    browser.run("location = '/account'").await?;
    browser.sees("signed in as alice").await?;
    browser.press("Sign out").await?;
    browser.sees("You are not signed in").await?;
    browser.has_no_session_cookie().await?;
    scene.ends_well().await
}
