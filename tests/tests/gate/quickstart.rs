//! The backend of `docs/quickstart.md`, behind the gate as the document puts it.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use session_gate_tests::poll::until;
use session_gate_tests::{Call, Http, Reply, Stack, documents, ports};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::login_story::expect;

/// The port on which the document's backend listens.
const BACKEND: &str = "9100";

/// A form as curl sends it.
fn form(path: &str, body: &str) -> Call {
    Call::post(path).header("content-type", "application/x-www-form-urlencoded").body(body.as_bytes().to_vec())
}

/// The cookies that an answer sets, as a browser sends them.
fn kept(reply: &Reply) -> String {
    let lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_backend_logs_in_and_out_by_one_header() -> Result<()> {
    let stack = Stack::builder().start().await?;
    let blocks = documents::blocks(&documents::read("quickstart.md")?, "python");
    let [program] = <[String; 1]>::try_from(blocks).ok().context("one program")?;
    let port = ports::free_port()?;
    ensure!(program.contains(BACKEND));
    let mut backend = Command::new("python3");
    backend.args(["-c", &program.replace(BACKEND, &port.to_string())]).stderr(Stdio::null()).kill_on_drop(true);
    let _backend = backend.spawn().context("python3")?;
    until("the backend to listen", async || Ok(TcpStream::connect(("127.0.0.1", port)).await?)).await?;
    let gate = stack.another_envoy_with(|config| config.set_cluster_port("app", port)).await?;
    let send = async |call: Call| call.send(gate.address(), Http::V1).await;
    until("the gate to serve", async || expect(&send(Call::get("/login")).await?, 200, None)).await?;

    expect(&send(Call::get("/account")).await?, 401, Some("credential_missing"))?;
    let login = send(form("/login", "user=zoë&password=correct horse")).await?;
    expect(&login, 303, None)?;
    let cookies = kept(&login);
    let account = |cookies: &str| Call::get("/account").header("cookie", cookies);
    let page = send(account(&cookies)).await?;
    assert_eq!((page.status, page.text().contains("<p>Hello zoë</p>")), (200, true), "{}", page.text());
    let logout = Call::post("/logout").header("cookie", &cookies);
    let own = format!("http://{}", gate.address());
    expect(&send(logout.header("origin", &own)).await?, 303, None)?;
    expect(&send(account(&cookies)).await?, 401, Some("token_revoked"))?;

    for guess in 1..=5 {
        expect(&send(form("/login", &format!("user=max&password={guess}"))).await?, 401, None)?;
    }
    expect(&send(form("/login", "user=max&password=battery staple")).await?, 429, Some("login_locked"))
}
