//! Clocks that differ: the sidecars' and the store's walls, and each worker's own two.

use std::time::Duration;

use session_gate_policy::time::Now;
use session_gate_protocol::UnixSeconds;
use store_sidecar::clock::Clock;
use tokio::time::Instant;

/// What walls show when a run begins, in milliseconds since 1970.
const START_MILLIS: u64 = 1_790_000_000_000;

/// A millisecond in nanoseconds.
const MILLI: u64 = 1_000_000;

/// True time, in milliseconds from the beginning of the run: the grid on which everything happens.
pub type Millis = u64;

/// The wall clock of a machine that is ahead or behind.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    start: Instant,
    ahead: i64,
}

impl Wall {
    /// A wall that is `ahead` milliseconds ahead of the true one; the run began at `start`.
    pub fn new(start: Instant, ahead: i64) -> Self {
        Self { start, ahead }
    }

    /// What it shows at a moment.
    pub fn at(&self, now: Millis) -> u64 {
        START_MILLIS.saturating_add(now).saturating_add_signed(self.ahead)
    }
}

impl Clock for Wall {
    fn millis(&self) -> u64 {
        self.at(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// A worker's clocks: a wall, and one that never goes back and runs at its own rate.
#[derive(Clone, Copy, Debug)]
pub struct WorkerClock {
    wall: Wall,
    /// What it showed when the run began.
    base: u64,
    /// By how much it runs fast, in millionths; negative: slow.
    ppm: i64,
}

impl WorkerClock {
    /// A clock that showed `base` nanoseconds when the run began.
    pub fn new(wall: Wall, base: u64, ppm: i64) -> Self {
        Self { wall, base, ppm }
    }

    /// What both show.
    pub fn now(&self, now: Millis) -> Now {
        Now { wall: UnixSeconds(self.wall.at(now) / 1_000), monotonic: Duration::from_nanos(self.local(now)) }
    }

    fn milli(&self) -> u64 {
        MILLI.saturating_add_signed(self.ppm)
    }

    fn local(&self, now: Millis) -> u64 {
        self.base.saturating_add(now.saturating_mul(self.milli()))
    }

    /// How much time it measures between two moments.
    pub fn between(&self, from: Millis, to: Millis) -> Duration {
        Duration::from_nanos(to.saturating_sub(from).saturating_mul(self.milli()))
    }

    /// The first moment at which it has measured `duration` since `from`.
    pub fn after(&self, from: Millis, duration: Duration) -> Millis {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        from.saturating_add(nanos.div_ceil(self.milli().max(1)))
    }

    /// By how much more than `duration` it may measure while a clock that is right measures `duration`.
    pub fn excess(&self, duration: Duration) -> Duration {
        let fast = u64::try_from(self.ppm).unwrap_or_default();
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.saturating_mul(fast).div_ceil(1_000_000))
    }
}
