//! A sidecar that can never be asked, by a mistake in the configuration, is named in Envoy's log.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use session_gate_tests::Stack;
use session_gate_tests::envoy::Envoy;
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::Sidecar;

/// Waits for a line of Envoy's log with all of these.
async fn line_of(envoy: &Envoy, parts: &[&str]) -> Result<String> {
    until("a line of the log", async || {
        let output = envoy.output();
        let line = output.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        line.map(str::to_owned).with_context(|| format!("no line with {parts:?} in:\n{output}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_there_is_named_in_the_log() -> Result<()> {
    let stack = Stack::builder()
        .filter(|filter| {
            filter["sidecar"]["cluster"] = json!("session-gate-sidcar");
            Ok(())
        })
        .start()
        .await?;
    let line = line_of(&stack.envoy, &["warning", "no cluster", "\"session-gate-sidcar\""]).await?;
    ensure!(line.contains("sidecar.cluster"), "it says what to do: {line}");
    Ok(())
}

const RIGHT: &str = "a-credential-of-the-filters-role-0123456789";

fn sidecar_with(credential: &str) -> (String, String) {
    ("SESSION_GATE_FILTER_CREDENTIALS".to_owned(), credential.to_owned())
}

async fn refused(stack: &Stack) -> Result<()> {
    let line = line_of(&stack.envoy, &["warning", "\"session-gate-sidecar\"", "401"]).await?;
    ensure!(line.contains("sidecar.credential"), "it says what to do: {line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_missing_is_named_in_the_log() -> Result<()> {
    let (name, value) = sidecar_with(RIGHT);
    let stack = Stack::builder().sidecar_env(&name, &value).start().await?;
    refused(&stack).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_wrong_is_named_in_the_log_and_so_is_that_it_is_right_again() -> Result<()> {
    let (name, value) = sidecar_with("a-credential-that-the-filter-does-not-have-0123");
    let mut stack = Stack::builder()
        .sidecar_env(&name, &value)
        .filter(|filter| {
            filter["sidecar"]["credential"] = json!(RIGHT);
            Ok(())
        })
        .start()
        .await?;
    refused(&stack).await?;
    ensure!(!stack.envoy.output().contains(RIGHT), "no credential is logged");
    let port = stack.sidecar.address().port();
    stack.sidecar.kill().await?;
    let _other = Sidecar::start_on(port, vec![sidecar_with(RIGHT)], stack.dir()).await?;
    line_of(&stack.envoy, &["warning", "\"session-gate-sidecar\"", "answers again"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_down_is_named_in_the_log() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    stack.sidecar.kill().await?;
    line_of(&stack.envoy, &["warning", "\"session-gate-sidecar\"", "answers 503, or Envoy for it"]).await?;
    Ok(())
}
