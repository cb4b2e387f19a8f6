//! Everything together: sidecar, upstream and an Envoy with the filter.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Call, Http, Reply};
use crate::envoy::{Config, Envoy};
use crate::poll::until;
use crate::redis::{Fsync, Redis};
use crate::sidecar::{Sidecar, calls_in, counted_in};
use crate::tools;
use crate::upstream::Upstream;

/// What the sidecar keeps its sessions in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Its own memory.
    Memory,
    /// A Redis server of the test's own.
    Redis,
}

impl Store {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Redis];
}

type Edit = Box<dyn FnOnce(&mut Config) -> Result<()> + Send>;

/// What to start. See [`Stack::builder`].
#[must_use]
pub struct Builder {
    store: Store,
    fsync: Fsync,
    concurrency: u32,
    module: Option<PathBuf>,
    upstream: Option<Upstream>,
    environment: Vec<(String, String)>,
    edits: Vec<Edit>,
}

impl Builder {
    /// What the sidecar keeps its sessions in. Default: its own memory.
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// When what Redis has written reaches the disk. Default: before it is answered.
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.fsync = fsync;
        self
    }

    /// How many workers Envoy has. Default: one.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Another plugin in place of the filter.
    pub fn module(mut self, module: PathBuf) -> Self {
        self.module = Some(module);
        self
    }

    /// A backend of the test's own.
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// A variable in the sidecar's environment.
    pub fn sidecar_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes Envoy's configuration.
    pub fn envoy(mut self, edit: impl FnOnce(&mut Config) -> Result<()> + Send + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// Changes the filter's configuration.
    pub fn filter(self, edit: impl FnOnce(&mut Value) -> Result<()> + Send + 'static) -> Self {
        self.envoy(|config| edit(config.filter()))
    }

    /// Puts `routes` in the place of the example's. What none matches needs a token.
    pub fn routes(self, routes: Value) -> Self {
        self.filter(|filter| {
            *filter.get_mut("routes").context("the example has routes")? = routes;
            *filter.get_mut("default_rule").context("the example has a default rule")? = json!("authenticated");
            Ok(())
        })
    }

    /// Starts all of it, and waits until it serves.
    ///
    /// # Errors
    /// Where a part does not start, with what it said.
    pub async fn start(self) -> Result<Stack> {
        self.start_after(async |_| Ok(())).await
    }

    /// The same, but that the sidecar has been killed before Envoy starts.
    ///
    /// # Errors
    /// Where a part does not start, with what it said.
    pub async fn start_with_dead_sidecar(self) -> Result<Stack> {
        self.start_after(async |sidecar| sidecar.kill().await).await
    }

    async fn start_after(self, prepare: impl AsyncFnOnce(&mut Sidecar) -> Result<()>) -> Result<Stack> {
        let dir = tempfile::Builder::new().prefix("session-gate-").tempdir()?;
        let (redis, mut environment) = match self.store {
            Store::Memory => (None, Vec::new()),
            Store::Redis => {
                let redis = Redis::start(dir.path(), self.fsync).await?;
                let url = redis.url();
                (Some(redis), vec![("REDIS_URL".to_owned(), url)])
            }
        };
        environment.extend(self.environment);
        let mut sidecar = Sidecar::start(environment, dir.path()).await?;
        prepare(&mut sidecar).await?;
        let upstream = match self.upstream {
            Some(upstream) => upstream,
            None => Upstream::start().await?,
        };
        let mut config = Config::example()?;
        config.use_free_ports()?;
        config.set_cluster_port("app", upstream.address().port())?;
        config.set_cluster_port("session-gate-sidecar", sidecar.address().port())?;
        config.set_module(&self.module.map_or_else(tools::filter, Ok)?)?;
        for edit in self.edits {
            edit(&mut config)?;
        }
        let envoy = Envoy::start(&config, self.concurrency, dir.path()).await?;
        Ok(Stack { envoy, sidecar, redis, upstream, config, concurrency: self.concurrency, dir })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("store", &self.store).finish_non_exhaustive()
    }
}

/// All of it, running. Dropping it stops it, in the order of the fields.
#[derive(Debug)]
pub struct Stack {
    /// The Envoy under test.
    pub envoy: Envoy,
    /// The sidecar that it asks.
    pub sidecar: Sidecar,
    /// The sidecar's Redis, where it has one.
    pub redis: Option<Redis>,
    /// The backend that it protects.
    pub upstream: Upstream,
    config: Config,
    concurrency: u32,
    dir: TempDir,
}

/// What a login gave.
#[derive(Clone, Debug)]
pub struct Login {
    /// The token.
    pub token: String,
    /// The session's id.
    pub session_id: String,
    /// The token's id.
    pub token_id: String,
}

impl Stack {
    /// Starts with memory store, one worker and the example's configuration, unless told otherwise.
    pub fn builder() -> Builder {
        Builder {
            store: Store::Memory,
            fsync: Fsync::Always,
            concurrency: 1,
            module: None,
            upstream: None,
            environment: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Starts another Envoy like the first, with the same sidecar and upstream.
    ///
    /// # Errors
    /// Where it does not start, with what it said.
    pub async fn another_envoy(&self) -> Result<Envoy> {
        self.another_envoy_with(|_| Ok(())).await
    }

    /// The same, with its configuration changed.
    ///
    /// # Errors
    /// Where it does not start, with what it said.
    pub async fn another_envoy_with(&self, edit: impl FnOnce(&mut Config) -> Result<()>) -> Result<Envoy> {
        let mut config = self.config.clone();
        edit(&mut config)?;
        Envoy::start(&config, self.concurrency, &self.folder("envoy")?).await
    }

    /// Starts another sidecar like the first: on the same Redis, where the stack has one.
    ///
    /// # Errors
    /// Where it does not start, with what it said.
    pub async fn another_sidecar(&self) -> Result<Sidecar> {
        self.sidecar.start_replica(&self.folder("sidecar")?).await
    }

    /// The Envoy's configuration, for one like it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A new folder within the stack's own.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        Ok(tempfile::Builder::new().prefix(name).tempdir_in(&self.dir)?.keep())
    }

    /// Where the gate listens.
    pub fn address(&self) -> SocketAddr {
        self.envoy.address()
    }

    /// A folder that is removed with the stack.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends a request through the gate, by HTTP/1.1.
    ///
    /// # Errors
    /// Where there is no reply.
    pub async fn send(&self, call: Call) -> Result<Reply> {
        call.send(self.address(), Http::V1).await
    }

    /// Asks the sidecar, as an application does.
    ///
    /// # Errors
    /// Where there is no reply.
    pub async fn ask_sidecar(&self, call: Call) -> Result<Reply> {
        call.send(self.sidecar.address(), Http::V1).await
    }

    /// How many calls of that route the sidecar has answered.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn sidecar_calls(&self, route: &str) -> Result<u64> {
        calls_in(&self.ask_sidecar(Call::get("/metrics")).await?.text(), route)
    }

    /// What the sidecar has counted under that name, over all labels.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn sidecar_counts(&self, name: &str) -> Result<u64> {
        counted_in(&self.ask_sidecar(Call::get("/metrics")).await?.text(), name, "")
    }

    /// Logs `user` in at the sidecar, and waits until the gate knows the key of the token.
    ///
    /// # Errors
    /// Where the sidecar refuses.
    pub async fn login(&self, user: &str, scopes: &[&str]) -> Result<Login> {
        self.login_with(json!({"user_id": user, "scopes": scopes})).await
    }

    /// The same, with a body of the test's own.
    ///
    /// # Errors
    /// Where the sidecar refuses.
    pub async fn login_with(&self, body: Value) -> Result<Login> {
        let reply = self.ask_sidecar(Call::post("/v1/login").json(&body)).await?;
        let (Some(token), Some(session_id), Some(token_id)) =
            (reply.field("/token/token"), reply.field("/session/session_id"), reply.field("/token/token_id"))
        else {
            bail!("the sidecar answers {} to a login: {}", reply.status, reply.text())
        };
        Ok(Login { token, session_id, token_id })
    }

    /// Waits until the gate lets a good token pass: until it has keys, and the sidecar can be asked.
    ///
    /// # Errors
    /// Where it does not in time.
    pub async fn wait_until_it_serves(&self) -> Result<()> {
        let mut login = None;
        until("the gate to let a good token pass", async || {
            if login.is_none() {
                login = Some(self.login("harness", &["read", "write"]).await?);
            }
            let token = login.as_ref().map(|login| login.token.as_str()).unwrap_or_default();
            let reply = self.send(Call::get("/orders/harness").bearer(token)).await?;
            ensure!(reply.status == 200, "the gate answers {}: {}", reply.status, reply.text());
            Ok(())
        })
        .await
    }

    /// What every test ends with: the same Envoy still serves who may, still refuses who may not, and
    /// none of its VMs has crashed.
    ///
    /// # Errors
    /// Where any of that is wrong.
    pub async fn assert_still_serving(&mut self) -> Result<()> {
        self.wait_until_it_serves().await?;
        let anonymous = self.send(Call::get("/orders/harness")).await?;
        ensure!(anonymous.status == 401, "the gate answers {} to a request without a token", anonymous.status);
        self.envoy.ensure_no_crash().await
    }

    /// Waits for the access log line of the request with that path.
    ///
    /// # Errors
    /// Where none comes in time.
    pub async fn access_log_of(&self, path: &str) -> Result<Value> {
        until("an access log line", async || {
            let mut log = self.envoy.access_log().into_iter();
            log.find(|line| line.get("path") == Some(&json!(path))).with_context(|| format!("no line for {path}"))
        })
        .await
    }
}
