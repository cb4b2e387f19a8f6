//! The settings of security, for the filter and the login service.

use super::setting::{
    Kind::{Bool, Integer},
    Setting, setting,
};

/// What is published at `/v1/policy`, and to filters with the keys.
pub(super) const SECURITY: &[Setting] = &[
    setting(
        "security.require_https",
        "REQUIRE_HTTPS",
        "require-https",
        Bool,
        "false",
        "Whether clients must come by https: enforced by the filter, unless its own configuration says otherwise",
    ),
    setting(
        "security.max_login_attempts",
        "MAX_LOGIN_ATTEMPTS",
        "max-login-attempts",
        Integer,
        "5",
        "Failed logins of an account within the window until it is locked; 1 to 1000",
    ),
    setting(
        "security.lockout_duration_minutes",
        "LOCKOUT_DURATION_MINUTES",
        "lockout-duration-minutes",
        Integer,
        "30",
        "How long it stays locked at most: the first two locks in a row last 1 and 5 minutes; 1 to 10080",
    ),
    setting(
        "security.login_failure_window_minutes",
        "SESSION_GATE_LOGIN_FAILURE_WINDOW_MINUTES",
        "login-failure-window-minutes",
        Integer,
        "15",
        "For how long a failed login counts; 1 to 1440",
    ),
    setting(
        "security.max_login_failures_per_address",
        "SESSION_GATE_MAX_LOGIN_FAILURES_PER_ADDRESS",
        "max-login-failures-per-address",
        Integer,
        "50",
        "Failed logins from an IPv4 address, or an IPv6 /64, within the window until it is locked; 0 to 1000, 0: they do \
         not count",
    ),
    setting(
        "security.fold_account_names",
        "SESSION_GATE_FOLD_ACCOUNT_NAMES",
        "fold-account-names",
        Bool,
        "true",
        "Whether names that differ in case, Unicode compatibility form (NFKC) or spaces around them count as one account",
    ),
    setting(
        "security.min_password_length",
        "SESSION_GATE_MIN_PASSWORD_LENGTH",
        "min-password-length",
        Integer,
        "12",
        "The shortest password, for the login service to read at /v1/policy; 8 to 128",
    ),
    setting(
        "security.require_2fa",
        "SESSION_GATE_REQUIRE_2FA",
        "require-2fa",
        Bool,
        "false",
        "Whether a login needs a second factor, for the login service to read at /v1/policy: it logs in with pending_2fa then",
    ),
    setting(
        "security.force_logout_on_password_change",
        "SESSION_GATE_FORCE_LOGOUT_ON_PASSWORD_CHANGE",
        "force-logout-on-password-change",
        Bool,
        "true",
        "Whether a change of the password that an application tells the filter of ends the user's other sessions",
    ),
];
