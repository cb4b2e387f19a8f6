//! The sidecar of a test: the real program, or one that answers what the test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::client::{Call, Http};
use crate::poll::until;
use crate::ports::free_port;
use crate::process::Process;
use crate::tools;

const KEY_FILE: &str = "signing-key.pem";

/// The real sidecar; it is killed when this is dropped.
#[derive(Debug)]
pub struct Sidecar {
    dir: PathBuf,
    key_file: PathBuf,
    environment: Vec<(String, String)>,
    address: SocketAddr,
    process: Option<Process>,
}

impl Sidecar {
    /// Starts it on a free port, with a key of its own and these variables, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// Where it refuses to start, with what it said.
    pub async fn start(environment: Vec<(String, String)>, dir: &Path) -> Result<Self> {
        Self::start_somewhere(environment, dir, &dir.join(KEY_FILE)).await
    }

    /// Starts another one with the same key and the same variables, so that both are replicas where they
    /// name a store that can be shared.
    ///
    /// # Errors
    /// Where it refuses to start, with what it said.
    pub async fn start_replica(&self, dir: &Path) -> Result<Self> {
        Self::start_somewhere(self.environment.clone(), dir, &self.key_file).await
    }

    async fn start_somewhere(environment: Vec<(String, String)>, dir: &Path, key_file: &Path) -> Result<Self> {
        // Another process may take the port first: then another port.
        const TRIES: usize = 5;
        let mut last = None;
        for _ in 0..TRIES {
            match Self::start_at(free_port()?, environment.clone(), dir, key_file).await {
                Ok(sidecar) => return Ok(sidecar),
                Err(error) if format!("{error:#}").contains("in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("no try")?)
    }

    /// Starts it on that port.
    ///
    /// # Errors
    /// Where it refuses to start, with what it said.
    pub async fn start_on(port: u16, environment: Vec<(String, String)>, dir: &Path) -> Result<Self> {
        Self::start_at(port, environment, dir, &dir.join(KEY_FILE)).await
    }

    async fn start_at(port: u16, environment: Vec<(String, String)>, dir: &Path, key_file: &Path) -> Result<Self> {
        let (dir, key_file) = (dir.to_owned(), key_file.to_owned());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut sidecar = Self { dir, key_file, environment, address, process: None };
        sidecar.restart().await?;
        Ok(sidecar)
    }

    /// Starts it again on the same port, with the same key, and waits until it is ready.
    ///
    /// # Errors
    /// Where it refuses to start.
    pub async fn restart(&mut self) -> Result<()> {
        // A fake that stood in for it lets go of the port a moment after it was dropped.
        let address = self.address;
        until("the sidecar's port", async || Ok(TcpListener::bind(address).await?)).await?;
        let mut command = Command::new(tools::sidecar()?);
        command
            .arg("--listen")
            .arg(self.address.to_string())
            .arg("--generate-key")
            .arg(&self.key_file)
            // Nobody is sent here by a balancer.
            .args(["--shutdown-delay-seconds", "0"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("store-sidecar", command, &self.dir)?);
        self.wait_until_ready().await
    }

    /// Waits until it can reach its store.
    ///
    /// # Errors
    /// Where it ends, or is not ready in time.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let address = self.address;
        let process = self.process.as_mut().context("the sidecar was killed")?;
        let ready = until("the sidecar to be ready", async || {
            process.ensure_running()?;
            let reply = Call::get("/readyz").send(address, Http::V1).await?;
            ensure!(reply.status == 200, "/readyz answers {}: {}", reply.status, reply.text());
            Ok(())
        })
        .await;
        ready.with_context(|| format!("the sidecar is not ready. It wrote:\n{}", process.output_tail()))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with its signing key.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// What it has logged.
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// With what it wrote.
    pub fn ensure_running(&mut self) -> Result<()> {
        self.process.as_mut().context("the sidecar was killed")?.ensure_running()
    }

    /// Kills it: its port refuses connections from then on.
    ///
    /// # Errors
    /// Where it was killed before.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the sidecar was killed")?.kill().await
    }

    /// Freezes it: connections are accepted and nothing is answered.
    ///
    /// # Errors
    /// Where it was killed.
    pub fn pause(&self) -> Result<()> {
        self.process.as_ref().context("the sidecar was killed")?.pause()
    }

    /// Lets it go on after [`Sidecar::pause`].
    ///
    /// # Errors
    /// Where it was killed.
    pub fn resume(&self) -> Result<()> {
        self.process.as_ref().context("the sidecar was killed")?.resume()
    }

    /// Asks it to stop, waits until it has, and says whether it ended well.
    ///
    /// # Errors
    /// Where it was killed, or does not end in time.
    pub async fn stop(&mut self) -> Result<bool> {
        let mut process = self.process.take().context("the sidecar was killed")?;
        Ok(process.terminate().await?.success())
    }
}

/// How many calls of that route a sidecar with these metrics has answered.
///
/// # Errors
/// Where they are none.
pub fn calls_in(metrics: &str, route: &str) -> Result<u64> {
    counted_in(metrics, "session_gate_http_requests_total", &format!(r#"route="{route}""#))
}

/// The sum of the counters of that name in these metrics whose labels have that text.
///
/// # Errors
/// Where they are none.
pub fn counted_in(metrics: &str, name: &str, label: &str) -> Result<u64> {
    let is_of_it =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
    let values = metrics.lines().filter(is_of_it).map(|line| line.rsplit(' ').next().context("a value"));
    values.map(|value| value?.parse::<u64>().context("a count")).sum()
}

/// A sidecar that answers what the test wants; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeSidecar {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl FakeSidecar {
    /// Serves `app` on that port; 0 stands for a free one.
    ///
    /// # Errors
    /// Where the port does not become free in time.
    pub async fn start(app: Router, port: u16) -> Result<Self> {
        let listener =
            until("the port of a fake sidecar", async || Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?))
                .await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the fake sidecar has ended: {error}");
            }
        });
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FakeSidecar {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A sidecar that reads a request, sends some bytes and hangs up; it ends when this is dropped.
#[derive(Debug)]
pub struct ScriptedSidecar {
    server: JoinHandle<()>,
}

impl ScriptedSidecar {
    /// Answers everything on that port with `bytes`.
    ///
    /// # Errors
    /// Where the port does not become free in time.
    pub async fn start(port: u16, bytes: &[u8]) -> Result<Self> {
        let listener =
            until("the port of a scripted sidecar", async || Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?))
                .await?;
        let bytes = bytes.to_vec();
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut request = [0; 4096];
                // A client that has gone meanwhile needs no answer.
                if client.read(&mut request).await.is_ok() {
                    client.write_all(&bytes).await.ok();
                }
            }
        });
        Ok(Self { server })
    }
}

impl Drop for ScriptedSidecar {
    fn drop(&mut self) {
        self.server.abort();
    }
}
