//! What a limit allows.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Most quotas of one limit.
pub const MAX_QUOTAS: usize = 8;
/// Most admissions that a quota has, or that one question asks for.
pub const MAX_REQUESTS: u64 = 1_000_000_000;
/// Longest window, in milliseconds: 31 days.
pub const MAX_WINDOW_MS: u64 = 31 * 24 * 3600 * 1000;
/// Shortest window, in milliseconds.
pub const MIN_WINDOW_MS: u64 = 1000;

/// How a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// At most `requests` in each window; windows begin at whole multiples of their length since 1970, by the
    /// store's clock.
    FixedWindow,
    /// At most `requests` at any one time. No window.
    InFlight,
    /// At most `requests` in any interval that is as long as the window.
    SlidingWindow,
    /// The generic cell rate algorithm: `requests` in a window flow into a bucket of `burst`.
    TokenBucket,
}

impl Algorithm {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FixedWindow => "fixed_window",
            Self::InFlight => "in_flight",
            Self::SlidingWindow => "sliding_window",
            Self::TokenBucket => "token_bucket",
        }
    }
}

/// What a limit allows: so many, in such a time. A limit may have several; each admission takes from all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How it counts. `in_flight` stands alone: a limit with it has no other quota.
    pub algorithm: Algorithm,
    /// How many: 1 to 1,000,000,000.
    pub requests: u64,
    /// The window in milliseconds, 1,000 to 2,678,400,000; 0 with `in_flight`.
    pub window_ms: u64,
    /// `token_bucket` only: the size of the bucket, 1 to 1,000,000,000; none: `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
}

impl Quota {
    /// How many can be admitted at once where nothing was admitted for long.
    pub const fn size(&self) -> u64 {
        match (self.algorithm, self.burst) {
            (Algorithm::TokenBucket, Some(burst)) => burst,
            _ => self.requests,
        }
    }

    /// The first of its fields that is out of its range, and what is allowed there.
    pub fn misfit(&self) -> Option<(&'static str, String)> {
        let is_in_flight = self.algorithm == Algorithm::InFlight;
        let window = if is_in_flight { 0..=0 } else { MIN_WINDOW_MS..=MAX_WINDOW_MS };
        let ranges = [
            ("requests", self.requests, 1..=MAX_REQUESTS),
            ("window_ms", self.window_ms, window),
            ("burst", self.burst.unwrap_or(1), 1..=MAX_REQUESTS),
        ];
        let allowed = |range: &RangeInclusive<u64>| format!("must be {} to {}", range.start(), range.end());
        let misfit = ranges.into_iter().find(|(_, number, range)| !range.contains(number));
        let has_burst = self.burst.is_some() && self.algorithm != Algorithm::TokenBucket;
        misfit
            .map(|(field, _, range)| (field, allowed(&range)))
            .or_else(|| has_burst.then(|| ("burst", "is for token_bucket only".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_has_what_its_algorithm_needs_and_no_more() {
        let quota = |algorithm, requests, window_ms, burst| Quota { algorithm, requests, window_ms, burst };
        assert!(quota(Algorithm::FixedWindow, 1, 1000, None).misfit().is_none());
        assert!(quota(Algorithm::SlidingWindow, MAX_REQUESTS, MAX_WINDOW_MS, None).misfit().is_none());
        assert!(quota(Algorithm::TokenBucket, 5, 1000, Some(1)).misfit().is_none());
        assert!(quota(Algorithm::InFlight, 5, 0, None).misfit().is_none());
        for bad in [
            quota(Algorithm::FixedWindow, 0, 1000, None),
            quota(Algorithm::FixedWindow, 1, 999, None),
            quota(Algorithm::FixedWindow, 1, 1000, Some(1)),
            quota(Algorithm::SlidingWindow, MAX_REQUESTS + 1, 1000, None),
            quota(Algorithm::SlidingWindow, 1, MAX_WINDOW_MS + 1, None),
            quota(Algorithm::TokenBucket, 1, 1000, Some(0)),
            quota(Algorithm::InFlight, 1, 1000, None),
        ] {
            assert!(bad.misfit().is_some(), "{bad:?}");
        }
        assert_eq!(quota(Algorithm::TokenBucket, 5, 1000, Some(9)).size(), 9);
    }
}
