//! How messages follow each other in a body: events by blank lines, gRPC's by their length.

use hyper::body::Bytes;

/// The content type of a gRPC call.
pub(crate) const GRPC: &str = "application/grpc";
/// The content type of server-sent events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// The trailer with a gRPC call's outcome.
pub(crate) const GRPC_STATUS: &str = "grpc-status";

/// A flag, which is 0 for what is not compressed, and the length.
const GRPC_PREFIX: usize = 5;

/// How a body is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    Events,
    Grpc,
}

impl Framing {
    /// A message, as it stands in a body.
    pub(crate) fn encode(self, message: &str) -> Bytes {
        match self {
            Self::Events => format!("data: {message}\n\n").into(),
            Self::Grpc => {
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                [&[0][..], &length.to_be_bytes(), message.as_bytes()].concat().into()
            }
        }
    }

    /// Takes the first message from what has come so far; `None`: it is not whole yet.
    pub(crate) fn decode(self, buffer: &mut Vec<u8>) -> Option<String> {
        let (start, end, rest) = match self {
            Self::Events => {
                let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
                (b"data: ".len(), end, end + 2)
            }
            Self::Grpc => {
                let length = buffer.get(1..GRPC_PREFIX)?.try_into().map(u32::from_be_bytes).ok()?;
                let end = GRPC_PREFIX + usize::try_from(length).ok()?;
                (GRPC_PREFIX, end, end)
            }
        };
        let message = String::from_utf8_lossy(buffer.get(start..end)?).into_owned();
        buffer.drain(..rest);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written_however_they_come() {
        for framing in [Framing::Events, Framing::Grpc] {
            let bytes = [framing.encode("one"), framing.encode(""), framing.encode("three")].concat();
            let mut buffer = Vec::new();
            let mut read = Vec::new();
            for byte in bytes {
                buffer.push(byte);
                read.extend(framing.decode(&mut buffer));
            }
            assert_eq!(read, ["one", "", "three"]);
            assert!(buffer.is_empty());
        }
    }
}
