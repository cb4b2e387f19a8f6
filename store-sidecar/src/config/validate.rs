//! Judges what the raw types hold, section by section, and collects every mistake.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use session_gate_protocol::{
    MAX_LEEWAY, MAX_SESSION_LIMIT, MIN_CREDENTIAL_CHARS, PublishedPolicy, WhenFull, is_header_safe,
};
use tracing_subscriber::filter::Targets;

use super::{
    Config, LockoutConfig, LogFormat, MonitoringConfig, ServerConfig, SessionConfig, TokenConfig, classes,
    judge::{Judge, hours, minutes},
    lockout, log_level,
    problem::Problems,
    raw::{
        RawConfig, RawCredentials, RawLimits, RawMonitoring, RawRedis, RawSecurity, RawServer, RawSession, RawTokens,
    },
    sources::Origins,
};
use crate::{
    credentials::{Credentials, Role},
    keys::{Algorithm, KeyOrigin, KeySource, KeyType, Signing},
    store::{
        FEWEST_COUNTERS, StoreSettings,
        redis::{MAX_KEY_PREFIX_CHARS, RedisOptions, RedisUrlError},
    },
};

/// The configuration; none where it could not even be put together. Whether it may be used is for
/// `problems` to say.
pub(super) fn config(raw: RawConfig, origins: &Origins, problems: &mut Problems) -> Option<Config> {
    let judge = &mut Judge { origins, problems };
    let RawConfig { credentials, limits, monitoring, redis, security, server, session, tokens } = raw;
    let server = self::server(server.unwrap_or_default(), judge);
    let credentials = self::credentials(credentials.unwrap_or_default(), server.listen, judge);
    let mut session = self::session(session.unwrap_or_default(), judge);
    let (tokens, refresh_threshold) = self::tokens(tokens.unwrap_or_default(), judge);
    let security = security.unwrap_or_default();
    let policy = policy(&security, &session, judge);
    session.password_change_ends_sessions = policy.force_logout_on_password_change;
    let longest = Duration::from_secs(policy.lockout_duration);
    session.lockout = lockout::judged(&security, policy.max_login_attempts, longest, judge);
    let monitoring = self::monitoring(monitoring.unwrap_or_default(), judge);
    session.store.max_counters = max_counters(&limits.unwrap_or_default(), judge);
    let redis = self::redis(redis.unwrap_or_default(), judge);
    let tokens = tokens?;
    session.store.feed_horizon = tokens.duration.saturating_add(MAX_LEEWAY);
    let policy = PublishedPolicy {
        token_duration: tokens.duration.as_secs(),
        token_refresh_threshold: refresh_threshold.as_secs(),
        ..policy
    };
    let redis = redis.map(|options| options.issuer(tokens.issuer.clone()));
    Some(Config { server, credentials, session, tokens, policy, monitoring, redis })
}

fn server(raw: RawServer, judge: &mut Judge<'_>) -> ServerConfig {
    let default = SocketAddr::from(([127, 0, 0, 1], 8081));
    let listen = match raw.listen.as_deref().map(str::parse) {
        None => default,
        Some(Ok(listen)) => listen,
        Some(Err(_)) => {
            let text = raw.listen.unwrap_or_default();
            judge.refuse(
                "server.listen",
                format!("is {text:?}; allowed: an IP address and a port, such as 127.0.0.1:8081"),
            );
            default
        }
    };
    let delay = judge.number("server.shutdown_delay_seconds", raw.shutdown_delay_seconds, 5, 0..=300);
    ServerConfig {
        listen,
        shutdown_delay: Duration::from_secs(delay),
        drain: Duration::from_secs(judge.number("server.drain_seconds", raw.drain_seconds, 10, 0..=300)),
    }
}

fn credentials(raw: RawCredentials, listen: SocketAddr, judge: &mut Judge<'_>) -> Credentials {
    let RawCredentials { admin, admin_file, app, app_file, filter, filter_file, monitor, monitor_file } = raw;
    let mut credentials = Credentials::default();
    let mut any_given = false;
    for (role, path, list, file) in [
        (Role::Admin, "credentials.admin", admin, admin_file),
        (Role::App, "credentials.app", app, app_file),
        (Role::Filter, "credentials.filter", filter, filter_file),
        (Role::Monitor, "credentials.monitor", monitor, monitor_file),
    ] {
        any_given |= role != Role::Monitor && (list.is_some() || file.is_some());
        let Some(text) = judge.text_or_file(path, list.map(|list| list.join("\n")), file) else { continue };
        let mut given = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
        if given.peek().is_none() {
            judge.refuse(path, "has no credential in it");
        }
        for credential in given {
            if credential.chars().count() < MIN_CREDENTIAL_CHARS {
                judge.refuse(
                    path,
                    format!("has a credential that is too short; allowed: {MIN_CREDENTIAL_CHARS} characters or more"),
                );
            } else if !credential.bytes().all(|b| b.is_ascii_graphic()) {
                judge.refuse(path, "has a credential that no header can carry; allowed: visible ASCII characters");
            } else if let Err(other) = credentials.add(role, credential) {
                judge.refuse(path, format!("has a credential that the role {} has too", other.as_str()));
            }
        }
    }
    if !any_given && !listen.ip().is_loopback() {
        let message = format!(
            "is {listen}, which other machines can reach, so callers need credentials; set SESSION_GATE_APP_CREDENTIALS \
             and SESSION_GATE_FILTER_CREDENTIALS, or listen on 127.0.0.1"
        );
        judge.refuse("server.listen", message);
    }
    credentials
}

fn session(raw: RawSession, judge: &mut Judge<'_>) -> SessionConfig {
    let duration = judge.number("session.duration_hours", raw.duration_hours, 24, 1..=8760);
    let idle = raw
        .idle_timeout_minutes
        .map(|given| judge.number("session.idle_timeout_minutes", Some(given), 30, 1..=duration.saturating_mul(60)));
    let defaults = StoreSettings::default();
    let resolution = judge.number(
        "session.activity_resolution_seconds",
        raw.activity_resolution_seconds,
        defaults.activity_resolution.as_secs(),
        1..=3600,
    );
    let retention = judge.number("session.ended_retention_hours", raw.ended_retention_hours, 24, 1..=720);
    // Below the limit of a request's body, so that what may be stored can be sent.
    let max_metadata = judge.number("session.max_metadata_bytes", raw.max_metadata_bytes, 16_384, 0..=49_152);
    let max_per_user = judge.number("session.max_per_user", raw.max_per_user, 1_000, 0..=MAX_SESSION_LIMIT);
    let when_full = when_full(raw.when_full.as_deref(), judge);
    SessionConfig {
        duration: hours(duration),
        idle_timeout: idle.map(minutes),
        classes: classes::judged(raw.classes.unwrap_or_default(), duration, judge),
        max_per_user: usize::try_from(max_per_user).unwrap_or(usize::MAX),
        when_full,
        // A section of its own, see `config`.
        password_change_ends_sessions: true,
        lockout: LockoutConfig::default(),
        store: StoreSettings {
            retention: hours(retention),
            activity_resolution: Duration::from_secs(resolution),
            // Follows from the tokens' duration, see `config`.
            feed_horizon: defaults.feed_horizon,
            max_metadata_bytes: usize::try_from(max_metadata).unwrap_or(defaults.max_metadata_bytes),
            // A section of its own, see `config`.
            max_counters: defaults.max_counters,
            counter_parts: defaults.counter_parts,
        },
    }
}

fn when_full(given: Option<&str>, judge: &mut Judge<'_>) -> WhenFull {
    let Some(given) = given else { return WhenFull::default() };
    WhenFull::ALL.into_iter().find(|choice| choice.as_str() == given).unwrap_or_else(|| {
        let names = WhenFull::ALL.map(WhenFull::as_str).join(", ");
        judge.refuse("session.when_full", format!("is {given:?}; allowed: {names}"));
        WhenFull::default()
    })
}

fn max_counters(raw: &RawLimits, judge: &mut Judge<'_>) -> usize {
    let default = StoreSettings::default().max_counters;
    let usual = u64::try_from(default).unwrap_or(u64::MAX);
    let fewest = u64::try_from(FEWEST_COUNTERS).unwrap_or(u64::MAX);
    let given = judge.number("limits.max_counters", raw.max_counters, usual, fewest..=100_000_000);
    usize::try_from(given).unwrap_or(default)
}

fn tokens(raw: RawTokens, judge: &mut Judge<'_>) -> (Option<TokenConfig>, Duration) {
    let duration = judge.number("tokens.duration_hours", raw.duration_hours, 1, 1..=8760);
    let longest = duration.saturating_mul(60).saturating_sub(1);
    let threshold =
        judge.number("tokens.refresh_threshold_minutes", raw.refresh_threshold_minutes, 15.min(longest), 0..=longest);
    let mut name = |path: &str, given: Option<String>| match given {
        Some(text) if !is_header_safe(&text) || text.len() > 256 => {
            judge.refuse(
                path,
                "is not usable; allowed: 1 to 256 bytes without control characters or blanks at the ends",
            );
            String::new()
        }
        given => given.unwrap_or_else(|| "session-gate".to_owned()),
    };
    let issuer = name("tokens.issuer", raw.issuer.clone());
    let audience = name("tokens.audience", raw.audience.clone());
    let keys = key_source(raw, judge);
    let refresh_threshold = minutes(threshold);
    let tokens = keys.map(|keys| TokenConfig { duration: hours(duration), refresh_threshold, issuer, audience, keys });
    (tokens, refresh_threshold)
}

fn algorithm(name: &str, judge: &mut Judge<'_>) -> Option<Algorithm> {
    let algorithm = Algorithm::from_name(name);
    if algorithm.is_none() {
        let names = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        judge.refuse("tokens.algorithm", format!("is {name:?}; allowed: {names}"));
    }
    algorithm
}

fn key_source(raw: RawTokens, judge: &mut Judge<'_>) -> Option<KeySource> {
    let RawTokens { algorithm, jwt_secret, jwt_secret_file, jwt_secret_previous, jwt_secret_previous_file, .. } = raw;
    let algorithm = algorithm.and_then(|name| self::algorithm(&name, judge));
    let secret_given = jwt_secret.is_some() || jwt_secret_file.is_some();
    let secret = judge.text_or_file("tokens.jwt_secret", jwt_secret, jwt_secret_file).map(SecretString::from);
    let previous_secret = judge
        .text_or_file("tokens.jwt_secret_previous", jwt_secret_previous, jwt_secret_previous_file)
        .map(SecretString::from);
    let files = raw.key_files.filter(|files| !files.is_empty());
    let given = [secret_given, files.is_some(), raw.generate_key.is_some()].into_iter().filter(|given| *given).count();
    if given > 1 {
        let message = "is one of several signing keys; set only one of JWT_SECRET, SESSION_GATE_KEY_FILES and \
                       SESSION_GATE_GENERATE_KEY (a former secret goes into JWT_SECRET_PREVIOUS)";
        let path = if files.is_some() { "tokens.key_files" } else { "tokens.generate_key" };
        judge.refuse(path, message);
        return None;
    }
    let signing = match (secret, files, raw.generate_key) {
        (Some(secret), _, _) => {
            let algorithm = algorithm.unwrap_or(Algorithm::Hs256);
            if algorithm.key_type() != KeyType::Hmac {
                judge.refuse(
                    "tokens.algorithm",
                    format!("is {algorithm}, which needs a key file; allowed with JWT_SECRET: HS256, HS384, HS512"),
                );
                return None;
            }
            Signing::Secret { secret, algorithm }
        }
        (_, Some(files), _) => Signing::Files { files: files.into_iter().map(PathBuf::from).collect(), algorithm },
        (_, _, Some(file)) => Signing::Generated(PathBuf::from(file)),
        (None, None, None) => {
            if !secret_given {
                judge.refuse(
                    "tokens.jwt_secret",
                    "is missing, and so is any other signing key; set JWT_SECRET (32 characters or more), or \
                     SESSION_GATE_KEY_FILES (private keys in PEM files), or --generate-key FILE to have one made",
                );
            }
            return None;
        }
    };
    let keys = KeySource { signing, previous_secret };
    for problem in keys.problems() {
        let path = match problem.origin {
            KeyOrigin::Files => "tokens.key_files",
            KeyOrigin::Generated => "tokens.generate_key",
            KeyOrigin::PreviousSecret => "tokens.jwt_secret_previous",
            KeyOrigin::Secret => "tokens.jwt_secret",
        };
        judge.refuse(path, problem.problem.to_string());
    }
    Some(keys)
}

fn policy(raw: &RawSecurity, session: &SessionConfig, judge: &mut Judge<'_>) -> PublishedPolicy {
    let lockout = judge.number("security.lockout_duration_minutes", raw.lockout_duration_minutes, 30, 1..=10_080);
    PublishedPolicy {
        min_password_length: judge.number("security.min_password_length", raw.min_password_length, 12, 8..=128),
        max_login_attempts: judge.number("security.max_login_attempts", raw.max_login_attempts, 5, 1..=1000),
        lockout_duration: minutes(lockout).as_secs(),
        require_2fa: raw.require_2fa.unwrap_or(false),
        force_logout_on_password_change: raw.force_logout_on_password_change.unwrap_or(true),
        require_https: raw.require_https.unwrap_or(false),
        session_duration: session.duration.as_secs(),
        session_idle_timeout: session.idle_timeout.map(|idle| idle.as_secs()),
        token_duration: 0,
        token_refresh_threshold: 0,
    }
}

fn monitoring(raw: RawMonitoring, judge: &mut Judge<'_>) -> MonitoringConfig {
    let log = log_level::targets(raw.log_level.as_deref().unwrap_or("info")).unwrap_or_else(|wrong| {
        let allowed = "error, warn, info, debug or trace, also by module, such as info,store_sidecar::http=debug";
        judge.refuse("monitoring.log_level", format!("has {wrong:?} in it; allowed: {allowed}"));
        Targets::new()
    });
    let log_format = match raw.log_format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            judge.refuse("monitoring.log_format", format!("is {other:?}; allowed: text or json"));
            LogFormat::Text
        }
    };
    MonitoringConfig { metrics: raw.enable_metrics.unwrap_or(true), log, log_format }
}

fn redis(raw: RawRedis, judge: &mut Judge<'_>) -> Option<RedisOptions> {
    let RawRedis { allow_eviction, ca_file, key_prefix, password, password_file, url } = raw;
    let password = judge.text_or_file("redis.password", password, password_file);
    let Some(url) = url else {
        let given = [
            ("redis.password", password.is_some()),
            ("redis.ca_file", ca_file.is_some()),
            ("redis.key_prefix", key_prefix.is_some()),
        ];
        for (path, given) in given {
            if given {
                judge.refuse(path, "is given, but REDIS_URL is not");
            }
        }
        return None;
    };
    let options = match RedisOptions::parse(&url, password.as_deref()) {
        Ok(options) => options.allow_eviction(allow_eviction.unwrap_or(false)),
        Err(error) => {
            // The error holds nothing of the URL, which may hold a password.
            let path = if error == RedisUrlError::TwoPasswords { "redis.password" } else { "redis.url" };
            judge.refuse(path, error.to_string());
            return None;
        }
    };
    let key_prefix = key_prefix.unwrap_or_default();
    if !RedisOptions::is_key_prefix(&key_prefix) {
        let allowed = format!("at most {MAX_KEY_PREFIX_CHARS} letters, digits and . _ : -");
        judge.refuse("redis.key_prefix", format!("is {key_prefix:?}; allowed: {allowed}"));
        return None;
    }
    let options = options.key_prefix(key_prefix);
    let Some(file) = ca_file else { return Some(options) };
    match fs::read(&file) {
        Ok(pem) => Some(options.ca_certificate(pem)),
        Err(error) => {
            judge.refuse("redis.ca_file", format!("names {file:?}, which cannot be read: {}", error.kind()));
            None
        }
    }
}
