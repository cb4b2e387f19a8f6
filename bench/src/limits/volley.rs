//! Requests of one key, as fast as they are answered, and the calls that they cost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::targets::Algorithm;
use crate::app::{Credential, Fate};
use crate::fleet::Fleet;
use crate::load::shoot;
use crate::stats::per_1000;

/// Requests under way at a time.
const AT_ONCE: usize = 64;
/// First requests of a key, all at once.
const FIRST: usize = 100;
/// By then workers that have nothing to do have handed back what they had of a limit that is hammered: a quarter
/// of a lease's life, which is ten seconds.
pub(super) const HAND_BACK: Duration = Duration::from_secs(3);

impl Fleet {
    /// How many calls of `/v1/leases` the sidecar has answered.
    pub(super) async fn leases(&self) -> Result<u64> {
        self.app.calls("/v1/leases").await
    }

    /// Logs in somebody whom no limit knows.
    pub(super) async fn login(&self, kind: &str) -> Result<Arc<Credential>> {
        self.app.login(&format!("{kind}-{}", self.journal.numbers()), Fate::Stays).await
    }

    /// Sends that many requests, `at_once` of them at a time, spread evenly over the workers. Answers how
    /// many were answered with what.
    pub(super) async fn volley(
        &self,
        credential: &Arc<Credential>,
        path: &'static str,
        (count, at_once): (usize, usize),
    ) -> Result<BTreeMap<u16, usize>> {
        let from = self.journal.len();
        let mut under_way = JoinSet::new();
        for turn in 0..count {
            if under_way.len() >= at_once {
                under_way.join_next().await.context("something is under way")??;
            }
            let (round, worker) = (turn / self.lines().len(), turn % self.lines().len());
            let lines = self.lines().get(worker).context("a worker")?;
            let line = lines.get(round % lines.len()).context("a connection")?;
            under_way.spawn(shoot(line.clone(), Arc::clone(&self.journal), Arc::clone(credential), path, worker));
        }
        while let Some(over) = under_way.join_next().await {
            over?;
        }
        Ok(self.answers_since(from))
    }

    /// How requests were answered whose samples come from there on.
    fn answers_since(&self, from: usize) -> BTreeMap<u16, usize> {
        let mut answers = BTreeMap::new();
        for sample in self.journal.since(from) {
            *answers.entry(sample.status).or_default() += 1;
        }
        answers
    }
}

/// What the first requests of a key cost that come all at once, for so many keys.
pub(super) async fn first_requests(fleet: &Fleet, keys: usize) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for _ in 0..keys {
        let credential = fleet.login("first").await?;
        let before = fleet.leases().await?;
        let by_status = fleet.volley(&credential, Algorithm::SlidingWindow.path(), (FIRST, FIRST)).await?;
        costs.push(Cost { requests: FIRST, by_status, callouts: fleet.leases().await? - before });
        // What they hand back is not the next one's.
        sleep(HAND_BACK).await;
    }
    Ok(costs)
}

/// What requests of one key have cost.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// How many there were.
    pub requests: usize,
    /// How they were answered, by status.
    pub by_status: BTreeMap<u16, usize>,
    /// Calls of `/v1/leases`.
    pub callouts: u64,
}

impl Cost {
    /// Whether all were admitted.
    pub(super) fn is_admitted(&self) -> bool {
        self.by_status.keys().eq(&[200])
    }

    /// Calls per 1,000 admitted requests.
    pub(super) fn callouts_per_1000_admitted(&self) -> f64 {
        per_1000(self.callouts, self.by_status.get(&200).copied().unwrap_or_default())
    }

    /// Sends that many, and counts the calls, with those that hand back.
    pub(super) async fn of_volley(
        fleet: &Fleet,
        credential: &Arc<Credential>,
        path: &'static str,
        count: usize,
    ) -> Result<Self> {
        let before = fleet.leases().await?;
        let by_status = fleet.volley(credential, path, (count, AT_ONCE)).await?;
        sleep(HAND_BACK).await;
        Ok(Self { requests: count, by_status, callouts: fleet.leases().await? - before })
    }

    /// What was sent since that sample, and since so many calls were counted.
    pub(super) async fn since(fleet: &Fleet, sample: usize, calls: u64) -> Result<Self> {
        let by_status = fleet.answers_since(sample);
        Ok(Self { requests: by_status.values().sum(), by_status, callouts: fleet.leases().await? - calls })
    }
}
