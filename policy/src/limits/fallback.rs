//! A worker's part of a limit, for while the store is away: what it has admitted itself.

use std::time::Duration;

use session_gate_protocol::Quota;

/// What this worker has admitted, for each quota, in a window that began when it admitted the first.
#[derive(Debug, Default)]
pub(super) struct FallbackBudget(Vec<Tally>);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    began: Duration,
    admitted: u64,
}

impl FallbackBudget {
    /// What is one worker's of so many.
    pub(super) fn part(quota: &Quota, workers: u64) -> u64 {
        (quota.size() / workers.max(1)).max(1)
    }

    /// Notes an admission, whoever has granted it: what the store has given counts towards the part, too.
    pub(super) fn note(&mut self, quotas: &[Quota], cost: u64, now: Duration) {
        self.0.resize(quotas.len(), Tally::default());
        for (tally, quota) in self.0.iter_mut().zip(quotas) {
            if tally.is_over(quota, now) {
                *tally = Tally { began: now, admitted: 0 };
            }
            tally.admitted = tally.admitted.saturating_add(cost);
        }
    }

    /// Whether the part of each quota has room for that.
    pub(super) fn fits(&self, quotas: &[Quota], cost: u64, workers: u64, now: Duration) -> bool {
        quotas.iter().enumerate().all(|(place, quota)| {
            let tally = self.0.get(place).filter(|tally| !tally.is_over(quota, now));
            let admitted = tally.map_or(0, |tally| tally.admitted);
            admitted.saturating_add(cost) <= Self::part(quota, workers)
        })
    }
}

impl Tally {
    fn is_over(&self, quota: &Quota, now: Duration) -> bool {
        self.admitted == 0 || now.saturating_sub(self.began) >= Duration::from_millis(quota.window_ms)
    }
}

#[cfg(test)]
mod tests {
    use session_gate_protocol::Algorithm;

    use super::*;

    const QUOTAS: [Quota; 2] = [
        Quota { algorithm: Algorithm::SlidingWindow, requests: 8, window_ms: 1_000, burst: None },
        Quota { algorithm: Algorithm::FixedWindow, requests: 12, window_ms: 10_000, burst: None },
    ];

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_quota_has_its_part_and_its_window() {
        let mut shares = FallbackBudget::default();
        for at in 0..3 {
            assert!(shares.fits(&QUOTAS, 2, 4, seconds(at)) == (at == 0) || at > 0);
            shares.note(&QUOTAS, 1, seconds(at));
            assert_eq!(shares.fits(&QUOTAS, 1, 4, seconds(at)), at < 2, "two a second, three in ten");
        }
        assert!(shares.fits(&QUOTAS, 1, 4, seconds(10)), "the longer window is over, too");
        assert!(shares.fits(&QUOTAS, 1, 1, seconds(2)), "a lone worker's part is the whole");
    }

    #[test]
    fn everybody_may_admit_one() {
        let shares = FallbackBudget::default();
        assert!(shares.fits(&QUOTAS, 1, 1_000, seconds(0)));
        assert!(!shares.fits(&QUOTAS, 2, 1_000, seconds(0)));
    }
}
