//! What clients and upstreams are told.

pub mod caching;
pub mod cookie;
pub mod denial;
pub mod grpc;
pub mod page;
pub mod upstream_headers;
