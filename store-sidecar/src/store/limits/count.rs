//! What was used of one quota, as far as it still counts.

use std::collections::VecDeque;

use session_gate_protocol::{Algorithm, MAX_LEASE_MS, Quota};

/// Into how many parts a sliding window is divided: what was used is counted for one part too long at most.
const PARTS: u64 = 64;

/// No time that is told is longer, 100 years: so all of them are exact in a script's numbers.
pub(super) const LONGEST_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// How a count is found again: one of the same shape goes on where only the number of requests has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    algorithm: Algorithm,
    window_ms: u64,
    /// How many quotas before it are as like.
    nth: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Count {
    pub(super) shape: Shape,
    /// When it was last asked for.
    pub(super) asked_ms: u64,
    used: Used,
}

#[derive(Clone, Debug)]
enum Used {
    /// How many in the window of that index.
    Fixed { window: u64, used: u64 },
    /// How many at most until the end of each part of that index; those alone where there are any.
    Sliding { parts: VecDeque<(u64, u64)> },
    /// How many are missing from the full bucket, those in leases among them; and how many flow in per window.
    Bucket { requests: u64, debt: f64 },
}

/// A lease that others see: when it ends, and how many it has.
pub(super) type End = (u64, u64);

// === impl Shape ===

impl Shape {
    /// Those of the quotas, in their order; none of what counts by leases alone.
    pub(super) fn of_all(quotas: &[Quota]) -> Vec<Option<Self>> {
        let shape = |(place, quota): (usize, &Quota)| {
            let nth = quotas.iter().take(place).filter(|before| is_alike(before, quota)).count();
            let shape = Self { algorithm: quota.algorithm, window_ms: quota.window_ms, nth };
            (quota.algorithm != Algorithm::InFlight).then_some(shape)
        };
        quotas.iter().enumerate().map(shape).collect()
    }
}

// === impl Count ===

impl Count {
    /// A new one, beside leases with so many in all.
    pub(super) fn new(shape: Shape, requests: u64, now: u64, outstanding: u64) -> Self {
        let used = match shape.algorithm {
            Algorithm::FixedWindow => Used::Fixed { window: now / shape.window_ms, used: 0 },
            Algorithm::SlidingWindow | Algorithm::InFlight => Used::Sliding { parts: VecDeque::new() },
            Algorithm::TokenBucket => Used::Bucket { requests, debt: outstanding as f64 },
        };
        Self { shape, asked_ms: now, used }
    }

    /// It is asked for, with that number of requests.
    pub(super) fn ask(&mut self, now: u64, asked_requests: u64) {
        self.asked_ms = now;
        if let Used::Bucket { requests, .. } = &mut self.used {
            *requests = asked_requests;
        }
    }

    /// Whether it has not been asked for so long that the limit must have another window now. Until then it
    /// counts on, since not all workers learn of that at once.
    pub(super) fn is_abandoned(&self, now: u64) -> bool {
        now >= self.asked_ms.saturating_add(self.shape.window_ms.saturating_mul(2))
    }

    /// Lets so many milliseconds pass, during which so many were in leases. What is in a lease stays in the
    /// bucket until it is used: what flows in meanwhile must not be had beside it.
    pub(super) fn pass(&mut self, elapsed: u64, outstanding: u64) {
        if let Used::Bucket { requests, debt } = &mut self.used {
            let rate = *requests as f64 / self.shape.window_ms as f64;
            *debt = (*debt - rate * elapsed as f64).max(outstanding as f64);
        }
    }

    /// Goes on by a clock that is behind by so much, and says `now`.
    pub(super) fn set_back(&mut self, by: u64, now: u64) {
        let part = self.part_ms();
        self.asked_ms = self.asked_ms.saturating_sub(by);
        match &mut self.used {
            Used::Fixed { window, .. } => *window = (*window).min(now / self.shape.window_ms),
            Used::Sliding { parts } => parts.iter_mut().for_each(|(index, _)| *index = index.saturating_sub(by / part)),
            Used::Bucket { .. } => {}
        }
    }

    /// Forgets what counts no more.
    pub(super) fn prune(&mut self, now: u64) {
        let part = self.part_ms();
        let Self { shape: Shape { window_ms, .. }, used, .. } = self;
        match used {
            Used::Fixed { window, used } if *window < now / *window_ms => {
                *window = now / *window_ms;
                *used = 0;
            }
            Used::Sliding { parts } => {
                while parts.front().is_some_and(|(index, _)| now >= index * part + *window_ms) {
                    parts.pop_front();
                }
            }
            Used::Fixed { .. } | Used::Bucket { .. } => {}
        }
    }

    /// So many of a lease have been used by `at`.
    pub(super) fn note(&mut self, at: u64, count: u64) {
        let part = self.part_ms();
        match &mut self.used {
            _ if count == 0 => {}
            Used::Fixed { window, used } => {
                let index = at / self.shape.window_ms;
                *used = if index > *window { count } else { used.saturating_add(count) };
                *window = index.max(*window);
            }
            Used::Sliding { parts } => match parts.back_mut() {
                Some((index, used)) if *index == at.div_ceil(part) => *used = used.saturating_add(count),
                _ => parts.push_back((at.div_ceil(part), count)),
            },
            // They have been missing since they were leased.
            Used::Bucket { .. } => {}
        }
    }

    /// A lease of so many ends at `at`, and nobody says how many were used: by then all.
    pub(super) fn lapse(&mut self, at: u64, count: u64) {
        // At its end it can be used no more: one that ends with a window belongs to that window.
        let last = if matches!(self.used, Used::Fixed { .. }) { at.saturating_sub(1) } else { at };
        self.note(last, count);
    }

    /// So many are leased.
    pub(super) fn take(&mut self, count: u64) {
        if let Used::Bucket { debt, .. } = &mut self.used {
            *debt += count as f64;
        }
    }

    /// So many come back that were leased.
    pub(super) fn give_back(&mut self, count: u64) {
        if let Used::Bucket { debt, .. } = &mut self.used {
            *debt -= count as f64;
        }
    }

    /// How many can be leased where so many are in leases.
    pub(super) fn left(&self, quota: &Quota, outstanding: u64) -> u64 {
        match &self.used {
            Used::Bucket { debt, .. } => (quota.size() as f64 - debt).floor().max(0.0) as u64,
            _ => quota.requests.saturating_sub(self.used().saturating_add(outstanding)),
        }
    }

    /// In how many milliseconds there is more.
    pub(super) fn reset(&self, now: u64, ends: &[End]) -> u64 {
        match &self.used {
            Used::Fixed { used: 0, .. } if ends.is_empty() => 0,
            Used::Fixed { window, .. } => self.window_end(*window) - now,
            Used::Sliding { .. } => self.releases(ends).next().map_or(0, |(at, _)| at - now),
            Used::Bucket { debt, .. } => self.refill_ms(*debt),
        }
    }

    /// In how many milliseconds there are `lacking`, even if all leases are used up at their ends.
    pub(super) fn retry(&self, quota: &Quota, lacking: u64, now: u64, ends: &[End]) -> u64 {
        let lacking = lacking.min(quota.size());
        let mut outstanding = ends.iter().map(|(_, count)| count).sum::<u64>();
        if let Used::Bucket { debt, .. } = &self.used {
            let target = (quota.size() - lacking) as f64;
            let (mut debt, mut at) = (*debt, now);
            let rate = quota.requests as f64 / self.shape.window_ms as f64;
            for (end, count) in ends {
                let enough = at as f64 + whole_ms((debt - target) / rate);
                if outstanding as f64 <= target && enough <= *end as f64 {
                    break;
                }
                debt = (debt - rate * (end - at) as f64).max(outstanding as f64);
                outstanding -= count;
                at = *end;
            }
            return if debt <= target { at - now } else { (at - now).saturating_add(self.refill_ms(debt - target)) }
                .min(LONGEST_MS);
        }
        let mut deficit = lacking.saturating_add(self.used()).saturating_add(outstanding);
        deficit = deficit.saturating_sub(quota.requests);
        match &self.used {
            _ if deficit == 0 => 0,
            Used::Fixed { window, .. } => self.window_end(*window) - now,
            _ => {
                for (at, count) in self.releases(ends) {
                    deficit = deficit.saturating_sub(count);
                    if deficit == 0 {
                        return at - now;
                    }
                }
                self.shape.window_ms
            }
        }
    }

    /// How long a lease of so many of it may last at most. One that has little may last longer, as long as others
    /// hardly miss it: so the seldom requests of a slow client need no lease each.
    pub(super) fn lifetime(&self, quota: &Quota, taken: u64, now: u64, is_scarce: bool) -> u64 {
        let full = match self.used {
            Used::Bucket { .. } => quota.size() as f64 * quota.window_ms as f64 / quota.requests as f64,
            _ => quota.window_ms as f64,
        };
        let usual = |longest: u64| (full / 4.0).floor().clamp(SHORTEST_LEASE_MS as f64, longest as f64) as u64;
        let lifetime = if is_scarce {
            (usual(USUAL_LEASE_MS) / 4).max(SHORTEST_LEASE_MS)
        } else {
            usual((WHOLE_LEASE_MS * quota.size() / taken.max(1)).clamp(USUAL_LEASE_MS, MAX_LEASE_MS))
        };
        match self.used {
            // `now` may be nearly a millisecond ago.
            Used::Fixed { window, .. } => lifetime.min(self.window_end(window) - now - 1),
            _ => lifetime,
        }
    }

    /// When it is as if new, unless more is used.
    pub(super) fn over(&self, now: u64, ends: &[End]) -> u64 {
        let last = ends.last().map(|(end, _)| *end);
        match &self.used {
            Used::Fixed { window, used } => {
                let own = if *used > 0 { self.window_end(*window) } else { 0 };
                own.max(last.map_or(0, |end| end.div_ceil(self.shape.window_ms) * self.shape.window_ms))
            }
            Used::Sliding { .. } => self.releases(ends).last().map_or(0, |(at, _)| at),
            Used::Bucket { debt, .. } => last.unwrap_or(now).max(now).saturating_add(self.refill_ms(*debt)),
        }
    }

    fn part_ms(&self) -> u64 {
        self.shape.window_ms.div_ceil(PARTS)
    }

    /// How many have been used.
    fn used(&self) -> u64 {
        match &self.used {
            Used::Fixed { used, .. } => *used,
            Used::Sliding { parts } => parts.iter().map(|(_, used)| used).sum(),
            Used::Bucket { .. } => 0,
        }
    }

    fn window_end(&self, window: u64) -> u64 {
        (window + 1) * self.shape.window_ms
    }

    /// When how many fall out of the sliding window, the leases used up at their ends.
    fn releases<'a>(&'a self, ends: &'a [End]) -> impl Iterator<Item = End> + 'a {
        let part = self.part_ms();
        let parts = match &self.used {
            Used::Sliding { parts } => Some(parts.iter().copied()),
            _ => None,
        };
        let leases = ends.iter().map(move |(end, count)| (end.div_ceil(part), *count));
        let used = parts.into_iter().flatten().chain(leases);
        used.map(move |(index, count)| (index * part + self.shape.window_ms, count))
    }

    /// In how many milliseconds so many flow into the bucket.
    fn refill_ms(&self, count: f64) -> u64 {
        let Used::Bucket { requests, .. } = &self.used else { return 0 };
        let rate = *requests as f64 / self.shape.window_ms as f64;
        (whole_ms(count / rate) as u64).min(LONGEST_MS)
    }
}

/// So many milliseconds, whole ones: after these it is there, for all the rounding of what flows in.
fn whole_ms(millis: f64) -> f64 {
    const ROUNDING: f64 = 1e-6;
    if millis > 0.0 { (millis + ROUNDING).ceil() } else { 0.0 }
}

/// A lease lasts at least so long: a shorter one would be over when the worker hears of it, and the
/// fiftieth part by which a worker ends it before its time must be more than a millisecond of the store's clock.
pub(super) const SHORTEST_LEASE_MS: u64 = 50;

/// And usually at most so long: what a dead worker had in it is missed for this time longer.
const USUAL_LEASE_MS: u64 = 10_000;

/// For so long one might have the whole limit: who has a hundredth of it may have that for a hundred times as
/// long, as far as [`MAX_LEASE_MS`].
const WHOLE_LEASE_MS: u64 = 500;

/// Whether two quotas count alike, whatever each allows.
pub(in crate::store) fn is_alike(a: &Quota, b: &Quota) -> bool {
    a.algorithm == b.algorithm && a.window_ms == b.window_ms
}
