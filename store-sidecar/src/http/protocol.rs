//! Which version of the filter's protocol a caller speaks.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use session_gate_protocol::{CheckReply, FeedReply, PROTOCOL_HEADER, PROTOCOL_VERSION};

/// The version of a request. Replies have its form: a filter of before refuses fields that it does not know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocol(u32);

impl<S: Sync> FromRequestParts<S> for Protocol {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let asked = parts.headers.get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        // A later one understands ours.
        Ok(Self(asked.unwrap_or(1).clamp(1, PROTOCOL_VERSION)))
    }
}

impl Protocol {
    pub(super) fn feed(self, reply: FeedReply) -> FeedReply {
        FeedReply { protocol: self.0, ..reply }
    }

    pub(super) fn check(self, mut reply: CheckReply) -> CheckReply {
        if self.0 < 2
            && let Some(session) = &mut reply.session
        {
            session.generation = 0;
        }
        reply
    }
}
