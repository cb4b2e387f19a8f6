//! What every store is told, and the rules on time that all of them share.

use std::time::Duration;

use session_gate_protocol::{MAX_LEEWAY, Metadata};

use super::limits::{PARTS, SMALLEST_PART};

/// No session and no blacklist entry lasts longer than this, 100 years: sums with it stay within
/// what the numbers of Redis' scripts hold exactly, and no real lifetime comes near it.
pub const MAX_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Counters of rate limits that a store has at most, unless it is told otherwise: with a few hundred bytes
/// each, less than what a million sessions take up.
pub const DEFAULT_MAX_COUNTERS: usize = 1_000_000;

/// The fewest that a store may be told to have.
pub const FEWEST_COUNTERS: usize = PARTS as usize * SMALLEST_PART;

/// What both stores are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// How long a session stays known after it has ended.
    pub retention: Duration,
    /// How old the stored last activity must be before a check writes a new one; see
    /// `resolution_for`.
    pub activity_resolution: Duration,
    /// How long an entry of the feed is kept at most: the longest life of a token, and the largest
    /// leeway. Nothing that is older can concern a token that anybody accepts.
    pub feed_horizon: Duration,
    /// Largest metadata of a session, in bytes of JSON.
    pub max_metadata_bytes: usize,
    /// How many counters of rate limits there are at most. One that is forgotten admits anew.
    pub max_counters: usize,
    /// Into how many parts Redis has these divided, each with a bound of its own: all replicas have the same.
    pub counter_parts: u16,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            // A client that was away for a night learns what became of its session.
            retention: Duration::from_hours(24),
            // One write a minute for a busy session instead of one per request.
            activity_resolution: Duration::from_secs(60),
            // That of the default token's life, an hour.
            feed_horizon: Duration::from_hours(1).saturating_add(MAX_LEEWAY),
            max_metadata_bytes: 16 * 1024,
            max_counters: DEFAULT_MAX_COUNTERS,
            counter_parts: PARTS,
        }
    }
}

impl StoreSettings {
    /// Whether `metadata` is within the limit. A caller that asks before it creates a session can
    /// tell its client which field is wrong.
    pub fn metadata_fits(&self, metadata: &Metadata) -> bool {
        metadata.as_str().len() <= self.max_metadata_bytes
    }

    /// How old the last activity may grow before it is written again: the configured resolution, but
    /// at most a quarter of the session's idle timeout. With a coarser one a session in steady use
    /// would be taken for an idle one. So a session ends after three to four quarters of its idle
    /// timeout without a request.
    pub(crate) fn resolution_for(&self, idle_timeout: Option<u64>) -> u64 {
        let configured = self.activity_resolution.as_secs();
        idle_timeout.map_or(configured, |idle| configured.min(idle / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolution_never_exceeds_a_quarter_of_the_idle_timeout() {
        let settings = StoreSettings::default();
        assert_eq!(settings.resolution_for(None), 60);
        assert_eq!(settings.resolution_for(Some(3600)), 60);
        assert_eq!(settings.resolution_for(Some(100)), 25);
        assert_eq!(settings.resolution_for(Some(3)), 0);
    }

    #[test]
    fn the_metadata_limit_counts_bytes_of_json() {
        let settings = StoreSettings { max_metadata_bytes: 11, ..StoreSettings::default() };
        let metadata = |json| serde_json::from_str::<Metadata>(json).unwrap();
        assert!(settings.metadata_fits(&metadata(r#"{"a":"bcd"}"#)));
        assert!(!settings.metadata_fits(&metadata(r#"{"a":"bcde"}"#)));
    }
}
