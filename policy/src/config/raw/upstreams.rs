//! Upstreams that can tell whether a request came through the gate.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

/// Upstreams that can tell whether a request came through the gate, by name: 1 to 64 of `a-z A-Z 0-9 _ . -`.
pub type RawUpstreams = BTreeMap<String, RawUpstream>;

/// An upstream that can tell whether a request came through the gate.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstream {
    /// The keys that it shares with the gate and with nobody else: one, or two while one replaces the other. Each gives a
    /// proof of its own. By its id, 1 to 32 of `a-z A-Z 0-9 _ -`, the key: 32 to 256 characters of visible ASCII, as they
    /// are. Required.
    pub proof_keys: BTreeMap<String, String>,
}

impl fmt::Debug for RawUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proof_keys } = self;
        f.debug_struct("RawUpstream").field("proof_keys", &proof_keys.keys()).finish()
    }
}
