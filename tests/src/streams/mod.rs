//! Streams that stay open: server-sent events, WebSockets and gRPC server streams, both ends of them.
//!
//! The upstream opens one for whoever asks as a client of that kind does, greets it, repeats what the
//! test [says](crate::upstream::Upstream::say), and ends it in good order on
//! [release](crate::upstream::Upstream::release).

mod client;
mod kind;
mod server;
mod wire;

pub use self::client::{End, Event, OpenStream};
pub use self::kind::{FAREWELL, GREETING, Kind};
pub(crate) use self::server::{Word, answer};
