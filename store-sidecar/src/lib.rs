//! Session Gate's sidecar: holds what the filters in Envoy cannot, and serves it.
//!
//! `config` reads the configuration, `keys` the keys; `store` holds sessions, revocations and the change
//! feed, and `feed` tells every worker of it; `service` does what is asked over them; `http` is the REST
//! API before it; `serve` puts them together.
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod credentials;
pub mod critical;
pub mod feed;
pub mod filter_config;
#[cfg(test)]
mod golden;
pub mod http;
pub mod keys;
mod latest;
pub mod lockout_command;
pub mod logging;
pub mod metered_store;
pub mod metrics;
pub mod readiness;
pub mod rng;
mod sealing;
pub mod serve;
pub mod service;
pub mod store;
