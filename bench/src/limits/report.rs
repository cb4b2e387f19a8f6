//! What the measurement of limits has found out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::edge::Edge;
use super::runs::Run;
use super::volley::Cost;
use crate::output::Figures;
use crate::setting::Setting;
use crate::stats::per_1000;

/// What is wanted.
#[derive(Clone, Copy, Debug, Serialize)]
struct Wanted {
    /// Of a limit of 1,000, where nothing was killed: at least that many.
    admitted_undisturbed: usize,
    callouts_per_1000: f64,
    far_from_limit_callouts_per_1000: f64,
    denied_callouts_per_1000: f64,
}

const WANTED: Wanted = Wanted {
    admitted_undisturbed: 990,
    callouts_per_1000: 40.0,
    far_from_limit_callouts_per_1000: 5.0,
    denied_callouts_per_1000: 5.0,
};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    runs: Vec<Run>,
    /// The most in a run in which nothing was killed.
    callouts_per_1000: f64,
    /// What killing has cost: what nobody got of the limit, in each run in which something was killed.
    unused_by_kills: Vec<u64>,
    /// Calls that 100 parallel first requests of a key cost, the most of several keys.
    first_requests_callouts: u64,
    /// The same, of each key.
    first_requests: Vec<Cost>,
    far_from_limit_callouts_per_1000: f64,
    far_from_limit: Cost,
    /// Calls per 1,000 requests of clients that come once in five seconds, each with a key of its own.
    slow_clients_callouts_per_1000: f64,
    slow_clients: Cost,
    /// Calls per 1,000 requests with a key that is denied, over all such requests.
    denied_callouts_per_1000: f64,
    /// The most admissions that were certainly within one window's length.
    sliding_worst_interval: usize,
    edges: [Edge; 2],
    #[serde(flatten)]
    setting: Setting,
    seed: u64,
    wanted: Wanted,
}

impl Report {
    /// All of it.
    pub(super) fn new(
        runs: Vec<Run>,
        first_requests: Vec<Cost>,
        [far_from_limit, slow_clients]: [Cost; 2],
        denied: &[Cost],
        edges: [Edge; 2],
        (setting, seed): (Setting, u64),
    ) -> Self {
        let undisturbed = runs.iter().filter(|run| !run.killed);
        Self {
            callouts_per_1000: undisturbed.map(Run::callouts_per_1000).fold(0.0, f64::max),
            unused_by_kills: runs.iter().filter(|run| run.killed).map(|run| run.unused).collect(),
            runs,
            first_requests_callouts: first_requests.iter().map(|cost| cost.callouts).max().unwrap_or_default(),
            first_requests,
            far_from_limit_callouts_per_1000: far_from_limit.callouts_per_1000_admitted(),
            far_from_limit,
            slow_clients_callouts_per_1000: slow_clients.callouts_per_1000_admitted(),
            slow_clients,
            denied_callouts_per_1000: per_1000(
                denied.iter().map(|cost| cost.callouts).sum(),
                denied.iter().map(|cost| cost.requests).sum(),
            ),
            sliding_worst_interval: edges.iter().map(|edge| edge.worst_interval).max().unwrap_or_default(),
            edges,
            setting,
            seed,
            wanted: WANTED,
        }
    }
}

impl Figures for Report {
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for run in &self.runs {
            mistakes.extend(mistakes_of(run));
        }
        for edge in &self.edges {
            if edge.worst_interval > edge.limit {
                mistakes.push(format!(
                    "{} admissions within {} ms, where {} may be",
                    edge.worst_interval, edge.window_ms, edge.limit
                ));
            }
        }
        if self.first_requests_callouts > u64::try_from(self.setting.workers).unwrap_or_default() {
            mistakes.push(format!("{} calls for the first requests of a key", self.first_requests_callouts));
        }
        for (what, figure, wanted) in [
            ("far from the limit", self.far_from_limit_callouts_per_1000, WANTED.far_from_limit_callouts_per_1000),
            ("that are denied", self.denied_callouts_per_1000, WANTED.denied_callouts_per_1000),
        ] {
            if figure > wanted {
                mistakes.push(format!("{figure} calls per 1,000 requests {what}"));
            }
        }
        let costs = self.first_requests.iter().chain([&self.far_from_limit, &self.slow_clients]);
        for cost in costs.filter(|cost| !cost.is_admitted()) {
            mistakes.push(format!("requests that the limit allows were answered {:?}", cost.by_status));
        }
        mistakes
    }
}

fn mistakes_of(run: &Run) -> Vec<String> {
    let Run { algorithm, limit, admitted, .. } = run;
    let mut mistakes = Vec::new();
    if u64::try_from(*admitted).unwrap_or(u64::MAX) > *limit {
        mistakes.push(format!("{algorithm:?}: {admitted} of {limit} were admitted"));
    }
    if run.killed {
        // All that is missing must have been in the hands of the dead.
        if run.unused > run.lapsed {
            mistakes.push(format!("{algorithm:?}: {} are missing, and {} were left in leases", run.unused, run.lapsed));
        }
        return mistakes;
    }
    if *admitted < WANTED.admitted_undisturbed {
        mistakes.push(format!("{algorithm:?}: only {admitted} of {limit} were admitted, and nothing was killed"));
    }
    if run.callouts_per_1000() > WANTED.callouts_per_1000 {
        mistakes.push(format!("{algorithm:?}: {} calls for {admitted} admitted requests", run.callouts));
    }
    if run.answered_by_worker.contains(&0) {
        mistakes.push(format!("{algorithm:?}: not every worker was asked: {:?}", run.answered_by_worker));
    }
    let others: BTreeMap<_, _> = run.by_status.iter().filter(|(status, _)| ![200, 429].contains(*status)).collect();
    if !others.is_empty() {
        mistakes.push(format!("{algorithm:?}: answers that the limit does not give, by status: {others:?}"));
    }
    mistakes
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, wanted, .. } = self;
        writeln!(f, "Envoy {}, {} workers, {} cores", setting.envoy, setting.workers, setting.cores)?;
        for run in &self.runs {
            let what = if run.killed { format!("{} killed", run.victims.len()) } else { "undisturbed".to_owned() };
            writeln!(
                f,
                "{:<14} {what:<12} {:>4} of {} admitted, of {:>5} attempts, for {:>3} calls; {:>3} left in leases",
                format!("{:?}", run.algorithm),
                run.admitted,
                run.limit,
                run.attempts,
                run.callouts,
                run.lapsed
            )?;
        }
        writeln!(
            f,
            "calls per 1,000 admitted:    at most {} undisturbed (wanted {}), {} far from the limit (wanted {})",
            self.callouts_per_1000,
            wanted.callouts_per_1000,
            self.far_from_limit_callouts_per_1000,
            wanted.far_from_limit_callouts_per_1000
        )?;
        writeln!(
            f,
            "  of {} requests of clients that come once in five seconds: {}",
            self.slow_clients.requests, self.slow_clients_callouts_per_1000
        )?;
        writeln!(
            f,
            "calls per 1,000 denied:      {} (wanted {})",
            self.denied_callouts_per_1000, wanted.denied_callouts_per_1000
        )?;
        writeln!(
            f,
            "calls for 100 first requests: at most {} (wanted {}), of {} keys",
            self.first_requests_callouts,
            setting.workers,
            self.first_requests.len()
        )?;
        let [steady, bursts] = &self.edges;
        write!(
            f,
            "within any {} ms of {}:     at most {} of {} admitted, in bursts {} of {}",
            steady.window_ms,
            steady.limit,
            steady.worst_interval,
            steady.admitted,
            bursts.worst_interval,
            bursts.admitted
        )
    }
}
