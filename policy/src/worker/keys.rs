//! The sidecar's keys, as a worker has them.

use std::fmt;

use session_gate_protocol::UnixSeconds;

use crate::{config::Config, token::FetchedKeys, vm::SharedSource};

/// The sidecar's keys, and when they are fetched. The last good ones stay, whatever happens.
pub(super) struct Keys {
    pub(super) fetched: Option<FetchedKeys>,
    pub(super) body: Vec<u8>,
    pub(super) in_flight: bool,
    /// When they are fetched next.
    pub(super) due: UnixSeconds,
    /// From when on a token with an unknown key may have them fetched at once.
    pub(super) refetch_from: UnixSeconds,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may have secrets in it.
        let Self { fetched, body: _, in_flight, due, refetch_from } = self;
        f.debug_struct("Keys")
            .field("fetched", fetched)
            .field("in_flight", in_flight)
            .field("due", due)
            .field("refetch_from", refetch_from)
            .finish()
    }
}

impl Keys {
    /// Those that the VM knows, so that a new configuration need not wait for a sidecar that is away. They are fetched
    /// anew all the same.
    pub(super) fn of(source: Option<&SharedSource>, config: &Config) -> Self {
        let body = source.map(|source| source.borrow().keys.clone()).unwrap_or_default();
        let fetched = source.and_then(|_| FetchedKeys::read(&body, config.issuers.iter()));
        Self { fetched, body, in_flight: false, due: UnixSeconds(0), refetch_from: UnixSeconds(0) }
    }
}
