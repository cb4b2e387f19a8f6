//! Pages of other sites, and what a browser fetches ahead, change nothing.

use anyhow::{Result, ensure};
use session_gate_tests::poll::until;

use crate::browser::Browser;
use crate::scene::{EVIL, SIBLING, Scene};

const LOGIN: &str = "<form method=post action=\"GATE/login\"><input name=user value=bob><input name=password \
                     value=builder><button>Win</button></form>";
/// A frame without an origin.
const NOWHERE: &str = "<iframe sandbox=\"allow-scripts allow-forms allow-top-navigation\" srcdoc='<form method=post \
                       target=_top action=\"GATE/login\"><input name=user value=bob><input name=password \
                       value=builder></form><script>document.forms[0].submit()</script>'></iframe>";
const LOGOUT: &str = "<form method=post action=\"GATE/logout\"><button>Win</button></form>";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn no_form_of_another_host_logs_anybody_in_or_out() -> Result<()> {
    let mut scene =
        Scene::with_pages(&[("/login-form", LOGIN), ("/nowhere", NOWHERE), ("/logout-form", LOGOUT)]).await?;
    let browser = scene.browser().await?;
    for host in [EVIL, SIBLING] {
        browser.open_at(host, "/login-form").await?;
        browser.press("Win").await?;
        browser.is_at("/login").await?;
        browser.sees("csrf_refused").await?;
    }
    browser.open_at(EVIL, "/nowhere").await?;
    browser.is_at("/login").await?;
    browser.sees("csrf_refused").await?;
    ensure!(browser.jar().await?.is_empty(), "no cookie was set: {:?}", browser.jar().await?);

    browser.log_in("alice", "wonderland").await?;
    for host in [EVIL, SIBLING] {
        browser.open_at(host, "/logout-form").await?;
        browser.press("Win").await?;
        browser.sees("csrf_refused").await?;
        is_signed_in(&browser).await?;
        browser.open_at(host, "/login-form").await?;
        browser.press("Win").await?;
        browser.sees("csrf_refused").await?;
        is_signed_in(&browser).await?;
    }
    scene.ends_well().await
}

async fn is_signed_in(browser: &Browser) -> Result<()> {
    browser.open("/account").await?;
    browser.sees("signed in as alice").await.map(|_| ())
}

/// Waits until the careless application was asked to log out so many times.
async fn asked(scene: &Scene, times: usize) -> Result<Vec<String>> {
    until("the application to be asked", async || {
        let seen = scene.careless_logouts();
        ensure!(seen.len() >= times, "{seen:?}");
        Ok(seen)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Chromium: make test-browser"]
async fn no_image_frame_or_prefetch_logs_anybody_out_but_a_link_that_is_followed() -> Result<()> {
    const EMBEDDED: &str = "<img src=\"GATE/careless-logout\"><iframe src=\"GATE/careless-logout\"></iframe>\
                            <link rel=prefetch href=\"GATE/careless-logout\">";
    const LINK: &str = "<a href=\"GATE/careless-logout\">Win</a>";
    let mut scene = Scene::with_pages(&[("/embedded", EMBEDDED), ("/link", LINK)]).await?;
    let browser = scene.browser().await?;
    browser.log_in("alice", "wonderland").await?;
    let mut times = 0;
    browser.open_at(EVIL, "/embedded").await?;
    times += 2;
    asked(&scene, times).await?;
    is_signed_in(&browser).await?;
    browser.open_at(EVIL, "/link").await?;
    times = scene.careless_logouts().len() + 1;
    browser.follow("Win").await?;
    browser.sees("Careless").await?;
    asked(&scene, times).await?;
    is_signed_in(&browser).await?;

    // The same on a page of the application's own.
    for (script, purpose) in [
        ("new Image().src = '/careless-logout?image'", ""),
        ("document.body.append(Object.assign(document.createElement('iframe'), {src: '/careless-logout?frame'}))", ""),
        ("fetch('/careless-logout?fetch')", ""),
        (
            "document.head.append(Object.assign(document.createElement('link'), \
             {rel: 'prefetch', href: '/careless-logout?link'}))",
            "prefetch",
        ),
        (
            "document.head.append(Object.assign(document.createElement('script'), {type: 'speculationrules', \
             textContent: JSON.stringify({prefetch: [{urls: ['/careless-logout?ahead'], eagerness: 'immediate'}]})}))",
            "prefetch",
        ),
        (
            "document.head.append(Object.assign(document.createElement('script'), {type: 'speculationrules', \
             textContent: JSON.stringify({prerender: [{urls: ['/careless-logout?drawn'], eagerness: 'immediate'}]})}))",
            "prefetch;prerender",
        ),
    ] {
        let before = scene.careless_logouts().len();
        browser.run(script).await?;
        let seen = asked(&scene, before + 1).await?;
        ensure!(seen.last().is_some_and(|seen| seen.starts_with(purpose)), "{script}: {seen:?}");
        is_signed_in(&browser).await?;
    }
    browser.run("document.body.innerHTML = '<a href=\"/careless-logout\">Sign out by a link</a>'").await?;
    browser.follow("Sign out by a link").await?;
    browser.sees("Careless").await?;
    browser.has_no_session_cookie().await?;
    scene.ends_well().await
}
