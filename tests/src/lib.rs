//! The harness: starts what Session Gate consists of, each piece on a free port and each instance
//! alone, and takes it all down again whatever happens. The integration tests and the demo share it.
//!
//! Nothing here sleeps for a fixed time: [`poll::until`] waits for a condition, with a deadline.

pub mod backend;
pub mod client;
pub mod demo;
pub mod documents;
pub mod envoy;
pub mod forge;
pub mod poll;
pub mod ports;
pub mod process;
pub mod raw;
pub mod raw_upstream;
pub mod redis;
pub mod sidecar;
pub mod stack;
pub mod streams;
pub mod tls;
pub mod tools;
pub mod trap;
pub mod upstream;
pub mod vectors;

pub use client::{Call, Http, Reply};
pub use stack::{Builder, Stack, Store};
