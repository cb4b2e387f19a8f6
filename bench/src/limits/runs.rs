//! A limit that is hammered until it admits no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::plan::Plan;
use super::strikes::{Chance, Victim, strike};
use super::targets::{Algorithm, LIMIT};
use super::volley::HAND_BACK;
use crate::app::Credential;
use crate::fleet::{ENVOYS, Fleet, WORKERS};
use crate::load::Aim;
use crate::stats::{millis, per_1000};

/// Who has used a lease by halves hands it back after this, or it has ended: nothing else can be admitted
/// then.
const QUIET: Duration = Duration::from_secs(11);
/// For how long it is hammered after it was used up: more may not be admitted.
const BEYOND: Duration = Duration::from_secs(2);
/// When a run ends however it stands.
const LONGEST: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What came of one limit.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub algorithm: Algorithm,
    /// Whether Envoys and workers were killed.
    pub killed: bool,
    pub limit: u64,
    /// Requests that have reached the upstream.
    pub admitted: usize,
    /// Requests that were sent.
    pub attempts: usize,
    /// Calls of `/v1/leases`, as the sidecar counts them, with those that hand back.
    pub callouts: u64,
    /// What was killed, in its order.
    pub victims: Vec<Victim>,
    /// What nobody got.
    pub unused: u64,
    /// What was in leases that ended and that nobody had settled: it counts as used, and some of it was.
    pub lapsed: u64,
    /// From the first request until nothing more was expected.
    pub ms: f64,
    /// From the first request until the last admission, seen every 50 ms.
    pub last_admission_ms: f64,
    /// How requests were answered, by status; 0: they were not.
    pub by_status: BTreeMap<u16, usize>,
    /// Requests answered by each worker.
    pub answered_by_worker: [usize; ENVOYS * WORKERS],
    /// Of them, those that were admitted.
    pub admitted_by_worker: [usize; ENVOYS * WORKERS],
}

impl Run {
    /// Hammers a limit while nothing else happens.
    pub(super) async fn undisturbed(fleet: &Fleet, algorithm: Algorithm, credential: &Arc<Credential>) -> Result<Self> {
        let start = Start::of(fleet).await?;
        let load = fleet.load(aim(algorithm, credential))?;
        let last_admission = until_used_up(fleet, &start).await?;
        drop(load);
        start.end(fleet, algorithm, Vec::new(), last_admission).await
    }

    /// Hammers a limit while Envoys and workers are killed.
    pub(super) async fn with_kills(
        fleet: &mut Fleet,
        algorithm: Algorithm,
        plan: &Plan,
        chance: &mut Chance,
    ) -> Result<Self> {
        let credential = fleet.login("killed").await?;
        let start = Start::of(fleet).await?;
        let mut load = fleet.load_of(plan.killed_rps, aim(algorithm, &credential))?;
        let mut victims = Vec::new();
        for _ in 0..plan.kills {
            sleep(chance.pause()).await;
            victims.push(strike(fleet, chance, &credential).await?);
            // An Envoy that was started again has new connections.
            drop(load);
            load = fleet.load_of(plan.killed_rps, aim(algorithm, &credential))?;
        }
        let last_admission = until_used_up(fleet, &start).await?;
        drop(load);
        start.end(fleet, algorithm, victims, last_admission).await
    }

    /// Calls per 1,000 admitted requests.
    pub(super) fn callouts_per_1000(&self) -> f64 {
        per_1000(self.callouts, self.admitted)
    }
}

fn aim(algorithm: Algorithm, credential: &Arc<Credential>) -> Aim {
    Aim { paths: vec![algorithm.path()], background: vec![Arc::clone(credential)], target: Vec::new() }
}

/// Where a run began.
struct Start {
    at: Instant,
    number: usize,
    sample: usize,
    leases: u64,
    lapsed: u64,
}

const LAPSED: &str = "session_gate_limit_admissions_lapsed_total";

impl Start {
    async fn of(fleet: &Fleet) -> Result<Self> {
        let (leases, lapsed) = (fleet.leases().await?, fleet.app.counted(LAPSED).await?);
        let (number, sample) = (fleet.journal.numbers(), fleet.journal.len());
        Ok(Self { at: Instant::now(), number, sample, leases, lapsed })
    }

    /// How many requests were admitted since.
    fn admitted(&self, fleet: &Fleet) -> Result<usize> {
        fleet.journal.arrived_of(self.number..fleet.journal.numbers())
    }

    async fn end(
        self,
        fleet: &Fleet,
        algorithm: Algorithm,
        victims: Vec<Victim>,
        last_admission: Duration,
    ) -> Result<Run> {
        let duration = self.at.elapsed();
        sleep(HAND_BACK).await;
        let admitted = self.admitted(fleet)?;
        let mut run = Run {
            algorithm,
            killed: !victims.is_empty(),
            limit: LIMIT,
            admitted,
            attempts: fleet.journal.numbers() - self.number,
            callouts: fleet.leases().await? - self.leases,
            victims,
            unused: LIMIT.saturating_sub(u64::try_from(admitted)?),
            lapsed: fleet.app.counted(LAPSED).await? - self.lapsed,
            ms: millis(duration),
            last_admission_ms: millis(last_admission),
            by_status: BTreeMap::new(),
            answered_by_worker: [0; ENVOYS * WORKERS],
            admitted_by_worker: [0; ENVOYS * WORKERS],
        };
        for sample in fleet.journal.since(self.sample) {
            *run.by_status.entry(sample.status).or_default() += 1;
            let count =
                |workers: &mut [usize]| workers.get_mut(sample.worker).into_iter().for_each(|count| *count += 1);
            if sample.status != 0 {
                count(&mut run.answered_by_worker);
            }
            if sample.arrived.is_some() {
                count(&mut run.admitted_by_worker);
            }
        }
        Ok(run)
    }
}

/// Waits until nothing more is expected to be admitted. Answers when the last request was.
async fn until_used_up(fleet: &Fleet, start: &Start) -> Result<Duration> {
    let (mut admitted, mut last) = (0, Instant::now());
    loop {
        sleep(LOOK_EVERY).await;
        let now = start.admitted(fleet)?;
        if now != admitted {
            (admitted, last) = (now, Instant::now());
        }
        let quiet = if u64::try_from(admitted)? < LIMIT { QUIET } else { BEYOND };
        if last.elapsed() >= quiet || start.at.elapsed() >= LONGEST {
            return Ok(last - start.at);
        }
    }
}
