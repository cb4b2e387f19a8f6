//! What kind of world a run happens in: decided by its seed.

use std::time::Duration;

use store_sidecar::{feed::Pages, store::LockRules};

use crate::{guesses, limits::settings::AllLimits, lives::Lives, worker_host::WorkerSettings};

/// What a run is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing is ever wrong.
    Calm,
    /// Links take no time and clocks agree, so that bounds are met to the millisecond; and whoever was just
    /// told everything is cut off at that moment.
    Exact,
    /// Everything may go wrong.
    Rough,
}

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// What it is like.
    pub weather: Weather,
    /// How many client operations it has.
    pub ops: u64,
    /// How many Envoys.
    pub envoys: usize,
    /// How many workers each has.
    pub workers: usize,
    /// How many sidecars.
    pub replicas: usize,
    /// Whether each Envoy has a sidecar of its own, or its calls go to any.
    pub has_own_sidecar: bool,
    /// What workers are told.
    pub settings: WorkerSettings,
    /// The sizes of pages.
    pub pages: Pages,
    /// By how much workers' clocks run fast or slow at most, in millionths.
    pub drift_ppm: i64,
    /// By how much walls differ at most, in milliseconds.
    pub wall_millis: i64,
    /// By how much the other issuer's clock is fast, or slow, in milliseconds.
    pub issuer_millis: i64,
    /// How many operations come in a millisecond on average.
    pub ops_per_milli: f64,
    /// How many users there are.
    pub users: u32,
    /// How many sessions are held at a time.
    pub sessions: usize,
    /// How many of a thousand operations change something.
    pub changes: u32,
    /// How many of a thousand operations begin to use a limit.
    pub limited: u32,
    /// Whether what was handed back is tried to be had again at the end, when nothing goes wrong any more.
    pub probes: bool,
    /// How long it is between two faults on average.
    pub fault_every: Duration,
    /// Whether little happens in much time.
    pub is_slow: bool,
    /// Whether the data of the store may be lost.
    pub may_lose_data: bool,
    /// After how long without use sessions end.
    pub idle_timeout: Option<Duration>,
    /// Whether the store may accept no changes for a while.
    pub may_refuse: bool,
    /// How long tokens live.
    pub lives: Lives,
    /// Whether some users may have only so many sessions.
    pub has_crowd: bool,
    /// When failed logins lock an account; none: nobody guesses.
    pub guesses: Option<LockRules>,
    /// Whether some users have refresh tokens.
    pub has_mobiles: bool,
    /// Whether sessions go on under new ids.
    pub rotates: bool,
}

impl Parameters {
    /// The parameters of a run with that many operations.
    pub fn new(rng: &mut fastrand::Rng, ops: u64) -> Self {
        let weather = match rng.u8(0..10) {
            0 => Weather::Calm,
            1..5 => Weather::Exact,
            _ => Weather::Rough,
        };
        let is_large = rng.u8(0..8) == 0;
        // So long that leases of slots end.
        let is_slow = !is_large && rng.u8(0..32) == 0;
        let (envoys, workers) =
            if is_large { (rng.usize(8..20), rng.usize(2..5)) } else { (rng.usize(1..5), rng.usize(1..5)) };
        let max_staleness = one_of(rng, &[100, 150, 250, 400, 1_000, 2_000]);
        let settings = WorkerSettings {
            max_staleness: Duration::from_millis(max_staleness),
            timeout: Duration::from_millis(one_of(rng, &[50, 100, 250]).min(max_staleness)),
            last_known: Duration::from_millis(one_of(rng, &[1_000, 2_000, 4_000])),
            max_held: if weather == Weather::Calm { 1_024 } else { one_of(rng, &[2, 16, 1_024]) },
            limits: AllLimits::new(rng),
        };
        let pages =
            Pages { reply_chars: one_of(rng, &[60, 400, 2_000, 192 * 1024]), reading: one_of(rng, &[1, 3, 10, 1_000]) };
        let is_rough = weather == Weather::Rough;
        Self {
            weather,
            ops,
            envoys,
            workers,
            replicas: rng.usize(1..6),
            has_own_sidecar: rng.bool(),
            settings,
            pages,
            drift_ppm: if is_rough && rng.bool() { one_of(rng, &[200, 2_000, 10_000]) } else { 0 },
            wall_millis: one_of(rng, &[0, 500, 1_000]),
            // Workers' walls may be off the other way, and the leeway is 30 s.
            issuer_millis: one_of(rng, &[0, 2_000, -2_000, 10_000, -10_000, 28_000, -28_000]),
            ops_per_milli: match (is_large, is_slow) {
                (true, _) => 1.0 + rng.f64() * 3.0,
                (false, true) => 0.1 + rng.f64() * 0.1,
                (false, false) => 0.3 + rng.f64() * 2.5,
            },
            is_slow,
            users: rng.u32(3..60),
            sessions: rng.usize(10..300),
            changes: rng.u32(10..70),
            limited: rng.u32(5..30),
            probes: weather == Weather::Calm || rng.u8(0..6) == 0,
            fault_every: Duration::from_millis(rng.u64(60..1_500)),
            may_lose_data: rng.u8(0..3) == 0,
            may_refuse: rng.bool() || (weather == Weather::Calm && rng.bool()),
            idle_timeout: (rng.u8(0..3) == 0).then(|| Duration::from_secs(one_of(rng, &[1, 2, 3, 5, 8]))),
            lives: Lives::new(rng),
            has_crowd: rng.bool(),
            guesses: guesses::drawn_rules(rng),
            has_mobiles: rng.bool(),
            rotates: rng.bool(),
        }
    }

    /// How many workers there are in all.
    pub fn all_workers(&self) -> usize {
        self.envoys * self.workers
    }

    /// Whether links and the store take no time unless they are made to.
    pub fn is_exact(&self) -> bool {
        self.weather == Weather::Exact
    }
}

fn one_of<T: Copy + Default>(rng: &mut fastrand::Rng, all: &[T]) -> T {
    rng.choice(all).copied().unwrap_or_default()
}
