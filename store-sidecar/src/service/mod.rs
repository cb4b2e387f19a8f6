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
mod tokens;

use std::{fmt, sync::Arc, time::Duration};

use session_gate_protocol::{FieldProblem, UnixSeconds};

pub use self::{
    changes::Told,
    error::ServiceError,
    leases::{MAX_WORKER_CHARS, is_worker_name},
};
use crate::{
    clock::Clock,
    config::{SessionConfig, TokenConfig},
    feed::Feed,
    keys::{CurrentKeys, KeyRing},
    metrics::Metrics,
    rng::Random,
    store::{Health, Store},
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
        Self { tools, session, tokens: TokenRules { duration, issuer, audience } }
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

    /// How the store is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn health(&self) -> Result<Health, ServiceError> {
        Ok(self.tools.store.health().await?)
    }

    fn now(&self) -> UnixSeconds {
        self.tools.clock.now()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tools: _, session, tokens } = self;
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
