//! A Redis or Valkey server of the test's own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::poll::until;
use crate::ports::free_port;
use crate::process::Process;
use crate::tools;

/// When what was written reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is answered, so that a kill loses nothing.
    Always,
    /// Once a second, as Redis does it by default.
    EverySecond,
}

/// A running server, which keeps its data in a folder; it is killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    dir: PathBuf,
    port: u16,
    fsync: Fsync,
    process: Option<Process>,
}

impl Redis {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start(dir: &Path, fsync: Fsync) -> Result<Self> {
        let mut redis = Self { dir: dir.to_owned(), port: free_port()?, fsync, process: None };
        redis.restart().await?;
        Ok(redis)
    }

    /// Starts it again on the same port, with the data that it had.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        let port = self.port;
        let fsync = match self.fsync {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
        };
        let mut command = Command::new(tools::redis_server()?);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "yes", "--appendfsync", fsync])
            .arg("--dir")
            .arg(&self.dir);
        let process = self.process.insert(Process::start("redis", command, &self.dir)?);
        until("Redis to answer", async || {
            process.ensure_running()?;
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            ensure!(&answer == b"+PONG", "Redis is still loading");
            Ok(())
        })
        .await
        .with_context(|| format!("Redis wrote:\n{}", process.output_tail()))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it: its port refuses connections from then on.
    ///
    /// # Errors
    /// Where it was killed before.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("Redis was killed")?.kill().await
    }

    /// Has it lose all its data.
    ///
    /// # Errors
    /// Where it does not say that it has.
    pub async fn flush(&self) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"FLUSHALL\r\n").await?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await?;
        ensure!(&answer == b"+OK", "Redis has not lost its data");
        Ok(())
    }

    /// Freezes it: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// Where it was killed.
    pub fn pause(&self) -> Result<()> {
        self.process.as_ref().context("Redis was killed")?.pause()
    }

    /// Lets it go on after [`Redis::pause`].
    ///
    /// # Errors
    /// Where it was killed.
    pub fn resume(&self) -> Result<()> {
        self.process.as_ref().context("Redis was killed")?.resume()
    }
}
