//! What became of the requests beside the revocations, with the filter and without.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::app::Fate;
use crate::journal::Sample;
use crate::stats::Spread;

/// What became of a load.
#[derive(Debug, Serialize)]
pub struct LoadFigures {
    /// Requests sent in a second.
    pub(super) rps: f64,
    /// How long answers took.
    pub(super) latency: Spread,
    /// Requests by the status of their answer; 0: there was none.
    pub(super) by_status: BTreeMap<u16, usize>,
}

impl LoadFigures {
    /// Those of these requests.
    pub fn of(samples: &[Sample]) -> Self {
        let first = samples.iter().map(|sample| sample.sent).min().unwrap_or_default();
        let last = samples.iter().map(|sample| sample.sent).max().unwrap_or_default();
        let mut by_status = BTreeMap::new();
        for sample in samples {
            *by_status.entry(sample.status).or_default() += 1;
        }
        let seconds = (last - first).as_secs_f64().max(f64::EPSILON);
        Self {
            rps: (f64::from(u32::try_from(samples.len()).unwrap_or(u32::MAX)) / seconds).round(),
            latency: Spread::of(samples.iter().map(|sample| sample.replied - sample.sent)),
            by_status,
        }
    }

    /// Whether a bare Envoy bore the load as it does on a machine that has time for it.
    pub fn is_sane(&self, wanted_rps: u32) -> bool {
        let reached = self.rps >= f64::from(wanted_rps) * 0.98;
        reached && self.by_status.keys().eq(&[200]) && self.latency.p50_ms <= 5.0 && self.latency.p99_ms <= 25.0
    }
}

/// The load between the warm-up and the freeze.
#[derive(Debug, Serialize)]
pub struct MainLoad {
    pub(super) requests: usize,
    pub(super) load_rps: f64,
    /// Requests with a token that their worker had not seen before.
    pub(super) cold_requests: usize,
    /// Requests of sessions that nobody has ended, and that were not answered 200.
    pub(super) live_not_served: usize,
    pub(super) load: LoadFigures,
}

impl MainLoad {
    /// That of these requests.
    pub fn of(samples: &[Sample]) -> Self {
        let seen: HashSet<_> = samples.iter().map(|sample| (sample.worker, sample.credential.id)).collect();
        let of_live = samples.iter().filter(|sample| sample.credential.fate == Fate::Stays);
        let load = LoadFigures::of(samples);
        Self {
            requests: samples.len(),
            load_rps: load.rps,
            cold_requests: seen.len(),
            live_not_served: of_live.filter(|sample| sample.status != 200).count(),
            load,
        }
    }
}

/// The same load on Envoys without the filter, before and after: whether the machine had time for it.
#[derive(Debug, Serialize)]
pub struct Bare {
    pub(super) bare_load_ok: bool,
    pub(super) bare_before: LoadFigures,
    pub(super) bare_after: LoadFigures,
}

impl Bare {
    /// What it says of the machine.
    pub fn of(before: LoadFigures, after: LoadFigures, rps: u32) -> Self {
        Self { bare_load_ok: before.is_sane(rps) && after.is_sane(rps), bare_before: before, bare_after: after }
    }
}
