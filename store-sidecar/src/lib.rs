//! Session Gate's sidecar: holds what the filters in Envoy cannot, and serves it.
pub mod clock;
pub mod store;
