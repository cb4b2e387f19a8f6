//! The story of a browser, as `demo story` plays it over TLS: what a form is answered, and what is kept of it.

use anyhow::{Context as _, Result, ensure};

use super::gate::Gate;
use crate::client::{Call, Reply};

const COOKIE: &str = "__Host-session-gate";

/// Plays it. Each step's title is told to `report` with how it went.
pub async fn play(gate: &Gate, report: impl Fn(&str, Result<()>) -> bool) -> bool {
    let mut all_well = report("a page that needs a login sends the browser to log in", to_log_in(gate).await);
    let first = log_in(gate, "alice", "wonderland").await;
    let second = log_in(gate, "alice", "wonderland").await;
    let (Ok(first), Ok(second)) = (&first, &second) else {
        return report("the form logs in", first.and(second).map(|_| ()));
    };
    all_well &= report("the form logs in, and the cookie opens the page", opens(gate, first).await);
    all_well &= report("a changed password signs out elsewhere", change_password(gate, first, second).await);
    all_well &= report("who signs out everywhere is signed out", sign_out(gate, first).await);
    all_well &= report("a second factor is asked for, and gives another session", second_factor(gate).await);
    all_well & report("after five wrong passwords a right one is refused, too", guess(gate).await)
}

async fn send(gate: &Gate, call: Call) -> Result<Reply> {
    call.send_with_tls(gate.tls, &gate.certificate).await
}

fn page(path: &str) -> Call {
    Call::get(path)
        .header("accept", "text/html")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
}

fn form(path: &str, fields: &str) -> Call {
    let call = Call::post(path).header("content-type", "application/x-www-form-urlencoded");
    call.header("sec-fetch-site", "same-origin").body(fields.to_owned())
}

fn with(call: Call, token: &str) -> Call {
    call.header("cookie", format!("{COOKIE}={token}"))
}

fn leads_to(reply: &Reply, status: u16, location: &str) -> Result<()> {
    ensure!(reply.status == status, "the answer is {}: {}", reply.status, reply.text());
    ensure!(reply.header("location") == Some(location), "it leads to {:?}", reply.header("location"));
    Ok(())
}

/// The token in the session cookie that an answer sets.
fn kept(reply: &Reply) -> Result<String> {
    let lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let mut ours = lines.filter_map(|line| line.strip_prefix(COOKIE)?.strip_prefix('='));
    let line = ours.next().with_context(|| format!("{} sets no cookie: {}", reply.status, reply.text()))?;
    ensure!(line.contains("; Secure; HttpOnly; SameSite=Lax"), "the cookie is {line}");
    Ok(line.split(';').next().unwrap_or_default().to_owned())
}

async fn to_log_in(gate: &Gate) -> Result<()> {
    leads_to(&send(gate, page("/account")).await?, 302, "/login?next=%2Faccount")
}

async fn log_in(gate: &Gate, user: &str, password: &str) -> Result<String> {
    let reply = send(gate, form("/login?next=%2Faccount", &format!("user={user}&password={password}"))).await?;
    leads_to(&reply, 303, "/account")?;
    kept(&reply)
}

async fn opens(gate: &Gate, token: &str) -> Result<()> {
    let reply = send(gate, with(page("/account"), token)).await?;
    ensure!(reply.status == 200 && reply.text().contains("signed in as"), "{}: {}", reply.status, reply.text());
    Ok(())
}

async fn change_password(gate: &Gate, here: &str, elsewhere: &str) -> Result<()> {
    let sent = form("/account/password", "password=wonderland&new=looking-glass");
    leads_to(&send(gate, with(sent, here)).await?, 303, "/account")?;
    opens(gate, here).await?;
    leads_to(&send(gate, with(page("/account"), elsewhere)).await?, 302, "/login?next=%2Faccount")
}

async fn sign_out(gate: &Gate, token: &str) -> Result<()> {
    let reply = send(gate, with(form("/logout", "which=all"), token)).await?;
    leads_to(&reply, 303, "/")?;
    let lines: Vec<_> = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()).collect();
    ensure!(lines.iter().all(|line| line.contains("; Max-Age=0;")) && !lines.is_empty(), "{lines:?}");
    leads_to(&send(gate, with(page("/account"), token)).await?, 302, "/login?next=%2Faccount")
}

async fn second_factor(gate: &Gate) -> Result<()> {
    let pending = log_in(gate, "carol", "christmas").await?;
    leads_to(&send(gate, with(page("/account"), &pending)).await?, 302, "/2fa?next=%2Faccount")?;
    let reply = send(gate, with(form("/2fa?next=%2Faccount", "code=123456"), &pending)).await?;
    leads_to(&reply, 303, "/account")?;
    opens(gate, &kept(&reply)?).await?;
    leads_to(&send(gate, with(page("/account"), &pending)).await?, 302, "/login?next=%2Faccount")
}

async fn guess(gate: &Gate) -> Result<()> {
    for number in 1..=5 {
        let reply = send(gate, form("/login", &format!("user=bob&password={number}"))).await?;
        ensure!(reply.status == 401, "guess {number} is answered {}", reply.status);
    }
    let reply = send(gate, form("/login", "user=bob&password=builder")).await?;
    ensure!(reply.status == 429 && reply.code().as_deref() == Some("login_locked"), "{}", reply.text());
    Ok(())
}
