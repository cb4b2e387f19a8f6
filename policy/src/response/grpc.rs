//! What a gRPC client is told in place of an HTTP status.

/// A status of gRPC that we answer with (gRPC core, `doc/statuscodes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatus {
    /// 3, for a request that cannot be judged.
    InvalidArgument,
    /// 7, for one that is not allowed.
    PermissionDenied,
    /// 8, for one too many.
    ResourceExhausted,
    /// 12, for a method that is not there.
    Unimplemented,
    /// 14, where it is our fault: the client may come again.
    Unavailable,
    /// 16, for one without a good credential.
    Unauthenticated,
}

impl GrpcStatus {
    /// What stands for an HTTP status that we answer with; otherwise than gRPC's own mapping for proxies
    /// (`doc/http-grpc-status-mapping.md`), which takes a 400 for a fault of the server, and a 429 for an outage.
    pub const fn of_http(status: u16) -> Self {
        match status {
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 => Self::ResourceExhausted,
            _ => Self::Unavailable,
        }
    }
}
