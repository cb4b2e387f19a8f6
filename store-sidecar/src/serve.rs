//! Puts the parts together and serves until told to stop: stop accepting, drain, end.

use std::{
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::Router;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    clock::{Clock, SystemClock},
    config::{Config, ServerConfig},
    connections,
    credentials::{Credentials, CurrentCredentials},
    critical,
    feed::Feed,
    http::{self, Api},
    keys::{CurrentKeys, KeyProblem, KeyRing},
    latest::Latest,
    logging::chain,
    metered_store::MeteredStore,
    metrics::Metrics,
    rng::{NoRandomness, OsRandom, Random, random_bytes},
    service::{Service, Tools},
    store::{
        Store,
        memory::MemoryStore,
        redis::{RedisStartError, RedisStore},
    },
};

/// Between two attempts to tell workers of new keys.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// How often an idle memory store frees what has expired; each write frees some as well.
const CLEANUP_PERIOD: Duration = Duration::from_secs(60);

/// Why the service could not start, or stopped.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The keys cannot be used.
    #[error("{}", .0.iter().map(|problem| problem.problem.to_string()).collect::<Vec<_>>().join("; "))]
    Keys(Vec<KeyProblem>),
    /// The system has no random numbers to give.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisStartError),
}

/// A service that is ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    api: Arc<Api>,
    router: Router,
    keys: Arc<CurrentKeys>,
    shutdown_delay: Duration,
    drain: Duration,
}

/// How hard the process was told to stop: each further signal counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    GoOn,
    /// It is unready, but serves on for a while: whoever sends it requests does not know yet.
    Gradually,
    /// It accepts no more connections, and answers what is under way.
    Drain,
}

/// A part without which the process is of no use has failed.
#[derive(Clone, Copy, Debug, Error)]
#[error("{0} has ended")]
pub struct PartFailed(&'static str);

impl Server {
    /// Puts the service together and opens its port.
    ///
    /// # Errors
    /// [`ServeError`] where a part cannot be had.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let metrics = Arc::new(Metrics::default());
        let ring = config.tokens.keys.load(&*random).map_err(ServeError::Keys)?;
        let keys = Arc::new(CurrentKeys::new(ring));
        let store = store(&config, Arc::clone(&clock), Arc::clone(&random)).await?;
        let store: Arc<dyn Store> = Arc::new(MeteredStore::new(store, Arc::clone(&metrics)));
        let replica = format!("{:032x}", u128::from_be_bytes(random_bytes::<16>(&*random)?));
        let feed = Arc::new(Feed::start(Arc::clone(&store), Arc::clone(&metrics), replica));
        let tools = Tools { clock, feed, keys: Arc::clone(&keys), metrics, random: Arc::clone(&random), store };
        let Config { server, credentials, session, tokens, policy, monitoring, redis: _ } = config;
        if credentials.is_open() {
            tracing::warn!("no credentials are configured: every process of this machine may call the API");
        }
        let service = Service::new(tools, session, &tokens);
        let api = Arc::new(Api {
            service,
            credentials: CurrentCredentials::new(credentials),
            policy,
            metrics: monitoring.metrics,
        });
        let listener = TcpListener::bind(server.listen)
            .await
            .map_err(|source| ServeError::Bind { address: server.listen, source })?;
        let router = http::router(Arc::clone(&api), random);
        let ServerConfig { listen: _, shutdown_delay, drain } = server;
        Ok(Self { listener, api, router, keys, shutdown_delay, drain })
    }

    /// What exchanges keys and credentials.
    pub fn exchange(&self) -> Exchange {
        Exchange { keys: Arc::clone(&self.keys), api: Arc::clone(&self.api), telling: Latest::default() }
    }

    /// Serves until it is told to stop; then requests in flight may finish, for as long as configured.
    ///
    /// # Errors
    /// [`PartFailed`], at once: only a new process can help.
    pub async fn run(self, stop: watch::Receiver<Stop>) -> Result<(), PartFailed> {
        let Self { listener, api, router, keys: _, shutdown_delay, drain } = self;
        let watched = Arc::clone(&api);
        let watcher = Arc::clone(&api);
        let watcher = critical::spawn("the watching of the store", async move { watcher.service.watch_store().await });
        let telling = Arc::clone(&api);
        let teller =
            critical::spawn("the telling of ended sessions", async move { telling.service.watch_evictions().await });
        match listener.local_addr() {
            Ok(address) => tracing::info!(%address, "listening"),
            Err(error) => tracing::warn!(%error, "listening on an address that cannot be told"),
        }
        let (stopping, stopped) = oneshot::channel::<()>();
        let stop = async move {
            unready_first(&api, stop, shutdown_delay).await;
            tracing::info!(drain_seconds = drain.as_secs(), "stopping");
            api.service.close();
            drop(stopping);
        };
        let metrics = Arc::clone(watched.service.metrics());
        let serving = connections::serve(listener, router, stop, &metrics);
        let deadline = async move {
            // Always an error: the sender is dropped, at the end or with the service itself.
            stopped.await.ok();
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            () = serving => tracing::info!("stopped"),
            () = deadline => tracing::warn!("stopped with requests in flight"),
            part = critical::ended() => return Err(PartFailed(part)),
        }
        watcher.abort();
        teller.abort();
        Ok(())
    }
}

/// Returns when no more connections are to be accepted: some time after the process was told to stop, unless it is told
/// again. Until then it is unready and serves on, since whoever sends it requests learns of that with a delay.
async fn unready_first(api: &Api, mut stop: watch::Receiver<Stop>, delay: Duration) {
    // Where nobody can tell it to stop any more, nobody does.
    let asked = stop.wait_for(|stop| *stop >= Stop::Gradually).await.map(|stop| *stop);
    match asked {
        Err(_) => std::future::pending().await,
        Ok(stop) if stop >= Stop::Drain => api.service.stop(),
        Ok(_) => {
            api.service.stop();
            tracing::info!(delay_seconds = delay.as_secs(), "not ready any more");
            drop(timeout(delay, stop.wait_for(|stop| *stop >= Stop::Drain)).await);
        }
    }
}

/// Exchanges keys and credentials of a running service.
#[derive(Clone, Debug)]
pub struct Exchange {
    keys: Arc<CurrentKeys>,
    api: Arc<Api>,
    telling: Latest,
}

impl Exchange {
    /// Accepts these credentials from now on, and no others. Answers whether it does: none at all never take the place
    /// of some.
    pub fn replace_credentials(&self, credentials: Credentials) -> bool {
        self.api.credentials.replace(credentials)
    }

    /// Signs with these keys from now on, and tells every worker to fetch them: as often as it takes.
    pub fn replace_keys(&self, ring: KeyRing) {
        self.keys.replace(ring);
        let api = Arc::clone(&self.api);
        self.telling.begin(async move {
            while let Err(error) = api.service.keys_changed().await {
                tracing::warn!(error = %chain(&error), "workers could not be told of the keys yet");
                tokio::time::sleep(TELL_AGAIN).await;
            }
        });
    }
}

async fn store(
    config: &Config,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<dyn Store>, RedisStartError> {
    let settings = config.session.store;
    Ok(match &config.redis {
        Some(options) => Arc::new(RedisStore::connect(options.clone(), settings, random).await?),
        None => {
            tracing::info!("sessions are kept in memory: a restart ends them all");
            let store = Arc::new(MemoryStore::new(clock, settings, random));
            tokio::spawn(clean_up(Arc::downgrade(&store)));
            store
        }
    })
}

/// Frees what has expired while nothing is written, for as long as there is a store.
async fn clean_up(store: Weak<MemoryStore>) {
    loop {
        tokio::time::sleep(CLEANUP_PERIOD).await;
        let Some(store) = store.upgrade() else { return };
        let removed = store.cleanup().await;
        tracing::debug!(removed, "cleaned up");
    }
}
