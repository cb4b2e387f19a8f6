//! The demo: sidecar, an application and Envoy, and the story that shows what the gate does.

mod app;
mod browser_story;
mod gate;
mod story;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::Router;
use serde_json::{Value, json};

pub use self::gate::Gate;
pub use self::story::{curl_lines, play};
use crate::envoy::config::TLS_LISTENER;
use crate::envoy::{Config, Envoy};
use crate::redis::{Fsync, Redis};
use crate::sidecar::Sidecar;
use crate::stack::Store;
use crate::tls::Certificate;
use crate::tools;

/// Where the demo's parts listen; 0 stands for a free port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Envoy: what clients talk to.
    pub gate: u16,
    /// The same with TLS.
    pub tls: u16,
    /// Envoy's admin interface.
    pub admin: u16,
    /// The sidecar.
    pub sidecar: u16,
    /// The application.
    pub app: u16,
}

/// What a test wants otherwise.
#[derive(Debug)]
pub struct Options {
    /// How many workers Envoy has.
    pub workers: u32,
    /// When what Redis has written reaches the disk.
    pub fsync: Fsync,
    /// What is put over the filter's configuration, member by member; lists are replaced.
    pub filter: Value,
    /// Routes for the filter before the example's own.
    pub routes: Vec<Value>,
    /// Routes of the application beside its own.
    pub app: Router,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 1, fsync: Fsync::Always, filter: json!({}), routes: Vec::new(), app: Router::new() }
    }
}

/// The running demo. Dropping it stops it, in the order of the fields.
#[derive(Debug)]
pub struct Demo {
    envoy: Envoy,
    gate: Gate,
    app: app::App,
    sidecar: Sidecar,
    _redis: Option<Redis>,
    dir: PathBuf,
}

impl Demo {
    /// Starts everything, with its files in `dir`, and waits until it serves.
    ///
    /// # Errors
    /// Where a port is taken, or a part does not start.
    pub async fn start(store: Store, ports: Ports, dir: &Path) -> Result<Self> {
        Self::start_with(Options::default(), store, ports, dir).await
    }

    /// The same, with what a test wants otherwise.
    ///
    /// # Errors
    /// Where a port is taken, or a part does not start.
    pub async fn start_with(options: Options, store: Store, ports: Ports, dir: &Path) -> Result<Self> {
        ports.ensure_free()?;
        let mut environment = vec![("SESSION_GATE_SESSION_CLASSES".to_owned(), REMEMBER.to_owned())];
        let redis = match store {
            Store::Memory => None,
            Store::Redis => {
                eprintln!("starting Redis");
                let redis = Redis::start(dir, options.fsync).await?;
                environment.push(("REDIS_URL".to_owned(), redis.url()));
                Some(redis)
            }
        };
        eprintln!("starting the sidecar");
        let sidecar = match ports.sidecar {
            0 => Sidecar::start(environment, dir).await?,
            port => Sidecar::start_on(port, environment, dir).await?,
        };
        eprintln!("starting the application");
        let app = app::App::start(ports.app, options.app).await?;
        eprintln!("starting Envoy with the filter");
        let mut config = Config::example()?;
        config.use_ports(ports.gate, ports.admin)?;
        config.set_cluster_port("app", app.address().port())?;
        config.set_cluster_port("session-gate-sidecar", sidecar.address().port())?;
        config.set_module(&tools::filter()?)?;
        let certificate = Certificate::in_folder(dir)?;
        config.listen_with_tls(ports.tls, certificate.clone());
        configure(config.filter(), options.filter, options.routes)?;
        let envoy = Envoy::start(&config, options.workers, dir).await?;
        let tls = envoy.admin().listener_named(TLS_LISTENER).await?;
        let gate = Gate { plain: envoy.address(), tls, certificate };
        let demo = Self { envoy, gate, app, sidecar, _redis: redis, dir: dir.to_owned() };
        story::wait_until_it_serves(demo.address()).await.with_context(|| demo.logs())?;
        Ok(demo)
    }

    /// Where the gate listens.
    pub fn address(&self) -> SocketAddr {
        self.envoy.address()
    }

    /// Where it listens, with TLS too.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The sidecar.
    pub fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// The Envoy with the filter.
    pub fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// Who listens where, a line each.
    pub fn addresses(&self) -> String {
        format!(
            "  gate         https://localhost:{}\n               http://{}\n  application  http://{} (behind the gate; never to be reached by clients)\n  \
             sidecar      http://{}\n  Envoy admin  http://{}\n  logs         {}",
            self.gate.tls.port(),
            self.envoy.address(),
            self.app.address(),
            self.sidecar.address(),
            self.envoy.admin().address(),
            self.dir.display(),
        )
    }

    /// What sidecar and Envoy wrote last, for a message of failure.
    pub fn logs(&self) -> String {
        format!("the sidecar wrote:\n{}\nEnvoy wrote:\n{}", self.sidecar.output(), self.envoy.output())
    }

    /// Waits until a part has ended by itself, and says which.
    ///
    /// # Errors
    /// Always: nothing of the demo ends by itself.
    pub async fn watch(&mut self) -> Result<()> {
        loop {
            self.envoy.ensure_running()?;
            self.sidecar.ensure_running()?;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    /// Fails if the filter's VM has ever crashed.
    ///
    /// # Errors
    /// With the counters that say so.
    pub async fn ensure_no_crash(&mut self) -> Result<()> {
        self.envoy.ensure_no_crash().await
    }

    /// Stops everything in order: Envoy first, so that nothing is refused for want of the others.
    ///
    /// # Errors
    /// Where a part does not end in time.
    pub async fn stop(mut self) -> Result<()> {
        self.envoy.stop().await?;
        self.sidecar.stop().await.map(|_| ())
    }
}

/// The class of sessions that the login form offers.
const REMEMBER: &str = r#"{"remember": {"duration_hours": 2160, "idle_timeout_minutes": 20160, "persistent": true}}"#;

fn configure(filter: &mut Value, changes: Value, routes: Vec<Value>) -> Result<()> {
    // A browser would keep to https for all of localhost's ports.
    merge(filter, json!({"security_headers": {"strict_transport_security": false}}));
    merge(filter, changes);
    let known = filter.get_mut("routes").and_then(Value::as_array_mut).context("the example has routes")?;
    known.splice(0..0, routes);
    Ok(())
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change,
    }
}

impl Ports {
    fn ensure_free(self) -> Result<()> {
        let Self { gate, tls, admin, sidecar, app } = self;
        for (port, what, flag) in [
            (gate, "the gate", "--port"),
            (tls, "the gate with TLS", "--tls-port"),
            (admin, "Envoy's admin interface", "--admin-port"),
            (sidecar, "the sidecar", "--sidecar-port"),
            (app, "the application", "--app-port"),
        ] {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
                format!(
                    "port {port} of {what} is taken: free it, or choose another: make run ARGS='{flag} {}'",
                    port + 20
                )
            })?;
        }
        Ok(())
    }
}
