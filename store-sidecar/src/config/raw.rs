//! The configuration as it is written: everything optional, nothing judged.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All sections.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub credentials: Option<RawCredentials>,
    pub limits: Option<RawLimits>,
    pub monitoring: Option<RawMonitoring>,
    pub redis: Option<RawRedis>,
    pub security: Option<RawSecurity>,
    pub server: Option<RawServer>,
    pub session: Option<RawSession>,
    pub tokens: Option<RawTokens>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredentials {
    pub admin: Option<Vec<String>>,
    pub admin_file: Option<String>,
    pub app: Option<Vec<String>>,
    pub app_file: Option<String>,
    pub filter: Option<Vec<String>>,
    pub filter_file: Option<String>,
    pub monitor: Option<Vec<String>>,
    pub monitor_file: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub max_counters: Option<u64>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMonitoring {
    pub enable_metrics: Option<bool>,
    pub log_format: Option<String>,
    pub log_level: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    pub allow_eviction: Option<bool>,
    pub ca_file: Option<String>,
    pub key_prefix: Option<String>,
    pub password: Option<String>,
    pub password_file: Option<String>,
    pub url: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecurity {
    pub fold_account_names: Option<bool>,
    pub force_logout_on_password_change: Option<bool>,
    pub lockout_duration_minutes: Option<u64>,
    pub login_failure_window_minutes: Option<u64>,
    pub max_login_attempts: Option<u64>,
    pub max_login_failures_per_address: Option<u64>,
    pub min_password_length: Option<u64>,
    pub require_2fa: Option<bool>,
    pub require_https: Option<bool>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub drain_seconds: Option<u64>,
    pub listen: Option<String>,
    pub shutdown_delay_seconds: Option<u64>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSession {
    pub activity_resolution_seconds: Option<u64>,
    pub classes: Option<BTreeMap<String, RawSessionClass>>,
    pub duration_hours: Option<u64>,
    pub ended_retention_hours: Option<u64>,
    pub idle_timeout_minutes: Option<u64>,
    pub max_metadata_bytes: Option<u64>,
    pub max_per_user: Option<u64>,
    pub when_full: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSessionClass {
    pub duration_hours: Option<u64>,
    pub idle_timeout_minutes: Option<u64>,
    pub persistent: Option<bool>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTokens {
    pub algorithm: Option<String>,
    pub audience: Option<String>,
    pub duration_hours: Option<u64>,
    pub generate_key: Option<String>,
    pub issuer: Option<String>,
    pub jwt_secret: Option<String>,
    pub jwt_secret_file: Option<String>,
    pub jwt_secret_previous: Option<String>,
    pub jwt_secret_previous_file: Option<String>,
    pub key_files: Option<Vec<String>>,
    pub refresh_threshold_minutes: Option<u64>,
}
