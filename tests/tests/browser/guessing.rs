//! A password that was guessed at, as a browser sees it.

use anyhow::{Result, ensure};

use crate::browser::DEVICE;
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn a_locked_account_is_a_page_for_strangers_and_opens_in_its_owners_browser() -> Result<()> {
    let mut scene = Scene::start().await?;
    let (owner, stranger) = (scene.browser().await?, scene.browser().await?);
    owner.log_in("alice", "wonderland").await?;
    owner.press("Sign out").await?;
    owner.is_at("/").await?;
    for guess in 1..=5 {
        stranger.open("/login").await?;
        stranger.send(&[("user", "alice"), ("password", &format!("guess-{guess}"))], "Sign in").await?;
        stranger.sees("That is not right").await?;
    }
    let mut seen = Vec::new();
    for password in ["guess-6", "wonderland"] {
        stranger.open("/login").await?;
        stranger.send(&[("user", "alice"), ("password", password)], "Sign in").await?;
        let text = stranger.sees("login_locked").await?;
        seen.push(text.replace(|c: char| c.is_ascii_digit(), ""));
    }
    ensure!(seen.first() == seen.last(), "a right password looks as a wrong one: {seen:?}");
    ensure!(stranger.jar().await?.is_empty(), "no cookie was set: {:?}", stranger.jar().await?);
    ensure!(owner.cookie(DEVICE).await?.is_some(), "the owner's browser is known");
    owner.log_in("alice", "wonderland").await?;
    owner.sees("signed in as alice").await?;
    scene.ends_well().await
}
