//! What clients and upstreams are told.

pub mod caching;
pub mod denial;
pub mod upstream_headers;
