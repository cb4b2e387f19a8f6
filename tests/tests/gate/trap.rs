//! The other tests hold that the crash counters stay at zero. This one holds that they would move.

use anyhow::{Result, ensure};
use session_gate_tests::envoy::{Config, Envoy};
use session_gate_tests::poll::until;
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{Call, Http, trap};

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_shows_in_the_counters_and_the_next_request_is_served() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let mut config = Config::example()?;
    config.use_free_ports()?;
    config.set_cluster_port("app", upstream.address().port())?;
    config.set_module(&trap::write_plugin(dir.path())?)?;
    let mut envoy = Envoy::start(&config, 1, dir.path()).await?;

    let harmless = Call::get("/");
    assert_eq!(harmless.send(envoy.address(), Http::V1).await?.status, 200);
    envoy.ensure_no_crash().await?;
    assert!(!envoy.admin().crash_counters().await?.is_empty(), "the counters are there before anything happens");

    let trapping = (0..20).fold(Call::get("/"), |call, i| call.header(&format!("x-filler-{i}"), "x"));
    assert_eq!(trapping.send(envoy.address(), Http::V1).await?.status, 503);
    until("the VM to be started anew", async || {
        let reply = harmless.send(envoy.address(), Http::V1).await?;
        ensure!(reply.status == 200, "answers {}", reply.status);
        Ok(())
    })
    .await?;
    let counters = envoy.admin().crash_counters().await?;
    assert!(counters.values().any(|count| *count > 0), "{counters:?}");
    assert!(envoy.ensure_no_crash().await.is_err());
    Ok(())
}
