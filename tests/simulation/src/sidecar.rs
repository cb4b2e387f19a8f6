//! One replica of the sidecar: the real service and its real router, over the shared store.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use secrecy::SecretString;
use session_gate_protocol::{PROTOCOL_HEADER, PublishedPolicy, WhenFull};
use store_sidecar::{
    config::{SessionConfig, TokenConfig},
    credentials::{Credentials, CurrentCredentials},
    feed::{Feed, Pages},
    http::{Api, attached, router},
    keys::{Algorithm, CurrentKeys, KeySource, Signing},
    metrics::Metrics,
    rng::{NoRandomness, Random},
    service::{Service, Tools},
    store::{LockRules, Store, StoreSettings},
};
use tokio::task::AbortHandle;
use tower::ServiceExt;

use crate::{
    clocks::Wall,
    guesses,
    lives::Lives,
    store::{ReplicaStore, SharedStore, StoreLink},
    tasks::Work,
};

/// A call of the API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiCall {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The body's media type.
    pub content_type: Option<&'static str>,
    /// Which version of the filter's protocol the caller speaks.
    pub protocol: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the API answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status; 0: no answer came about.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// What all replicas have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The store.
    pub store: Arc<SharedStore>,
    /// What the store is told.
    pub settings: StoreSettings,
    /// The sizes of pages.
    pub pages: Pages,
    /// After how long without use a session ends.
    pub idle_timeout: Option<Duration>,
    /// How long tokens live.
    pub lives: Lives,
    /// When failed logins lock an account; none: as by default.
    pub guesses: Option<LockRules>,
    /// Where ids come from.
    pub random: Arc<SeededRandom>,
}

/// A replica that runs.
pub struct Sidecar {
    api: Arc<Api>,
    keys: Arc<CurrentKeys>,
    random: Arc<dyn Random>,
    /// Tells of sessions that logins have ended whose replica has died.
    telling: AbortHandle,
    router: Box<dyn Fn(Request<Full<Bytes>>) -> Work<Answer>>,
}

/// Random bytes that are the same for the same seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    /// The bytes of that seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
        Ok(())
    }
}

fn secret(number: u32) -> SecretString {
    SecretString::from(format!("a secret for a simulation, and for nothing else: {number}"))
}

/// The keys of that generation: one signs, and a neighbour verifies as well.
fn key_source(signs: u32, verifies: Option<u32>) -> KeySource {
    let signing = Signing::Secret { secret: secret(signs), algorithm: Algorithm::Hs256 };
    KeySource { signing, previous_secret: verifies.map(secret) }
}

impl fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecar").finish_non_exhaustive()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.telling.abort();
    }
}

impl Sidecar {
    /// Starts a replica of that name, whose wall clock is `wall` and whose keys are these.
    ///
    /// # Errors
    /// Where the keys cannot be used.
    pub fn start(
        common: &Common,
        link: &Arc<StoreLink>,
        name: String,
        wall: Wall,
        keys: (u32, Option<u32>),
    ) -> Result<Self> {
        let store: Arc<dyn Store> = Arc::new(ReplicaStore::new(Arc::clone(&common.store), Arc::clone(link)));
        let random: Arc<dyn Random> = Arc::clone(&common.random) as _;
        let metrics = Arc::new(Metrics::default());
        let source = key_source(keys.0, keys.1);
        let ring = source.load(&*random).map_err(|problems| anyhow!("the keys cannot be used: {problems:?}"))?;
        let keys = Arc::new(CurrentKeys::new(ring));
        let feed = Arc::new(Feed::start_with(Arc::clone(&store), Arc::clone(&metrics), name, common.pages));
        let tools =
            Tools { clock: Arc::new(wall), feed, keys: Arc::clone(&keys), metrics, random: Arc::clone(&random), store };
        let session = SessionConfig {
            duration: Duration::from_hours(24),
            idle_timeout: common.idle_timeout,
            classes: BTreeMap::new(),
            max_per_user: 0,
            when_full: WhenFull::default(),
            password_change_ends_sessions: true,
            lockout: guesses::lockout(common.guesses),
            store: common.settings,
        };
        let tokens = TokenConfig {
            duration: common.lives.duration(),
            refresh_threshold: common.lives.threshold(),
            issuer: "session-gate".to_owned(),
            audience: "simulation".to_owned(),
            keys: source,
        };
        let service = Service::new(tools, session, &tokens);
        let api = Arc::new(Api {
            service,
            credentials: CurrentCredentials::new(Credentials::default()),
            policy: policy(common.lives),
            metrics: false,
        });
        let routes = router(Arc::clone(&api), Arc::clone(&random));
        let router = move |request| -> Work<Answer> {
            let routes = routes.clone();
            // A crash is the end of whatever it is at.
            Box::pin(attached(async move {
                let response = match ServiceExt::<Request<Full<Bytes>>>::oneshot(routes, request).await {
                    Ok(response) => response,
                    Err(never) => return no_answer(never),
                };
                let status = response.status().as_u16();
                match response.into_body().collect().await {
                    Ok(body) => Answer { status, body: body.to_bytes() },
                    Err(_) => Answer::default(),
                }
            }))
        };
        let telling = Arc::clone(&api);
        let telling = tokio::spawn(async move { telling.service.watch_evictions().await }).abort_handle();
        Ok(Self { api, keys, random, telling, router: Box::new(router) })
    }

    /// Answers a call, in time.
    pub fn answer(&self, call: &ApiCall) -> Work<Answer> {
        let mut request = Request::builder().method(call.method).uri(&call.path);
        if let Some(content_type) = call.content_type {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        if let Some(protocol) = &call.protocol {
            request = request.header(PROTOCOL_HEADER, protocol);
        }
        match request.body(Full::from(call.body.clone())) {
            Ok(request) => (self.router)(request),
            Err(_) => Box::pin(async { Answer::default() }),
        }
    }

    /// Signs with a key and verifies with another, too, from now on. What is answered tells everybody.
    ///
    /// # Errors
    /// Where the keys cannot be used.
    pub fn exchange_keys(&self, signs: u32, verifies: u32) -> Result<Work<Answer>> {
        let ring = key_source(signs, Some(verifies)).load(&*self.random);
        self.keys.replace(ring.map_err(|problems| anyhow!("the keys cannot be used: {problems:?}"))?);
        let api = Arc::clone(&self.api);
        Ok(Box::pin(async move {
            let told = api.service.keys_changed().await;
            Answer { status: if told.is_ok() { 200 } else { 503 }, body: Bytes::new() }
        }))
    }
}

fn no_answer(never: Infallible) -> Answer {
    match never {}
}

fn policy(lives: Lives) -> PublishedPolicy {
    PublishedPolicy {
        min_password_length: 12,
        max_login_attempts: 5,
        lockout_duration: 1800,
        require_2fa: false,
        force_logout_on_password_change: true,
        require_https: false,
        session_duration: 86_400,
        session_idle_timeout: None,
        token_duration: lives.duration,
        token_refresh_threshold: lives.threshold,
    }
}
