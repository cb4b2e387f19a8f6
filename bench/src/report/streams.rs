//! How fast open streams have ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use session_gate_tests::streams::Kind;

use crate::stats::{Spread, spread_by};
use crate::streams::Streams;

/// Open streams.
#[derive(Debug, Serialize)]
pub struct StreamFigures {
    /// Streams of ended sessions.
    pub(super) streams: usize,
    /// From the reply of the call that ended the session until the client's last byte.
    pub(super) streams_p99_ms: f64,
    /// The same, by the kind of stream.
    pub(super) streams_by_kind: BTreeMap<&'static str, Spread>,
    /// From the same reply until the client saw the end, by the kind of stream.
    pub(super) streams_closed_by_kind: BTreeMap<&'static str, Spread>,
    /// Those that did not end.
    pub(super) streams_never_ended: usize,
    /// Streams of other sessions.
    pub(super) streams_others: usize,
    /// Of these, those that ended.
    pub(super) streams_others_ended: usize,
}

impl From<Streams> for StreamFigures {
    fn from(streams: Streams) -> Self {
        let by_kind = |times: &[(Kind, Duration)]| spread_by(times.iter().map(|(kind, time)| (kind.as_str(), *time)));
        let all = Spread::of(streams.last_bytes.iter().map(|(_, time)| *time));
        Self {
            streams: all.count,
            streams_p99_ms: all.p99_ms,
            streams_by_kind: by_kind(&streams.last_bytes),
            streams_closed_by_kind: by_kind(&streams.ended),
            streams_never_ended: streams.never_ended,
            streams_others: streams.others,
            streams_others_ended: streams.others_ended,
        }
    }
}
