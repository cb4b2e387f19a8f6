//! The story: each step is a request, what it shows, and what must come back. It is printed as curl
//! lines by `demo run` and played by `demo story`.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::browser_story;
use super::gate::Gate;
use crate::client::{Call, Http, Reply};
use crate::poll::until;
use crate::upstream::header_values;

/// One step.
struct Step {
    title: &'static str,
    /// curl's arguments; `GATE` stands for the gate's address.
    curl: &'static str,
    call: fn(&str) -> Call,
    status: u16,
    /// What else must hold of the reply.
    check: fn(&Reply) -> Result<()>,
}

const LOGIN: &str = r#"TOKEN=$(curl -si http://GATE/api/login -H 'content-type: application/json' \
    -d '{"user": "alice", "password": "wonderland", "scopes": ["read"]}' | sed -n 's/^x-session-token: //p' | tr -d '\r')"#;

const STEPS: &[Step] = &[
    Step {
        title: "with the token, the call reaches the application, which is told who calls",
        curl: r#"curl -i http://GATE/orders -H "authorization: Bearer $TOKEN""#,
        call: |token| Call::get("/orders").bearer(token),
        status: 200,
        check: |reply| upstream_saw(reply, "x-user-id", &["alice"]),
    },
    Step {
        title: "writing needs the scope `write`, which this token lacks",
        curl: r#"curl -i -X POST http://GATE/orders -H "authorization: Bearer $TOKEN""#,
        call: |token| Call::post("/orders").bearer(token),
        status: 403,
        check: |reply| code(reply, "scope_insufficient"),
    },
    Step {
        title: "a token whose signature was tampered with is refused",
        curl: r#"curl -i http://GATE/orders -H "authorization: Bearer ${TOKEN%????????}AAAAAAAA""#,
        call: |token| Call::get("/orders").bearer(&forged(token)),
        status: 401,
        check: |reply| code(reply, "token_signature_invalid"),
    },
    Step {
        title: "no token, no answer",
        curl: "curl -i http://GATE/orders",
        call: |_| Call::get("/orders"),
        status: 401,
        check: |reply| code(reply, "credential_missing"),
    },
    Step {
        title: "a client that claims to be somebody else is still itself",
        curl: r#"curl -i http://GATE/orders -H "authorization: Bearer $TOKEN" -H 'x-user-id: mallory'"#,
        call: |token| Call::get("/orders").bearer(token).header("x-user-id", "mallory"),
        status: 200,
        check: |reply| upstream_saw(reply, "x-user-id", &["alice"]),
    },
    Step {
        title: "the application answers a logout with `x-session-logout: current`: the session has ended",
        curl: r#"curl -i -X POST http://GATE/logout -H "authorization: Bearer $TOKEN""#,
        call: |token| Call::post("/logout").bearer(token),
        status: 303,
        check: |reply| {
            ensure!(reply.header("x-session-logout").is_none(), "the gate's own header has left: {:?}", reply.headers);
            Ok(())
        },
    },
    Step {
        title: "the same token is refused from now on, though its time is not over",
        curl: r#"curl -i http://GATE/orders -H "authorization: Bearer $TOKEN""#,
        call: |token| Call::get("/orders").bearer(token),
        status: 401,
        check: |reply| code(reply, "token_revoked"),
    },
];

/// The story as lines for a shell.
pub fn curl_lines(gate: SocketAddr) -> String {
    let mut lines = format!("# alice logs in, for reading only\n{LOGIN}\n");
    for step in STEPS {
        lines += &format!("# {} ({})\n{}\n", step.title, step.status, step.curl);
    }
    lines.replace("GATE", &gate.to_string())
}

/// Plays the story and prints a line for each step; answers whether each went as it should.
pub async fn play(gate: &Gate) -> bool {
    let well = play_calls(gate.plain).await;
    browser_story::play(gate, |title, outcome| report(title, None, outcome.as_ref().copied())).await && well
}

async fn play_calls(gate: SocketAddr) -> bool {
    let login = log_in(gate, json!({"user": "alice", "password": "wonderland", "scopes": ["read"]})).await;
    let mut all_well = report("alice logs in, for reading only", Some(200), login.as_ref().map(|_| ()));
    let token = login.unwrap_or_default();
    for step in STEPS {
        let outcome = play_step(step, &token, gate).await;
        all_well &= report(step.title, Some(step.status), outcome.as_ref().copied());
    }
    all_well
}

/// Waits until somebody can log in and make a call.
pub async fn wait_until_it_serves(gate: SocketAddr) -> Result<()> {
    let mut token = None;
    until("the gate to serve", async || {
        if token.is_none() {
            token = Some(log_in(gate, json!({"user": "bob", "password": "builder"})).await?);
        }
        let token = token.as_deref().unwrap_or_default();
        let reply = Call::get("/orders").bearer(token).send(gate, Http::V1).await?;
        ensure!(reply.status == 200, "the gate answers {}: {}", reply.status, reply.text());
        Ok(())
    })
    .await
}

async fn log_in(gate: SocketAddr, credentials: Value) -> Result<String> {
    let reply = Call::post("/api/login").json(&credentials).send(gate, Http::V1).await?;
    let token = reply.header("x-session-token").map(str::to_owned);
    token.with_context(|| format!("the answer to a login is {}: {}", reply.status, reply.text()))
}

async fn play_step(step: &Step, token: &str, gate: SocketAddr) -> Result<()> {
    let reply = (step.call)(token).send(gate, Http::V1).await?;
    ensure!(reply.status == step.status, "the answer is {}: {}", reply.status, reply.text());
    (step.check)(&reply)
}

fn report(title: &str, status: Option<u16>, outcome: Result<(), &anyhow::Error>) -> bool {
    let status = status.map(|status| format!("{status} ")).unwrap_or_default();
    match outcome {
        Ok(()) => println!("✓ {status}{title}"),
        Err(error) => println!("✗ {status}{title}: {error:#}"),
    }
    outcome.is_ok()
}

fn code(reply: &Reply, expected: &str) -> Result<()> {
    let code = reply.code();
    ensure!(code.as_deref() == Some(expected), "the code is {code:?}, not {expected}");
    Ok(())
}

fn upstream_saw(reply: &Reply, header: &str, expected: &[&str]) -> Result<()> {
    let seen = reply.json()?;
    let values = header_values(&seen, header);
    ensure!(values == expected, "the application saw {header}: {values:?}");
    Ok(())
}

/// The token with other last characters, as the shell's `${TOKEN%????????}AAAAAAAA` makes it.
fn forged(token: &str) -> String {
    let kept: String = token.chars().take(token.chars().count().saturating_sub(8)).collect();
    kept + "AAAAAAAA"
}
