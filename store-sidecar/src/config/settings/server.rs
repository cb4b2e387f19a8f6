//! The settings of the service itself: where it listens, who may call it, what it says.

use super::setting::{
    Kind::{Bool, Integer, SecretList, Text},
    Setting, setting,
};

/// Where and how the service listens.
pub(super) const SERVER: &[Setting] = &[
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
];

/// Who may call what.
pub(super) const CREDENTIALS: &[Setting] = &[
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
        "Bearer credentials of filters: check, keys, feed, activity, leases, and session commands: who has one can log in as anybody. At least 32 characters each",
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
];

/// Logs and metrics.
pub(super) const MONITORING: &[Setting] = &[
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
];
