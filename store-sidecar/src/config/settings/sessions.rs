//! The settings of sessions and tokens.

use super::setting::{
    Kind::{Integer, List, Secret, Section, Text},
    Setting, setting,
};

/// How long sessions live and what they may hold.
pub(super) const SESSION: &[Setting] = &[
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
        "session.classes",
        "SESSION_GATE_SESSION_CLASSES",
        "session-classes",
        Section,
        "none",
        "Classes of sessions that live longer or shorter, by name: `{\"browser\": {\"duration_hours\": 24, \"idle_timeout_minutes\": \
         30}, \"remember\": {\"duration_hours\": 2160, \"idle_timeout_minutes\": 20160, \"persistent\": true}}`",
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
        "How many sessions a user may have; 0 for any number, else up to 2000. A login may say another number",
    ),
    setting(
        "session.when_full",
        "SESSION_GATE_WHEN_SESSIONS_FULL",
        "when-sessions-full",
        Text,
        "evict_oldest",
        "What becomes of a login of a user who has as many: `deny` (409), `evict_oldest` (those that were used the least \
         recently end) or `notify` (nothing ends). A login may say otherwise",
    ),
];

/// Tokens and the keys that sign them.
pub(super) const TOKENS: &[Setting] = &[
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
        "How long before its end a session's token is renewed; 0 for never, else less than its duration",
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
];
