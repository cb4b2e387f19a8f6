//! A child process that never outlives its owner.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::poll::{Final, PATIENCE};

/// A running program, in a process group of its own, with its output in a file.
///
/// Dropping it kills the whole group, on a panic too. Should the owner be killed itself, a watcher
/// in the group sees the end of its standard input and kills the group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    output: PathBuf,
    /// Holds the watcher's standard input open; killed with the group.
    _watcher: Child,
}

impl Process {
    /// Starts `command`; its standard output and error go to the file `<name>.log` in `dir`.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub fn start(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let output = dir.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&output)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.as_std().get_program()))?;
        let id = i32::try_from(child.id().ok_or_else(|| anyhow!("{name} ended at once"))?)?;
        let watcher = Command::new("/bin/sh")
            .args(["-c", "read -r _; kill -KILL 0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(id)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot watch over {name}"))?;
        Ok(Self { name: name.to_owned(), child, group: Pid::from_raw(id), output, _watcher: watcher })
    }

    /// Sends `signal` to the program and all that it has started.
    ///
    /// # Errors
    /// Where the group is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        killpg(self.group, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Freezes the program and all that it has started, and returns when it stands still: the signal
    /// alone leaves its threads running until one of them has had its turn.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        match waitpid(self.group, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(..)) => Ok(()),
            other => bail!("{} does not stop: {other:?}", self.name),
        }
    }

    /// Lets it go on after [`Process::pause`].
    ///
    /// # Errors
    /// Where the group is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks the program alone to end, and waits until it has.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        if let Some(id) = self.child.id() {
            nix::sys::signal::kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
        }
        self.wait().await
    }

    /// Kills the program and all that it has started, and waits until it is gone.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await.map(|_| ())
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.with_context(|| format!("{} does not end", self.name))?.map_err(Into::into)
    }

    /// Fails if the program has ended, and tells what it wrote.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let error = anyhow!("{} ended: {status}. It wrote:\n{}", self.name, self.output_tail());
                Err(Final(error).into())
            }
        }
    }

    /// What the program has written so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of what it has written.
    pub fn output_tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let start = lines.len().saturating_sub(30);
        lines.get(start..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where the group is gone already.
        killpg(self.group, Signal::SIGKILL).ok();
    }
}
