//! The settings of what is kept where.

use super::setting::{
    Kind::{Bool, Integer, Secret, Text},
    Setting, setting,
};

/// Rate limits.
pub(super) const LIMITS: &[Setting] = &[setting(
    "limits.max_counters",
    "SESSION_GATE_LIMIT_MAX_COUNTERS",
    "limit-max-counters",
    Integer,
    "1000000",
    "How many counters of rate limits the store has at most, one for each key of a limit that is in use: those idle \
         the longest are forgotten first; 262144 to 100000000",
)];

/// Where sessions are kept.
pub(super) const REDIS: &[Setting] = &[
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
