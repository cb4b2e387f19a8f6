//! What kinds of streams there are, and what all of them begin and end with.

use crate::client::Http;

/// The first message of every stream.
pub const GREETING: &str = "begun";
/// The last message of a stream that the upstream ends.
pub const FAREWELL: &str = "released";

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A gRPC call that is answered with many messages. The gate's cluster must speak HTTP/2 then:
    /// see [`crate::envoy::Config::speak_as_the_client_does`].
    Grpc,
    /// Server-sent events.
    Sse(Http),
    /// A WebSocket.
    WebSocket,
}

impl Kind {
    /// Every kind, by every protocol that it comes by.
    pub const ALL: [Self; 4] = [Self::Grpc, Self::Sse(Http::V1), Self::Sse(Http::V2), Self::WebSocket];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Sse(Http::V1) => "sse_http1",
            Self::Sse(Http::V2) => "sse_http2",
            Self::WebSocket => "websocket",
        }
    }
}
