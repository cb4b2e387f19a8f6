//! Every setting, once: its name in the file, in the environment and as a flag, what kind of value it
//! takes, its default and what it does. The flags, the help text and the table in
//! `docs/configuration-sidecar.md` come from here.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its place in the file: `section.field`.
    pub path: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// Its flag, without the leading dashes.
    pub flag: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The default, as the documentation shows it.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number, 0 or more.
    Integer,
    /// Several texts: a list in the file, with commas between in the environment and flags.
    List,
    /// A credential: never shown.
    Secret,
    /// Several credentials.
    SecretList,
    /// Any text.
    Text,
}

impl Kind {
    /// The kind in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::List => "a list",
            Self::Secret => "a secret",
            Self::SecretList => "a list of secrets",
            Self::Text => "text",
        }
    }
}

const fn setting(
    path: &'static str,
    env: &'static str,
    flag: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { path, env, flag, kind, default, help }
}

use Kind::{Bool, Integer, List, Secret, SecretList, Text};

/// All settings, by section.
pub const SETTINGS: &[Setting] = &[
    setting(
        "server.listen",
        "SESSION_GATE_LISTEN",
        "listen",
        Text,
        "127.0.0.1:8081",
        "Address and port to listen on. Port 0 picks a free one, which the log names",
    ),
    setting(
        "server.drain_seconds",
        "SESSION_GATE_DRAIN_SECONDS",
        "drain-seconds",
        Integer,
        "10",
        "How long requests in flight may take to finish once no more connections are accepted; 0 to 300",
    ),
    setting(
        "server.shutdown_delay_seconds",
        "SESSION_GATE_SHUTDOWN_DELAY_SECONDS",
        "shutdown-delay-seconds",
        Integer,
        "5",
        "How long it goes on serving after SIGTERM, while /readyz says 503, so that nobody is refused; 0 to 300",
    ),
    setting(
        "credentials.app",
        "SESSION_GATE_APP_CREDENTIALS",
        "app-credentials",
        SecretList,
        "none",
        "Bearer credentials of applications: sessions, tokens, login, logout, rules, limits, policy. At least 32 characters each",
    ),
    setting(
        "credentials.app_file",
        "SESSION_GATE_APP_CREDENTIALS_FILE",
        "app-credentials-file",
        Text,
        "none",
        "File with the applications' credentials, one a line",
    ),
    setting(
        "credentials.filter",
        "SESSION_GATE_FILTER_CREDENTIALS",
        "filter-credentials",
        SecretList,
        "none",
        "Bearer credentials of filters: check, keys, feed, activity and leases. At least 32 characters each",
    ),
    setting(
        "credentials.filter_file",
        "SESSION_GATE_FILTER_CREDENTIALS_FILE",
        "filter-credentials-file",
        Text,
        "none",
        "File with the filters' credentials, one a line",
    ),
    setting(
        "credentials.monitor",
        "SESSION_GATE_MONITOR_CREDENTIALS",
        "monitor-credentials",
        SecretList,
        "none: /metrics is open",
        "Bearer credentials of monitoring: /metrics. At least 32 characters each",
    ),
    setting(
        "credentials.monitor_file",
        "SESSION_GATE_MONITOR_CREDENTIALS_FILE",
        "monitor-credentials-file",
        Text,
        "none",
        "File with the monitoring's credentials, one a line",
    ),
    setting(
        "credentials.admin",
        "SESSION_GATE_ADMIN_CREDENTIALS",
        "admin-credentials",
        SecretList,
        "none",
        "Bearer credentials of operators: everything. At least 32 characters each",
    ),
    setting(
        "credentials.admin_file",
        "SESSION_GATE_ADMIN_CREDENTIALS_FILE",
        "admin-credentials-file",
        Text,
        "none",
        "File with the operators' credentials, one a line",
    ),
    setting(
        "session.duration_hours",
        "SESSION_DURATION_HOURS",
        "session-duration-hours",
        Integer,
        "24",
        "How long a session lives at most; 1 to 8760",
    ),
    setting(
        "session.idle_timeout_minutes",
        "SESSION_GATE_IDLE_TIMEOUT_MINUTES",
        "idle-timeout-minutes",
        Integer,
        "none",
        "After how long without activity a session ends; 1 or more, at most the duration",
    ),
    setting(
        "session.activity_resolution_seconds",
        "SESSION_GATE_ACTIVITY_RESOLUTION_SECONDS",
        "activity-resolution-seconds",
        Integer,
        "60",
        "How far a stored last_activity may trail, so that not every request writes; 1 to 3600",
    ),
    setting(
        "session.ended_retention_hours",
        "SESSION_GATE_ENDED_RETENTION_HOURS",
        "ended-retention-hours",
        Integer,
        "24",
        "How long an ended session stays known as ended, rather than unknown; 1 to 720",
    ),
    setting(
        "session.max_metadata_bytes",
        "SESSION_GATE_MAX_METADATA_BYTES",
        "max-metadata-bytes",
        Integer,
        "16384",
        "Largest metadata of a session, in bytes of JSON; 0 to 49152",
    ),
    setting(
        "session.max_per_user",
        "SESSION_GATE_MAX_SESSIONS_PER_USER",
        "max-sessions-per-user",
        Integer,
        "1000",
        "How many sessions a user may have: a login beyond that ends the one that would expire first; 0 for any number, \
         else up to 1000000",
    ),
    setting(
        "tokens.duration_hours",
        "TOKEN_DURATION_HOURS",
        "token-duration-hours",
        Integer,
        "1",
        "How long a token lives at most; 1 to 8760. It never outlives its session",
    ),
    setting(
        "tokens.refresh_threshold_minutes",
        "TOKEN_REFRESH_THRESHOLD_MINUTES",
        "token-refresh-threshold-minutes",
        Integer,
        "15",
        "How long before a token's end it is to be refreshed; 0 or more, less than its duration",
    ),
    setting("tokens.issuer", "SESSION_GATE_ISSUER", "issuer", Text, "session-gate", "The tokens' iss claim"),
    setting("tokens.audience", "SESSION_GATE_AUDIENCE", "audience", Text, "session-gate", "The tokens' aud claim"),
    setting(
        "tokens.algorithm",
        "SESSION_GATE_ALGORITHM",
        "algorithm",
        Text,
        "by the key",
        "HS256, HS384 or HS512 with JWT_SECRET (default HS256); with RSA keys RS256, RS384, RS512, PS256, PS384 or PS512 \
         (default RS256); ES256, ES384 and EdDSA follow from the key",
    ),
    setting(
        "tokens.jwt_secret",
        "JWT_SECRET",
        "jwt-secret",
        Secret,
        "none",
        "The secret that signs tokens with HS256, HS384 or HS512: at least 32 characters (48 for HS384, 64 for HS512)",
    ),
    setting(
        "tokens.jwt_secret_file",
        "JWT_SECRET_FILE",
        "jwt-secret-file",
        Text,
        "none",
        "File with that secret; safer than the flag, which every user of the machine can read",
    ),
    setting(
        "tokens.jwt_secret_previous",
        "JWT_SECRET_PREVIOUS",
        "jwt-secret-previous",
        Secret,
        "none",
        "The secret before this one: tokens signed with it are still accepted, for a rotation with overlap",
    ),
    setting(
        "tokens.jwt_secret_previous_file",
        "JWT_SECRET_PREVIOUS_FILE",
        "jwt-secret-previous-file",
        Text,
        "none",
        "File with the secret before this one",
    ),
    setting(
        "tokens.key_files",
        "SESSION_GATE_KEY_FILES",
        "key-files",
        List,
        "none",
        "PEM files with private keys (RSA, P-256, P-384, Ed25519): the first signs, all verify and are published",
    ),
    setting(
        "tokens.generate_key",
        "SESSION_GATE_GENERATE_KEY",
        "generate-key",
        Text,
        "none",
        "PEM file with an ES256 key, made on the first start and used from then on",
    ),
    setting(
        "limits.max_counters",
        "SESSION_GATE_LIMIT_MAX_COUNTERS",
        "limit-max-counters",
        Integer,
        "1000000",
        "How many counters of rate limits the store has at most, one for each key of a limit that is in use: those idle \
         the longest are forgotten first; 262144 to 100000000",
    ),
    setting(
        "security.require_https",
        "REQUIRE_HTTPS",
        "require-https",
        Bool,
        "true",
        "Published at /v1/policy: whether clients must come by https (enforced by the filter's own setting)",
    ),
    setting(
        "security.max_login_attempts",
        "MAX_LOGIN_ATTEMPTS",
        "max-login-attempts",
        Integer,
        "5",
        "Published at /v1/policy: failed logins until an account is locked; 1 to 1000",
    ),
    setting(
        "security.lockout_duration_minutes",
        "LOCKOUT_DURATION_MINUTES",
        "lockout-duration-minutes",
        Integer,
        "30",
        "Published at /v1/policy: how long it stays locked; 1 to 10080",
    ),
    setting(
        "security.min_password_length",
        "SESSION_GATE_MIN_PASSWORD_LENGTH",
        "min-password-length",
        Integer,
        "12",
        "Published at /v1/policy for the login service; 8 to 128",
    ),
    setting(
        "security.require_2fa",
        "SESSION_GATE_REQUIRE_2FA",
        "require-2fa",
        Bool,
        "false",
        "Published at /v1/policy for the login service, which then logs in with pending_2fa",
    ),
    setting(
        "security.force_logout_on_password_change",
        "SESSION_GATE_FORCE_LOGOUT_ON_PASSWORD_CHANGE",
        "force-logout-on-password-change",
        Bool,
        "true",
        "Published at /v1/policy for the login service, which then ends the user's sessions",
    ),
    setting(
        "monitoring.log_level",
        "LOG_LEVEL",
        "log-level",
        Text,
        "info",
        "error, warn, info, debug or trace; also by module, such as info,store_sidecar::http=debug",
    ),
    setting("monitoring.log_format", "SESSION_GATE_LOG_FORMAT", "log-format", Text, "text", "text or json"),
    setting(
        "monitoring.enable_metrics",
        "ENABLE_METRICS",
        "enable-metrics",
        Bool,
        "true",
        "Whether /metrics is served",
    ),
    setting(
        "redis.url",
        "REDIS_URL",
        "redis-url",
        Secret,
        "none: sessions are kept in memory",
        "Where sessions are kept: redis://host:6379/0, rediss:// (TLS), unix://, redis-cluster://, rediss-cluster:// or redis-sentinel://",
    ),
    setting("redis.password", "REDIS_PASSWORD", "redis-password", Secret, "none", "Redis' password, if not in the URL"),
    setting(
        "redis.password_file",
        "REDIS_PASSWORD_FILE",
        "redis-password-file",
        Text,
        "none",
        "File with Redis' password",
    ),
    setting(
        "redis.ca_file",
        "SESSION_GATE_REDIS_CA_FILE",
        "redis-ca-file",
        Text,
        "the system's",
        "PEM file with the authority that signed Redis' certificate; no other is trusted then",
    ),
    setting(
        "redis.key_prefix",
        "REDIS_KEY_PREFIX",
        "redis-key-prefix",
        Text,
        "empty",
        "What stands before each key, so that several services can share a Redis: at most 32 letters, digits and . _ : -",
    ),
    setting(
        "redis.allow_eviction",
        "SESSION_GATE_REDIS_ALLOW_EVICTION",
        "redis-allow-eviction",
        Bool,
        "false",
        "Start even where Redis may evict keys: an evicted revocation lets a revoked token pass again",
    ),
];

/// The setting at that place in the file.
pub fn by_path(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_used_twice_and_names_follow_from_each_other() {
        for names in [|s: &Setting| s.path, |s: &Setting| s.env, |s: &Setting| s.flag] {
            assert_eq!(SETTINGS.iter().map(names).collect::<BTreeSet<_>>().len(), SETTINGS.len());
        }
        for setting in SETTINGS {
            let name = setting.env.strip_prefix("SESSION_GATE_").unwrap_or(setting.env);
            assert_eq!(setting.flag, name.to_lowercase().replace('_', "-"));
        }
    }

    #[test]
    fn every_name_that_users_know_is_there() {
        for name in [
            "REDIS_URL",
            "REDIS_PASSWORD",
            "JWT_SECRET",
            "SESSION_DURATION_HOURS",
            "TOKEN_DURATION_HOURS",
            "TOKEN_REFRESH_THRESHOLD_MINUTES",
            "REQUIRE_HTTPS",
            "MAX_LOGIN_ATTEMPTS",
            "LOCKOUT_DURATION_MINUTES",
            "LOG_LEVEL",
            "ENABLE_METRICS",
        ] {
            assert!(SETTINGS.iter().any(|setting| setting.env == name), "{name}");
        }
    }
}
