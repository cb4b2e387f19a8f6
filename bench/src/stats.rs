//! Figures made of many times.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How times are spread, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many times there are.
    pub count: usize,
    /// Half of them are no longer.
    pub p50_ms: f64,
    /// 99 of 100 are no longer.
    pub p99_ms: f64,
    /// None is longer.
    pub max_ms: f64,
}

impl Spread {
    /// How these times are spread; zeros, where there is none.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self {
            count: times.len(),
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
            max_ms: percentile(&times, 100),
        }
    }
}

/// The nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().map_or(0.0, millis)
}

/// How times are spread, by what they belong to.
pub fn spread_by<K: Ord>(times: impl IntoIterator<Item = (K, Duration)>) -> BTreeMap<K, Spread> {
    let mut by_key: BTreeMap<K, Vec<Duration>> = BTreeMap::new();
    for (key, time) in times {
        by_key.entry(key).or_default().push(time);
    }
    by_key.into_iter().map(|(key, times)| (key, Spread::of(times))).collect()
}

/// A time in milliseconds, to a hundredth.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// How many of 1,000, to a hundredth.
pub fn per_1000(count: u64, of: usize) -> f64 {
    let of = u32::try_from(of).unwrap_or(u32::MAX).max(1);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (f64::from(count) * 100_000.0 / f64::from(of)).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis));
        assert_eq!(spread, Spread { count: 200, p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 });
        let one = Spread::of([Duration::from_micros(1234)]);
        assert_eq!(one, Spread { count: 1, p50_ms: 1.23, p99_ms: 1.23, max_ms: 1.23 });
        assert_eq!(Spread::of([]), Spread::default());
    }
}
