//! The store's connections, and how a script is run by one of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, ServerErrorKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keys::Keys;
use super::link::QueryError;
use super::nodes::Nodes;
use super::options::RedisOptions;
use super::scripts::{Line, Script};
use super::values::secs;
use crate::rng::Random;
use crate::store::limits::Parts;
use crate::store::{StoreError, StoreErrorKind, StoreSettings};

/// Sessions, the blacklist and the feed in Redis.
pub struct RedisStore {
    /// Connections of their own for the feed, for what somebody waits for with a request in his hand, and for what takes long:
    /// none of them waits behind another, or takes another's silence for its own.
    pub(super) feed: Nodes,
    pub(super) hot: Nodes,
    pub(super) bulk: Nodes,
    pub(super) keys: Keys,
    /// The issuer of the tokens, if anybody else's sessions are to be refused.
    pub(super) issuer: Option<String>,
    pub(super) settings: StoreSettings,
    pub(super) random: Arc<dyn Random>,
    /// Whether one script may use the keys of several users.
    pub(super) shares_slots: bool,
    pub(super) allow_eviction: bool,
    pub(super) step_timeout: Duration,
    /// Whether Redis has been found fit when it was last looked at, or unfit: see [`RedisStore::look`].
    pub(super) fit: AtomicBool,
    pub(super) unfit: AtomicBool,
    /// How counters are divided, and when Redis has said so.
    pub(super) counter_parts: Mutex<Option<(Parts, Instant)>>,
}

impl RedisStore {
    /// A store of these connections, which nobody has looked at yet.
    pub(super) fn new(
        [feed, hot, bulk]: [Nodes; 3],
        options: RedisOptions,
        settings: StoreSettings,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            feed,
            hot,
            bulk,
            keys: Keys::new(&options.key_prefix),
            shares_slots: !options.is_cluster(),
            issuer: options.issuer,
            settings,
            random,
            allow_eviction: options.allow_eviction,
            step_timeout: options.step_timeout,
            fit: AtomicBool::new(false),
            unfit: AtomicBool::new(false),
            counter_parts: Mutex::default(),
        }
    }

    /// Runs a script by its hash; by its text where this server does not know it yet, or no longer.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
        deadline: Instant,
    ) -> Result<T, StoreError> {
        if self.unfit.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unfit, "Redis is not used as it is set up"));
        }
        self.send(script, keys, arguments, deadline).await
    }

    /// The same, fit or not.
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
        deadline: Instant,
    ) -> Result<T, StoreError> {
        let nodes = match script.line {
            Line::Feed => &self.feed,
            Line::Hot => &self.hot,
            Line::Bulk => &self.bulk,
        };
        let key = keys.first().copied().unwrap_or_default();
        let command = |name, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match nodes.query(key, &command("EVALSHA", &script.hash), deadline).await {
            Err(QueryError::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                Ok(nodes.query(key, &command("EVAL", script.code), deadline).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// When a step that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.step_timeout
    }

    /// Seconds that what has ended stays known, as the scripts take it.
    pub(super) fn retention(&self) -> String {
        secs(self.settings.retention)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field is named here: the connections hold the password.
        let Self {
            feed: _,
            hot: _,
            bulk: _,
            keys,
            issuer: _,
            settings,
            random: _,
            shares_slots: _,
            allow_eviction,
            step_timeout,
            fit,
            unfit: _,
            counter_parts: _,
        } = self;
        f.debug_struct("RedisStore")
            .field("keys", keys)
            .field("settings", settings)
            .field("allow_eviction", allow_eviction)
            .field("step_timeout", step_timeout)
            .field("fit", fit)
            .finish_non_exhaustive()
    }
}
