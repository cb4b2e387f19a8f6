//! The edge of a window that slides: no interval of its length may have more admissions than the limit.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::plan::Plan;
use super::targets::{EDGE, EDGE_LIMIT, EDGE_WINDOW};
use crate::fleet::Fleet;
use crate::journal::{Moment, Sample};
use crate::load::Aim;

/// Requests a second.
const RPS: u32 = 400;
/// In bursts: for how long requests come, and for how long none, so that leases are kept half used.
const BURST: Duration = Duration::from_millis(60);
const LULL: Duration = Duration::from_millis(540);
/// What is under way is answered by then.
const SETTLE: Duration = Duration::from_millis(500);

/// What was seen of it.
#[derive(Debug, Serialize)]
pub(super) struct Edge {
    /// Whether requests came in bursts, or all the time.
    pub in_bursts: bool,
    pub limit: usize,
    pub window_ms: u64,
    /// Requests that were sent.
    pub attempts: usize,
    /// Requests that were admitted.
    pub admitted: usize,
    /// The most of them that were certainly admitted within one window's length.
    pub worst_interval: usize,
}

impl Edge {
    /// Watches it for as long as the plan says.
    pub(super) async fn watch(fleet: &Fleet, plan: &Plan, in_bursts: bool) -> Result<Self> {
        let credential = fleet.login("edge").await?;
        let (from, end) = (fleet.journal.len(), Instant::now() + plan.edge);
        while Instant::now() < end {
            let aim = Aim { paths: vec![EDGE], background: vec![credential.clone()], target: Vec::new() };
            let load = fleet.load_of(RPS, aim)?;
            sleep(if in_bursts { BURST } else { plan.edge }).await;
            drop(load);
            sleep(if in_bursts { LULL } else { SETTLE }).await;
        }
        let samples = fleet.journal.since(from);
        let admissions: Vec<_> = samples.iter().filter_map(admission).collect();
        Ok(Self {
            in_bursts,
            limit: EDGE_LIMIT,
            window_ms: u64::try_from(EDGE_WINDOW.as_millis())?,
            attempts: samples.len(),
            admitted: admissions.len(),
            worst_interval: worst_interval(&admissions, EDGE_WINDOW),
        })
    }
}

/// Between which moments a request was admitted: after it was sent, and before the upstream had it.
fn admission(sample: &Sample) -> Option<(Moment, Moment)> {
    Some((sample.sent, sample.arrived?))
}

/// The most admissions that lie within one interval of that length for certain: each was sent after it had
/// begun, and at the upstream before it was over.
fn worst_interval(admissions: &[(Moment, Moment)], length: Duration) -> usize {
    let within =
        |begin: Moment| admissions.iter().filter(|(sent, arrived)| *sent >= begin && *arrived < begin + length).count();
    // The worst one begins with one that was sent.
    admissions.iter().map(|(sent, _)| within(*sent)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_certainly_admitted_within_an_interval_counts() {
        let ms = Moment::from_millis;
        let within = |admissions: &[(u64, u64)]| {
            let admissions: Vec<_> = admissions.iter().map(|(sent, arrived)| (ms(*sent), ms(*arrived))).collect();
            worst_interval(&admissions, ms(100))
        };
        assert_eq!(within(&[]), 0);
        assert_eq!(within(&[(0, 1), (50, 51), (98, 99)]), 3);
        assert_eq!(within(&[(0, 1), (50, 51), (98, 100)]), 2, "the last may have come after the interval");
        assert_eq!(within(&[(0, 60), (50, 51), (98, 100)]), 2, "the first may have come before it");
        assert_eq!(within(&[(0, 1), (150, 151), (160, 161), (170, 171)]), 3);
    }
}
