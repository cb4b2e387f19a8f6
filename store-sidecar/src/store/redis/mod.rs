//! The store in Redis 6.2 or later, or Valkey 7.2 or later: one server, Sentinel or Cluster.
//!
//! Each step is one Lua script, so it happens at one moment; the moment is Redis' own time, so all
//! replicas of the sidecar agree on it. A step costs its caller at most [`STEP_TIMEOUT`], whatever
//! state Redis and the network are in.

mod admission;
mod check;
mod client;
mod connector;
mod cut_off;
mod error;
mod feed;
mod fitness;
mod idempotency;
mod keys;
mod limits;
mod link;
mod lockout;
mod nodes;
mod opaque;
mod options;
mod record;
mod refresh;
mod renewal;
mod report;
mod scripts;
mod sessions;
mod steps;
mod timing;
mod topology;
mod values;

#[cfg(any(test, feature = "test-util"))]
pub use self::scripts::{all as all_scripts, code as script_code};
pub use self::{
    client::RedisStore,
    fitness::RedisStartError,
    options::{MAX_KEY_PREFIX_CHARS, RedisOptions, RedisUrlError},
    report::{Eviction, Report},
    timing::STEP_TIMEOUT,
};
