//! What the service does, without a word of HTTP: sessions, tokens, login, logout, check.

mod changes;
mod check;
mod cut_off;
mod error;
mod leases;
mod limits;
mod login;
mod presented;
mod repair;
mod rules;
mod sessions;
mod signing;
mod tokens;

use std::{fmt, sync::Arc, time::Duration};

use session_gate_protocol::{FieldProblem, UnixSeconds};
use tokio::sync::Semaphore;

pub use self::{
    changes::Told,
    check::Counts,
    error::ServiceError,
    leases::{MAX_WORKER_CHARS, is_worker_name},
    rules::{MAX_RULES, RuleKind},
};
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
    tools: Tools,
    session: SessionConfig,
    tokens: TokenRules,
    readiness: Readiness,
    slow_signatures: Arc<Semaphore>,
}

/// How tokens are made.
#[derive(Clone, Debug)]
struct TokenRules {
    duration: Duration,
    issuer: String,
    audience: String,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("clock", &self.clock).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Service {
    /// A service that follows this configuration.
    pub fn new(tools: Tools, session: SessionConfig, tokens: &TokenConfig) -> Self {
        let TokenConfig { duration, issuer, audience, keys: _ } = tokens.clone();
        let tokens = TokenRules { duration, issuer, audience };
        let slow_signatures = signing::slow_signatures();
        Self { tools, session, tokens, readiness: Readiness::default(), slow_signatures }
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
    fn operation(&self) -> Result<OperationId, NoRandomness> {
        OperationId::new(&*self.tools.random)
    }

    fn now(&self) -> UnixSeconds {
        self.tools.clock.now()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tools: _, session, tokens, readiness: _, slow_signatures: _ } = self;
        f.debug_struct("Service").field("session", session).field("tokens", tokens).finish_non_exhaustive()
    }
}

/// One field that is wrong.
fn invalid(field: impl Into<String>, message: impl Into<String>) -> FieldProblem {
    FieldProblem { field: field.into(), message: message.into() }
}

/// The duration asked for, or the configured one; more than that is not to be had.
fn duration(asked: Option<u64>, configured: Duration, problems: &mut Vec<FieldProblem>) -> Duration {
    match asked {
        Some(seconds) if seconds == 0 || seconds > configured.as_secs() => {
            problems.push(invalid("duration", format!("must be 1 to {} seconds", configured.as_secs())));
            configured
        }
        Some(seconds) => Duration::from_secs(seconds),
        None => configured,
    }
}
