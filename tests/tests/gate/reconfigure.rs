//! A wrong configuration of the filter is refused with every mistake named, and the old one serves on.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use session_gate_tests::envoy::{Config, Envoy};
use session_gate_tests::poll::until;
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{Call, Http, tools};

/// An Envoy whose only rule lets `/public` pass, so that it needs no sidecar.
fn config(upstream: &Upstream, public: &str) -> Result<Config> {
    let mut config = Config::example()?;
    config.use_free_ports()?;
    config.set_cluster_port("app", upstream.address().port())?;
    config.set_module(&tools::filter()?)?;
    *config.filter() = json!({
        "sidecar": {"cluster": "session-gate-sidecar"},
        "issuers": [{"issuer": "session-gate", "audiences": ["session-gate"], "jwks": "sidecar"}],
        "routes": [{"name": "public", "match": {"path": {"prefix": public}}, "authentication": "public"}],
    });
    Ok(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_update_is_refused_and_the_old_configuration_serves_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let listener_dir = dir.path().join("listener");
    std::fs::create_dir(&listener_dir)?;
    let listener = listener_dir.join("listener.json");
    let upstream = Upstream::start().await?;
    let first = config(&upstream, "/public")?;
    let mut envoy = Envoy::start_with_listener_file(&first, &listener, dir.path()).await?;
    let gate = envoy.address();
    assert_eq!(Call::get("/public").send(gate, Http::V1).await?.status, 200);
    assert_eq!(Call::get("/open").send(gate, Http::V1).await?.status, 401);

    let mut wrong = config(&upstream, "/open")?;
    wrong.filter()["sidecar"]["timeout"] = json!("soon");
    wrong.filter()["cookie"] = json!({"name": "no name"});
    wrong.filter()["routes"][0]["failure_mode"] = json!("maybe");
    wrong.filter()["routes"][0]["unheard_of"] = json!(1);
    wrong.write_listener(&listener)?;
    until("Envoy to refuse the update", async || {
        let rejected = envoy.admin().stats("listener_manager.lds.update_rejected").await?;
        ensure!(rejected.values().any(|count| *count > 0), "{rejected:?}");
        Ok(())
    })
    .await?;
    for field in ["sidecar.timeout", "cookie.name", "routes[0].failure_mode", "unheard_of"] {
        until("the log to name it", async || {
            let output = envoy.output();
            ensure!(output.contains(field), "{field} is not named:\n{output}");
            Ok(())
        })
        .await?;
    }
    assert_eq!(Call::get("/public").send(gate, Http::V1).await?.status, 200);
    assert_eq!(Call::get("/open").send(gate, Http::V1).await?.status, 401);

    config(&upstream, "/open")?.write_listener(&listener)?;
    until("Envoy to take the update", async || {
        let open = Call::get("/open").send(envoy.admin().listener().await?, Http::V1).await?;
        ensure!(open.status == 200, "{}", open.status);
        Ok(())
    })
    .await?;
    let gate = envoy.admin().listener().await?;
    assert_eq!(Call::get("/public").send(gate, Http::V1).await?.status, 401);
    envoy.ensure_running()?;
    let counters = envoy.admin().crash_counters().await?;
    ensure!(counters.values().all(|count| *count == 0), "{counters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_does_not_start_with_a_wrong_configuration_and_says_what_is_wrong() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let mut wrong = config(&upstream, "no path")?;
    wrong.filter()["issuers"][0]["jwks"] = json!({"inline": {"keys": []}});
    let error = Envoy::start(&wrong, 1, dir.path()).await.err().context("Envoy has started")?;
    let error = format!("{error:#}");
    for field in ["issuers[0].jwks", "routes[0].match.path.prefix"] {
        ensure!(error.contains(field), "{field} is not named:\n{error}");
    }
    Ok(())
}
