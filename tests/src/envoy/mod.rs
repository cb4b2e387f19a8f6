//! A running Envoy, and what its admin interface tells.

mod admin;
pub mod config;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::process::Command;

pub use self::{admin::Admin, config::Config};
use crate::poll::until;
use crate::process::Process;
use crate::tools::{self, EnvoyTool};

/// A running Envoy; it is killed when this is dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Admin,
    address: SocketAddr,
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// Where it refuses its configuration, with what it said.
    pub async fn start(config: &Config, concurrency: u32, dir: &Path) -> Result<Self> {
        Self::start_with(&config.render()?, concurrency, dir).await
    }

    /// Starts Envoy with its listener in a file of its own, which [`Config::write_listener`] replaces.
    ///
    /// # Errors
    /// Where it refuses its configuration, with what it said.
    pub async fn start_with_listener_file(config: &Config, listener: &Path, dir: &Path) -> Result<Self> {
        config.write_listener(listener)?;
        Self::start_with(&config.render_without_listener(listener)?, 1, dir).await
    }

    async fn start_with(config: &str, concurrency: u32, dir: &Path) -> Result<Self> {
        let file = dir.join("envoy.json");
        std::fs::write(&file, config)?;
        let admin_file = dir.join("envoy.admin");
        let mut command = command(&tools::envoy()?, dir);
        command
            .arg("-c")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "20"])
            .args(["--concurrency", &concurrency.to_string()])
            // Paths in the example are relative to the repository.
            .current_dir(tools::root());
        let mut process = Process::start("envoy", command, dir)?;
        let (admin, address) = until("Envoy to serve", async || {
            process.ensure_running()?;
            let admin = Admin::new(std::fs::read_to_string(&admin_file)?.trim().parse()?);
            let ready = admin.get("/ready").await?;
            ensure!(ready.status == 200, "/ready answers {}", ready.status);
            let address = admin.listener().await?;
            Ok((admin, address))
        })
        .await?;
        Ok(Self { process, admin, address })
    }

    /// Where the gate listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin interface.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What Envoy has logged, access log included.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// The access log so far, one value a request.
    pub fn access_log(&self) -> Vec<Value> {
        self.process
            .output()
            .lines()
            .filter(|line| line.starts_with('{'))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Fails if a VM has ever crashed, or a call into one has failed, or Envoy itself has ended.
    ///
    /// # Errors
    /// With the counters that say so.
    pub async fn ensure_no_crash(&mut self) -> Result<()> {
        self.process.ensure_running()?;
        let counters = self.admin.crash_counters().await?;
        ensure!(
            counters.values().all(|count| *count == 0),
            "the filter's VM has crashed: {counters:?}. Envoy wrote:\n{}",
            self.process.output_tail()
        );
        Ok(())
    }

    /// Fails if Envoy has ended.
    ///
    /// # Errors
    /// With what it wrote.
    pub fn ensure_running(&mut self) -> Result<()> {
        self.process.ensure_running()
    }

    /// Kills Envoy at once, and waits until it is gone.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Ends Envoy and waits until it is gone.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait().await.map(|_| ())
    }
}

/// The command that starts Envoy, through func-e where it is there.
fn command(tool: &EnvoyTool, dir: &Path) -> Command {
    let Some(func_e) = &tool.func_e else {
        return Command::new(&tool.binary);
    };
    let mut command = Command::new(func_e);
    command.env("ENVOY_PATH", &tool.binary).arg("run");
    // func-e writes nothing outside the folder of this Envoy.
    for variable in ["FUNC_E_CONFIG_HOME", "FUNC_E_DATA_HOME", "FUNC_E_STATE_HOME", "FUNC_E_RUNTIME_DIR"] {
        command.env(variable, dir.join("func-e"));
    }
    command
}
