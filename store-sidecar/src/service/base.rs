//! The service itself: what it works with, and how it is.

use std::{fmt, sync::Arc, thread::available_parallelism, time::Duration};

use session_gate_protocol::{FeedCursor, NotApplied, Receipt, SessionId, UnixSeconds, UserId};
use tokio::sync::{Semaphore, watch};

use super::under_way::UnderWay;
use crate::{
    clock::Clock,
    config::{SessionConfig, TokenConfig},
    feed::Feed,
    keys::{CurrentKeys, KeyRing},
    metrics::Metrics,
    readiness::{self, NotReady, Readiness, StoreState},
    rng::{NoRandomness, Random},
    store::{OperationId, Store},
};

/// How many repairs are under way at a time: a store that refuses them must not be flooded with them. What is not mended
/// now is mended when somebody asks again.
const MOST_REPAIRS: usize = 64;

/// How many sweeps are under way at a time: far more than there are users who end all of their sessions in these
/// milliseconds. What is not swept now goes with the next sweep of that user, or with its time.
const MOST_SWEEPS: usize = 1_000;

/// How many sessions that nobody has are being ended at a time. Beyond that they expire: a store that is away must not be
/// flooded with them when it is back.
const MOST_ABANDONMENTS: usize = 1_000;

/// What the service works with.
#[derive(Clone)]
pub struct Tools {
    /// Tells the time that tokens are dated by.
    pub clock: Arc<dyn Clock>,
    /// Tells every worker what has changed.
    pub feed: Arc<Feed>,
    /// The keys that sign.
    pub keys: Arc<CurrentKeys>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Makes ids.
    pub random: Arc<dyn Random>,
    /// Holds sessions and the blacklist.
    pub store: Arc<dyn Store>,
}

/// What the service does.
pub struct Service {
    pub(super) tools: Tools,
    pub(super) session: SessionConfig,
    pub(super) tokens: TokenRules,
    readiness: Readiness,
    /// One repair of a session at a time.
    pub(super) repairs: Arc<UnderWay<SessionId>>,
    /// One sweep of a user's sessions at a time.
    pub(super) sweeps: Arc<UnderWay<UserId>>,
    /// The sessions that may have begun, and that nobody has.
    pub(super) abandonments: Arc<UnderWay<SessionId>>,
    /// Whether nobody is to wait any more.
    closing: watch::Sender<bool>,
    /// How many signatures that take milliseconds may be made at a time: no more than there are processors.
    pub(super) slow_signatures: Arc<Semaphore>,
}

/// How tokens are made.
#[derive(Clone, Debug)]
pub(super) struct TokenRules {
    pub(super) duration: Duration,
    pub(super) refresh_threshold: Duration,
    pub(super) issuer: String,
    pub(super) audience: String,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("clock", &self.clock).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Service {
    /// A service that follows this configuration.
    pub fn new(tools: Tools, session: SessionConfig, tokens: &TokenConfig) -> Self {
        let TokenConfig { duration, refresh_threshold, issuer, audience, keys: _ } = tokens.clone();
        let tokens = TokenRules { duration, refresh_threshold, issuer, audience };
        let slow_signatures = Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from)));
        Self {
            tools,
            session,
            tokens,
            readiness: Readiness::default(),
            repairs: Arc::new(UnderWay::new(MOST_REPAIRS)),
            sweeps: Arc::new(UnderWay::new(MOST_SWEEPS)),
            abandonments: Arc::new(UnderWay::new(MOST_ABANDONMENTS)),
            closing: watch::Sender::default(),
            slow_signatures,
        }
    }

    /// The keys in use.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.tools.keys.get()
    }

    /// The change feed.
    pub fn feed(&self) -> &Feed {
        &self.tools.feed
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.tools.metrics
    }

    /// Why requests should be sent to another replica, if they should.
    pub fn not_ready(&self) -> Option<NotReady> {
        self.readiness.problem(self.tools.feed.is_read())
    }

    /// From now on requests should be sent to another replica.
    pub fn stop(&self) {
        self.readiness.stop();
    }

    /// From now on nobody waits here for news, nor until everybody knows of something: the process is about to end.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.tools.feed.close();
    }

    /// Waits until everybody knows of what has been told up to there, or until the process is about to end.
    pub async fn receipt(&self, at: FeedCursor) -> Receipt {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            receipt = self.tools.feed.receipt(at) => receipt,
            _ = closing.wait_for(|closing| *closing) => {
                Receipt { applied: false, pending: Vec::new(), reason: Some(NotApplied::SidecarStopping) }
            }
        }
    }

    /// How the store was when it was last looked at: now, where nobody watches it.
    pub async fn store_state(&self) -> StoreState {
        match self.readiness.store() {
            Some(state) => state,
            None => readiness::look(&*self.tools.store).await,
        }
    }

    /// Looks at the store now and then, for ever.
    pub async fn watch_store(&self) {
        self.readiness.watch(&*self.tools.store).await;
    }

    /// Names the next operation of the store.
    pub(super) fn operation(&self) -> Result<OperationId, NoRandomness> {
        OperationId::new(&*self.tools.random)
    }

    pub(super) fn now(&self) -> UnixSeconds {
        self.tools.clock.now()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tools: _,
            session,
            tokens,
            readiness: _,
            repairs: _,
            sweeps: _,
            abandonments: _,
            closing: _,
            slow_signatures: _,
        } = self;
        f.debug_struct("Service").field("session", session).field("tokens", tokens).finish_non_exhaustive()
    }
}
