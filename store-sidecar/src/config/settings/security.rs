//! The settings that are published for others.

use super::setting::{
    Kind::{Bool, Integer},
    Setting, setting,
};

/// What is published at `/v1/policy`.
pub(super) const SECURITY: &[Setting] = &[
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
];
