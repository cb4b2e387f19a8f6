//! The store in Redis 6.2 or later, or Valkey 7.2 or later: one server, Sentinel or Cluster.
//!
//! Each step is one Lua script, so it happens at one moment; the moment is Redis' own time, so all
//! replicas of the sidecar agree on it. A step costs its caller at most [`STEP_TIMEOUT`], whatever
//! state Redis and the network are in.

mod check;
mod connector;
mod cut_off;
mod error;
mod feed;
mod fitness;
mod keys;
mod limits;
mod link;
mod nodes;
mod opaque;
mod options;
mod record;
mod report;
mod scripts;
mod sessions;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{ErrorKind, FromRedisValue, ServerErrorKind};
use session_gate_protocol::{
    Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SlotTag, TokenId, UnixSeconds,
    UserId,
};
use tokio::time::Instant;

use self::fitness::Look;
pub use self::fitness::RedisStartError;
use self::keys::Keys;
use self::limits::CounterParts;
use self::link::QueryError;
use self::nodes::Nodes;
pub use self::options::{MAX_KEY_PREFIX_CHARS, RedisOptions, RedisUrlError};
pub use self::report::{Eviction, Report};
use self::scripts::{Line, Script};
use super::{
    Admission, Admitted, BegunCutOff, Checked, CreateSession, FeedPage, FeedPosition, Followers, Health, IndexPlace,
    Leased, MAX_LIFETIME, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, SessionPage, Store, StoreError,
    StoreErrorKind, StoreSettings, Swept, Termination, Update,
};
use crate::rng::Random;

/// The name of each script that the store runs, and the hash that Redis knows it by.
#[cfg(any(test, feature = "test-util"))]
pub fn all_scripts() -> Vec<(&'static str, &'static str)> {
    scripts::all()
}

/// The text of the script of that name.
#[cfg(any(test, feature = "test-util"))]
pub fn script_code(name: &str) -> &'static str {
    scripts::code(name)
}

/// What a step costs its caller at most: connecting, waiting for a connection and for the answer
/// included. A filter that asks waits for it with a client's request in its hand, and can do better
/// than wait: its failure mode says what.
pub const STEP_TIMEOUT: Duration = Duration::from_millis(250);

/// What an attempt to connect may take, TLS and login included. No caller waits for all of it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Between the beginnings of two attempts to connect, and the same after several: soon enough to be back within a second.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// How often an idle connection is tried, so that a loss is noticed before a caller needs it.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// What a heartbeat may take until the connection is given up.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(250);

/// How often it is asked anew who is the master, while a server is used that its replicas have left.
const DESERTED_FOR: Duration = Duration::from_secs(5);

/// Sessions whose activity one script notes, so that it is over soon.
const MAX_TOUCHED: usize = 200;

/// Sessions, the blacklist and the feed in Redis.
pub struct RedisStore {
    /// Connections of their own for the feed, for what somebody waits for with a request in his hand, and for what takes long:
    /// none of them waits behind another, or takes another's silence for its own.
    feed: Nodes,
    hot: Nodes,
    bulk: Nodes,
    keys: Keys,
    /// The issuer of the tokens, if anybody else's sessions are to be refused.
    issuer: Option<String>,
    settings: StoreSettings,
    random: Arc<dyn Random>,
    /// Whether one script may use the keys of several users.
    shares_slots: bool,
    allow_eviction: bool,
    step_timeout: Duration,
    /// Whether Redis has been found fit when it was last looked at, or unfit: see [`RedisStore::inspect`].
    fit: AtomicBool,
    unfit: AtomicBool,
    counter_parts: CounterParts,
}

impl RedisStore {
    /// A store in the Redis that `options` name. Redis need not be there yet: then it is looked at by
    /// each [`Store::health`] that reaches it, and while that finds it unfit, no step is done. `random` makes the ids of
    /// the feed's epochs.
    ///
    /// # Errors
    /// [`RedisStartError`] where the options cannot be used, or where Redis is there and must not be used.
    pub async fn connect(
        options: RedisOptions,
        settings: StoreSettings,
        random: Arc<dyn Random>,
    ) -> Result<Self, RedisStartError> {
        let [feed, hot, bulk] = Nodes::start(&options).map_err(RedisStartError::Client)?;
        let store = Self {
            feed,
            hot,
            bulk,
            keys: Keys::new(&options.key_prefix),
            issuer: options.issuer.clone(),
            settings,
            random,
            shares_slots: !options.is_cluster(),
            allow_eviction: options.allow_eviction,
            step_timeout: options.step_timeout,
            fit: AtomicBool::new(false),
            unfit: AtomicBool::new(false),
            counter_parts: CounterParts::default(),
        };
        match store.look().await {
            Ok(_) => {}
            Err(Look::Unfit(unfit)) => return Err(unfit),
            Err(Look::Failed(error)) => {
                tracing::warn!(error = error.kind().as_str(), "Redis could not be looked at yet");
            }
        }
        Ok(store)
    }

    /// Asks Redis what it is set to do.
    ///
    /// # Errors
    /// [`StoreError`] where Redis cannot be reached. What it refuses to tell is unknown in the report.
    pub async fn inspect(&self) -> Result<Report, StoreError> {
        match Report::ask(&self.bulk, self.deadline()).await? {
            (_, Some(silent)) => Err(silent),
            (report, None) => Ok(report),
        }
    }

    /// Runs a script by its hash; by its text where this server does not know it yet, or no longer.
    async fn run<T: FromRedisValue>(
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
    async fn send<T: FromRedisValue>(
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
    fn deadline(&self) -> Instant {
        Instant::now() + self.step_timeout
    }

    /// Seconds that what has ended stays known, as the scripts take it.
    fn retention(&self) -> String {
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

#[async_trait]
impl Store for RedisStore {
    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        self.create(new, admission, op).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        Ok(self.read(id, self.deadline()).await?.map(|stored| stored.session))
    }

    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        self.change(id, patch, expected, op).await
    }

    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        self.terminate(id, op).await
    }

    async fn restore_suspension(&self, id: &SessionId, version: u64) -> Result<(), StoreError> {
        let keys = [&*self.keys.session(id), &self.keys.cut_offs(&id.tag())];
        self.run(&scripts::RESTORE_SUSPENSION, &keys, &[&version.to_string()], self.deadline()).await
    }

    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.page(user, page).await
    }

    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        self.begin(user, except, floor).await
    }

    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        self.finish(user, before, except).await
    }

    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        self.sweep(user, after).await
    }

    async fn revoke_token(&self, user: &UserId, token: &TokenId, expires_at: UnixSeconds) -> Result<(), StoreError> {
        self.run(
            &scripts::REVOKE,
            &[&self.keys.revoked(user, token)],
            &[&expires_at.0.to_string(), &MAX_LIFETIME.as_secs().to_string()],
            self.deadline(),
        )
        .await
    }

    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        self.check_token(token).await
    }

    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        expires_at: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.write_opaque(tag, hash, claims, expires_at).await
    }

    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        self.read_opaque(tag, hash).await
    }

    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        let resolution = secs(self.settings.activity_resolution);
        let touch = async |keys: &[&str]| self.run::<()>(&scripts::TOUCH, keys, &[&resolution], self.deadline()).await;
        let keys = sessions.iter().flat_map(|id| [self.keys.session(id), self.keys.cut_offs(&id.tag())]);
        let keys: Vec<String> = keys.collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        // In a Cluster each session may have a slot of its own. Nobody waits for this, so one after the
        // other will do, and a node that hangs is asked once.
        for keys in keys.chunks(2 * if self.shares_slots { MAX_TOUCHED } else { 1 }) {
            touch(keys).await?;
        }
        Ok(())
    }

    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        self.append_to_feed(entries).await
    }

    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        self.read_from_feed(known, limit).await
    }

    async fn publish_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.write_followers(replica, followers, lifetime).await
    }

    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.read_followers().await
    }

    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        self.take_lease(worker, ask).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let report = self.look().await.map_err(|look| match look {
            Look::Failed(error) => error,
            Look::Unfit(unfit) => StoreError::new(StoreErrorKind::Unfit, unfit),
        })?;
        let memory_bytes = report.used_memory;
        Ok(Health { backend: "redis", active_sessions: None, memory_bytes, counters: None })
    }
}

/// Whole seconds, as the scripts take them.
fn secs(duration: Duration) -> String {
    duration.min(MAX_LIFETIME).as_secs().to_string()
}

fn parsed<T: FromRedisValue>(value: redis::Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))
}
