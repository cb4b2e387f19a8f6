//! What was admitted under one quota, counted exactly, one by one.

use std::collections::VecDeque;

use session_gate_protocol::{Algorithm, Quota};

use crate::clocks::Millis;

/// By how much the sum of fractions may be wrong.
const HAIR: f64 = 1e-6;

/// The admissions of one quota that still count.
#[derive(Clone, Debug)]
pub struct Tally {
    quota: Quota,
    counted: Counted,
}

#[derive(Clone, Debug)]
enum Counted {
    /// How many in the window of that number.
    Fixed(u64, u64),
    /// When how many.
    Sliding(VecDeque<(Millis, u64)>),
    /// How full the leaking bucket is, and since when.
    Bucket(f64, Millis),
}

impl Tally {
    /// Nothing was admitted yet.
    pub fn new(quota: Quota) -> Self {
        let counted = match quota.algorithm {
            Algorithm::FixedWindow => Counted::Fixed(0, 0),
            Algorithm::SlidingWindow | Algorithm::InFlight => Counted::Sliding(VecDeque::new()),
            Algorithm::TokenBucket => Counted::Bucket(0.0, 0),
        };
        Self { quota, counted }
    }

    /// An admission of that cost, when the store's wall shows `wall`. Answers what is too much, if it is.
    pub fn admit(&mut self, cost: u64, now: Millis, wall: u64) -> Option<String> {
        let Quota { requests, window_ms, .. } = self.quota;
        match &mut self.counted {
            Counted::Fixed(window, used) => {
                let current = wall / window_ms;
                *used = if *window == current { *used + cost } else { cost };
                *window = current;
                (*used > requests).then(|| format!("{used} in a fixed window of {requests}"))
            }
            Counted::Sliding(admitted) => {
                admitted.push_back((now, cost));
                while admitted.front().is_some_and(|(at, _)| at + window_ms <= now) {
                    admitted.pop_front();
                }
                let used: u64 = admitted.iter().map(|(_, cost)| cost).sum();
                (used > requests).then(|| format!("{used} within {window_ms} ms, where {requests} are allowed"))
            }
            Counted::Bucket(level, since) => {
                let leaked = now.saturating_sub(*since) as f64 * requests as f64 / window_ms as f64;
                *level = (*level - leaked).max(0.0) + cost as f64;
                *since = now;
                let size = self.quota.size();
                (*level > size as f64 + HAIR).then(|| format!("{level:.3} in a bucket of {size}"))
            }
        }
    }

    /// What was admitted so far counts no more.
    pub fn clear(&mut self) {
        *self = Self::new(self.quota);
    }

    /// What was admitted then has cost that much less.
    pub fn give_back(&mut self, admitted_at: Millis, less: u64) {
        if let Counted::Sliding(admitted) = &mut self.counted
            && let Some((_, cost)) = admitted.iter_mut().find(|(at, cost)| *at == admitted_at && *cost >= less)
        {
            *cost -= less;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(quota: Quota, times: &[Millis]) -> Vec<bool> {
        let mut tally = Tally::new(quota);
        times.iter().map(|at| tally.admit(1, *at, 10_000 + at).is_none()).collect()
    }

    #[test]
    fn each_algorithm_counts_exactly() {
        let quota = |algorithm| Quota { algorithm, requests: 2, window_ms: 1_000, burst: None };
        let fixed = admitted(quota(Algorithm::FixedWindow), &[998, 999, 1_000, 1_001, 1_002]);
        assert_eq!(fixed, [true, true, true, true, false]);
        let sliding = admitted(quota(Algorithm::SlidingWindow), &[0, 999, 1_000, 1_998]);
        assert_eq!(sliding, [true, true, true, false]);
        let bucket = admitted(quota(Algorithm::TokenBucket), &[0, 0, 500, 999]);
        assert_eq!(bucket, [true, true, true, false]);
    }
}
