//! What is measured: Redis, one sidecar, two Envoys of four workers each, and the load on them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::envoy::Envoy;
use session_gate_tests::poll::until;
use session_gate_tests::ports::free_port;
use session_gate_tests::redis::Fsync;
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{Call, Http, Stack, Store};
use tokio::time::sleep;

use crate::app::{App, Credential, Fate};
use crate::journal::{Journal, Moment, Sample};
use crate::lines::{self, Line};
use crate::load::{Aim, Load};

/// Workers of each Envoy.
pub const WORKERS: usize = 4;
/// Envoys.
pub const ENVOYS: usize = 2;

/// A path whose failure mode is `deny`.
pub const STRICT: &str = "/strict";
/// A path whose failure mode is `last_known`, for [`LAST_KNOWN_FOR`].
pub const LAST_KNOWN: &str = "/last-known";
/// A path whose failure mode is `allow`.
pub const LENIENT: &str = "/lenient";
/// For how long.
pub const LAST_KNOWN_FOR: Duration = Duration::from_secs(5);
/// The filter's default: for how long a worker trusts what it knows.
pub const MAX_STALENESS: Duration = Duration::from_secs(1);

/// The deployment, and what is sent to it.
#[derive(Debug)]
pub struct Fleet {
    /// The first Envoy, and all else.
    pub stack: Stack,
    /// The other Envoy.
    pub second: Envoy,
    /// An application of its sidecar.
    pub app: App,
    /// What happened to each request.
    pub journal: Arc<Journal>,
    /// Connections to each worker.
    lines: Vec<Vec<Line>>,
    rps: u32,
}

/// The routes of those paths.
pub fn routes() -> Value {
    json!([
        {"name": "lenient", "match": {"path": {"prefix": LENIENT}}, "failure_mode": "allow"},
        {
            "name": "last-known",
            "match": {"path": {"prefix": LAST_KNOWN}},
            "failure_mode": {"last_known": format!("{}s", LAST_KNOWN_FOR.as_secs())},
        },
        {"name": "strict", "match": {"path": {"prefix": STRICT}}},
    ])
}

impl Fleet {
    /// What every measurement starts; its routes are to be added. The upstream tells the journal what
    /// arrives.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn deployment(upstream: Upstream) -> Result<Builder> {
        // Each Envoy has a port that it can be started on again.
        let port = free_port()?;
        Ok(Stack::builder()
            .store(Store::Redis)
            .fsync(Fsync::EverySecond)
            .concurrency(u32::try_from(WORKERS)?)
            .upstream(upstream)
            .envoy(move |config| {
                config.use_ports(port, 0)?;
                config.speak_as_the_client_does("app")?;
                // Nobody reads it.
                config.manager()?.as_object_mut().context("a manager is an object")?.remove("access_log");
                Ok(())
            }))
    }

    /// Starts all of it.
    ///
    /// # Errors
    /// Where a part does not start, with what it said.
    pub async fn start(deployment: Builder, journal: Arc<Journal>, rps: u32) -> Result<Self> {
        let stack = deployment.start().await?;
        let port = free_port()?;
        let second = stack.another_envoy_with(|config| config.use_ports(port, 0)).await?;
        let app = App::new(stack.sidecar.address());
        let lines = lines::open(&[&stack.envoy, &second], WORKERS).await?;
        Ok(Self { stack, second, app, journal, lines, rps })
    }

    /// Sends the load through the gate.
    ///
    /// # Errors
    /// Never, while there are workers.
    pub fn load(&self, aim: Aim) -> Result<Load> {
        self.load_of(self.rps, aim)
    }

    /// Sends as many requests a second through the gate.
    ///
    /// # Errors
    /// Never, while there are workers.
    pub fn load_of(&self, rps: u32, aim: Aim) -> Result<Load> {
        Load::start(self.lines.clone(), Arc::clone(&self.journal), rps, aim)
    }

    /// Connections to each worker of both Envoys.
    pub fn lines(&self) -> &[Vec<Line>] {
        &self.lines
    }

    /// Kills an Envoy, the first or the second, and starts it again on its port, with new connections to its
    /// workers. A load that was there goes on to send over the old ones.
    ///
    /// # Errors
    /// Where it does not start, with what it said.
    pub async fn kill_and_restart(&mut self, is_first: bool) -> Result<()> {
        let envoy = if is_first { &mut self.stack.envoy } else { &mut self.second };
        envoy.kill().await?;
        let port = envoy.address().port();
        let again = self.stack.another_envoy_with(|config| config.use_ports(port, 0)).await?;
        let lines = lines::open(&[&again], WORKERS).await?;
        let place = if is_first { 0 } else { WORKERS };
        self.lines.splice(place..place + WORKERS, lines);
        *(if is_first { &mut self.stack.envoy } else { &mut self.second }) = again;
        Ok(())
    }

    /// Both Envoys.
    pub fn envoys(&self) -> [&Envoy; ENVOYS] {
        [&self.stack.envoy, &self.second]
    }

    /// Waits until no worker need ask about a token that was issued now: tokens from within five seconds
    /// of the feed's beginning are asked about. Answers how many calls that took: they show that such
    /// calls are counted.
    ///
    /// # Errors
    /// Where workers go on asking.
    pub async fn warm_up(&self) -> Result<u64> {
        until("workers to decide alone", async || {
            let before = self.app.checks().await?;
            let credential = self.app.login("early", Fate::Stays).await?;
            self.ask_every_worker(&credential).await?;
            let calls = self.app.checks().await? - before;
            ensure!(calls == 0, "{calls} calls");
            Ok(())
        })
        .await?;
        self.app.checks().await
    }

    /// Sends a request to each worker.
    async fn ask_every_worker(&self, credential: &Arc<Credential>) -> Result<()> {
        let from = self.journal.len();
        let aim = Aim { paths: vec![STRICT], background: vec![Arc::clone(credential)], target: Vec::new() };
        let _load = self.load(aim)?;
        self.until_every_worker("to answer", from, |sample| sample.credential.id == credential.id).await
    }

    /// Waits until every worker has answered a request of that kind, among those that were over since.
    ///
    /// # Errors
    /// Where one does not in time.
    pub async fn until_every_worker(&self, what: &str, from: usize, is_it: impl Fn(&Sample) -> bool) -> Result<()> {
        until(&format!("every worker {what}"), async || {
            let mut workers: Vec<usize> =
                self.journal.since(from).iter().filter(|sample| is_it(sample)).map(|sample| sample.worker).collect();
            workers.sort_unstable();
            workers.dedup();
            ensure!(workers.len() == self.lines.len(), "only {workers:?}");
            Ok(())
        })
        .await
    }

    /// Waits until the upstream has read all that has reached it: it takes one after the other. Answers when
    /// that was.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn upstream_has_read(&self) -> Result<Moment> {
        Call::get("/").send(self.stack.upstream.address(), Http::V1).await?;
        Ok(self.journal.now())
    }

    /// Sends the load for that long to Envoys without the filter. Answers what became of it.
    ///
    /// # Errors
    /// Where they do not start.
    pub async fn bare(&self, aim: Aim, duration: Duration) -> Result<Vec<Sample>> {
        let without_gate = |config: &mut session_gate_tests::envoy::Config| {
            config.use_free_ports()?;
            config.remove_gate()
        };
        let (one, other) =
            (self.stack.another_envoy_with(without_gate).await?, self.stack.another_envoy_with(without_gate).await?);
        let lines = lines::open(&[&one, &other], WORKERS).await?;
        let from = self.journal.len();
        let load = Load::start(lines, Arc::clone(&self.journal), self.rps, aim)?;
        sleep(duration).await;
        drop(load);
        // What is under way still is answered, or isn't: a sample either way.
        sleep(Duration::from_millis(200)).await;
        Ok(self.journal.since(from))
    }

    /// The sum of the filter's counters that begin like that, over both Envoys.
    ///
    /// # Errors
    /// Where they do not say.
    pub async fn counted(&self, name: &str) -> Result<u64> {
        let mut count = 0;
        for envoy in self.envoys() {
            count += envoy.admin().stats(&format!("wasmcustom.session_gate.{name}")).await?.values().sum::<u64>();
        }
        Ok(count)
    }

    /// Fails if a VM has crashed, or anything has ended.
    ///
    /// # Errors
    /// With what it wrote.
    pub async fn ensure_sound(&mut self) -> Result<()> {
        self.stack.sidecar.ensure_running()?;
        self.stack.envoy.ensure_no_crash().await?;
        self.second.ensure_no_crash().await?;
        let ready = self.stack.ask_sidecar(Call::get("/readyz")).await?;
        ensure!(ready.status == 200, "the sidecar is not ready: {}", ready.text());
        Ok(())
    }
}
