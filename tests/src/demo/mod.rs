//! The demo: sidecar, an application and Envoy, and the story that shows what the gate does.

mod app;
mod story;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use self::story::{curl_lines, play};
use crate::envoy::{Config, Envoy};
use crate::redis::{Fsync, Redis};
use crate::sidecar::Sidecar;
use crate::stack::Store;
use crate::tools;

/// Where the demo's parts listen; 0 stands for a free port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Envoy: what clients talk to.
    pub gate: u16,
    /// Envoy's admin interface.
    pub admin: u16,
    /// The sidecar.
    pub sidecar: u16,
    /// The application.
    pub app: u16,
}

/// The running demo. Dropping it stops it, in the order of the fields.
#[derive(Debug)]
pub struct Demo {
    envoy: Envoy,
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
        ports.ensure_free()?;
        let (redis, environment) = match store {
            Store::Memory => (None, Vec::new()),
            Store::Redis => {
                eprintln!("starting Redis");
                let redis = Redis::start(dir, Fsync::Always).await?;
                let url = redis.url();
                (Some(redis), vec![("REDIS_URL".to_owned(), url)])
            }
        };
        eprintln!("starting the sidecar");
        let sidecar = match ports.sidecar {
            0 => Sidecar::start(environment, dir).await?,
            port => Sidecar::start_on(port, environment, dir).await?,
        };
        eprintln!("starting the application");
        let app = app::App::start(ports.app).await?;
        eprintln!("starting Envoy with the filter");
        let mut config = Config::example()?;
        config.use_ports(ports.gate, ports.admin)?;
        config.set_cluster_port("app", app.address().port())?;
        config.set_cluster_port("session-gate-sidecar", sidecar.address().port())?;
        config.set_module(&tools::filter()?)?;
        let envoy = Envoy::start(&config, 1, dir).await?;
        let demo = Self { envoy, app, sidecar, _redis: redis, dir: dir.to_owned() };
        story::wait_until_it_serves(demo.address()).await.with_context(|| demo.logs())?;
        Ok(demo)
    }

    /// Where the gate listens.
    pub fn address(&self) -> SocketAddr {
        self.envoy.address()
    }

    /// Who listens where, a line each.
    pub fn addresses(&self) -> String {
        format!(
            "  gate         http://{}\n  application  http://{} (behind the gate; never to be reached by clients)\n  \
             sidecar      http://{}\n  Envoy admin  http://{}\n  logs         {}",
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

impl Ports {
    fn ensure_free(self) -> Result<()> {
        let Self { gate, admin, sidecar, app } = self;
        for (port, what, flag) in [
            (gate, "the gate", "--port"),
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
