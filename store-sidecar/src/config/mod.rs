//! The configuration, read from flags, the environment and a file, into types that cannot be wrong.
//! Every mistake is reported, not just the first.

mod classes;
mod judge;
mod lockout;
mod log_level;
mod problem;
mod raw;
pub mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod validate;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use session_gate_protocol::{PublishedPolicy, WhenFull};
use tracing_subscriber::filter::Targets;

pub use self::{
    lockout::LockoutConfig,
    problem::{Problem, Problems},
    sources::{SourceFile, Sources},
};
use crate::{
    credentials::Credentials,
    keys::KeySource,
    store::{StoreSettings, redis::RedisOptions},
};

/// The configuration.
#[derive(Debug)]
pub struct Config {
    /// Where and how it listens.
    pub server: ServerConfig,
    /// Who may call what.
    pub credentials: Credentials,
    /// SessionConfig.
    pub session: SessionConfig,
    /// Tokens and the keys that sign them.
    pub tokens: TokenConfig,
    /// What is published at `/v1/policy`, and to filters: SecurityConfig and the durations.
    pub policy: PublishedPolicy,
    /// MonitoringConfig.
    pub monitoring: MonitoringConfig,
    /// Redis; none: sessions are kept in memory.
    pub redis: Option<RedisOptions>,
}

/// Where and how the service listens.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address.
    pub listen: SocketAddr,
    /// How long it serves on, unready, once it has been told to stop.
    pub shutdown_delay: Duration,
    /// How long requests in flight may take to finish at the end.
    pub drain: Duration,
}

/// How long sessions live and what they may hold.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// How long a session lives at most.
    pub duration: Duration,
    /// How long it lives without activity; none: as long as with.
    pub idle_timeout: Option<Duration>,
    /// What is different for sessions of a class, by its name.
    pub classes: BTreeMap<String, SessionClass>,
    /// How many a user may have; 0: any number.
    pub max_per_user: usize,
    /// What becomes of a login beyond that.
    pub when_full: WhenFull,
    /// Whether a change of the password ends the user's other sessions.
    pub password_change_ends_sessions: bool,
    /// How failed logins are counted.
    pub lockout: LockoutConfig,
    /// What the store is told.
    pub store: StoreSettings,
}

/// How long sessions of a class live, and their cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionClass {
    /// How long a session lives at most.
    pub duration: Duration,
    /// How long it lives without activity; none: as long as with.
    pub idle_timeout: Option<Duration>,
    /// Whether a browser may keep its cookie when it is closed.
    pub is_persistent: bool,
}

impl SessionConfig {
    /// How long a session lives at most that has no class.
    pub const fn without_class(&self) -> SessionClass {
        SessionClass { duration: self.duration, idle_timeout: self.idle_timeout, is_persistent: false }
    }

    /// How long a session of any class lives at most.
    pub fn longest(&self) -> Duration {
        self.classes.values().map(|class| class.duration).fold(self.duration, Duration::max)
    }
}

/// What tokens say and how they are signed.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// How long a token lives at most.
    pub duration: Duration,
    /// How long before its end it is renewed; zero: never.
    pub refresh_threshold: Duration,
    /// The `iss` claim: can be a header's value.
    pub issuer: String,
    /// The `aud` claim: can be a header's value.
    pub audience: String,
    /// Where the keys come from.
    pub keys: KeySource,
}

/// What the service says of itself.
#[derive(Clone, Debug)]
pub struct MonitoringConfig {
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// Which events are logged.
    pub log: Targets,
    /// How they are written.
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let (raw, origins) = sources::merge(sources, &mut problems);
        let config = validate::config(raw, &origins, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }
}
