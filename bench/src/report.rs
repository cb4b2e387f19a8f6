//! What a run has found out, as JSON and in a few lines.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use session_gate_tests::streams::Kind;

use crate::app::{Fate, How};
use crate::fleet::{ENVOYS, Fleet, WORKERS};
use crate::freeze::Freeze;
use crate::journal::Sample;
use crate::rounds::{ByCredential, Late, Revocation};
use crate::stats::Spread;
use crate::streams::Streams;

/// Writes figures into a file, whose folder is made if need be.
///
/// # Errors
/// Where it cannot be written.
pub fn write_json(file: &Path, figures: &impl Serialize) -> Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let json = format!("{:#}\n", serde_json::to_value(figures)?);
    std::fs::write(file, json).with_context(|| file.display().to_string())
}

/// Figures of a measurement that can be wrong.
pub trait Figures: fmt::Display {
    /// What is not as it should be.
    fn mistakes(&self) -> Vec<String>;
}

/// Prints what a measurement has found out, and says how its program ends.
pub fn conclude<F: Figures>(program: &str, outcome: Result<F>) -> ExitCode {
    let mistakes = match outcome {
        Ok(figures) => {
            println!("{figures}");
            figures.mistakes()
        }
        Err(error) => {
            eprintln!("{program}: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for mistake in &mistakes {
        println!("WRONG: {mistake}");
    }
    if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wanted, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Wanted {
    p50_ms: f64,
    p99_ms: f64,
    streams_p99_ms: f64,
}

const WANTED: Wanted = Wanted { p50_ms: 15.0, p99_ms: 50.0, streams_p99_ms: 50.0 };

/// Revocations whose reply did not wait for the workers.
#[derive(Debug, Serialize)]
pub struct Plain {
    revocations: usize,
    /// From the reply until the last admission anywhere; 0 where there was none after the reply.
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// The same, by how it was revoked.
    by_kind: BTreeMap<How, Spread>,
    /// From the reply until the last worker had answered a refusal: an upper bound of the same.
    refused_everywhere: Spread,
    /// The median gap between two requests with what is revoked at one worker: the resolution.
    sampling_ms: f64,
}

impl Plain {
    /// What these requests say of these revocations.
    pub fn of(revocations: &[Revocation], samples: &ByCredential) -> Self {
        let last = |revocation: &Revocation| samples.last_admission(revocation);
        let all = Spread::of(revocations.iter().map(last));
        Self {
            revocations: all.count,
            p50_ms: all.p50_ms,
            p99_ms: all.p99_ms,
            max_ms: all.max_ms,
            by_kind: spread_by(revocations.iter().map(|revocation| (revocation.how, last(revocation)))),
            refused_everywhere: Spread::of(revocations.iter().map(|revocation| samples.refused_everywhere(revocation))),
            sampling_ms: Spread::of(revocations.iter().flat_map(|revocation| samples.gaps(revocation))).p50_ms,
        }
    }
}

/// Revocations with `?wait=applied`.
#[derive(Debug, Serialize)]
pub struct Waited {
    waited: usize,
    /// Admissions after the reply.
    admitted_after_wait_applied: usize,
    /// Each of them.
    late_admissions: Vec<Late>,
    /// Replies that did not say `applied`.
    not_applied: usize,
    /// How long the calls took.
    wait_applied: Spread,
}

impl Waited {
    /// What these requests say of these revocations.
    pub fn of(revocations: &[Revocation], samples: &ByCredential) -> Self {
        let late_admissions: Vec<Late> = revocations.iter().flat_map(|it| samples.admitted_after(it)).collect();
        Self {
            waited: revocations.len(),
            admitted_after_wait_applied: late_admissions.len(),
            late_admissions,
            not_applied: revocations.iter().filter(|it| it.applied != Some(true)).count(),
            wait_applied: Spread::of(revocations.iter().map(|it| it.replied - it.called)),
        }
    }
}

/// Open streams.
#[derive(Debug, Serialize)]
pub struct StreamFigures {
    /// Streams of ended sessions.
    streams: usize,
    /// From the reply of the call that ended the session until the client's last byte.
    streams_p99_ms: f64,
    /// The same, by the kind of stream.
    streams_by_kind: BTreeMap<&'static str, Spread>,
    /// From the same reply until the client saw the end, by the kind of stream.
    streams_closed_by_kind: BTreeMap<&'static str, Spread>,
    /// Those that did not end.
    streams_never_ended: usize,
    /// Streams of other sessions.
    streams_others: usize,
    /// Of these, those that ended.
    streams_others_ended: usize,
}

impl From<Streams> for StreamFigures {
    fn from(streams: Streams) -> Self {
        let by_kind = |times: &[(Kind, Duration)]| spread_by(times.iter().map(|(kind, time)| (kind.as_str(), *time)));
        let all = Spread::of(streams.last_bytes.iter().map(|(_, time)| *time));
        Self {
            streams: all.count,
            streams_p99_ms: all.p99_ms,
            streams_by_kind: by_kind(&streams.last_bytes),
            streams_closed_by_kind: by_kind(&streams.ended),
            streams_never_ended: streams.never_ended,
            streams_others: streams.others,
            streams_others_ended: streams.others_ended,
        }
    }
}

/// Calls to `/v1/check`.
#[derive(Debug, Serialize)]
pub struct Callouts {
    /// As the sidecar counts them, from the warm-up's end to the freeze.
    check_callouts: u64,
    /// The same, as the gates count them.
    check_callouts_of_gates: u64,
    /// As the sidecar counts them, during the warm-up: if there were none, the count would prove nothing.
    check_callouts_in_warm_up: u64,
    /// Questions to the feed that brought no answer in time: on a machine that stands still the feed is not
    /// current, and then workers have to ask.
    feed_failed: u64,
}

impl Callouts {
    /// Those that were made so far.
    ///
    /// # Errors
    /// Where nobody says.
    pub async fn so_far(fleet: &Fleet, in_warm_up: u64) -> Result<Self> {
        Ok(Self {
            check_callouts: fleet.app.checks().await?,
            check_callouts_of_gates: fleet.counted("check").await?,
            check_callouts_in_warm_up: in_warm_up,
            feed_failed: fleet.counted("feed.failed").await?,
        })
    }

    /// Those that were made since.
    #[must_use]
    pub fn since(self, before: &Self) -> Self {
        Self {
            check_callouts: self.check_callouts - before.check_callouts,
            check_callouts_of_gates: self.check_callouts_of_gates - before.check_callouts_of_gates,
            feed_failed: self.feed_failed - before.feed_failed,
            ..self
        }
    }
}

/// What became of a load.
#[derive(Debug, Serialize)]
pub struct LoadFigures {
    /// Requests sent in a second.
    rps: f64,
    /// How long answers took.
    latency: Spread,
    /// Requests by the status of their answer; 0: there was none.
    by_status: BTreeMap<u16, usize>,
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
    requests: usize,
    load_rps: f64,
    /// Requests with a token that their worker had not seen before.
    cold_requests: usize,
    /// Requests of sessions that nobody has ended, and that were not answered 200.
    live_not_served: usize,
    load: LoadFigures,
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
    bare_load_ok: bool,
    bare_before: LoadFigures,
    bare_after: LoadFigures,
}

impl Bare {
    /// What it says of the machine.
    pub fn of(before: LoadFigures, after: LoadFigures, rps: u32) -> Self {
        Self { bare_load_ok: before.is_sane(rps) && after.is_sane(rps), bare_before: before, bare_after: after }
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Envoy's version.
    pub envoy: String,
    /// What the sidecar keeps its data in.
    pub store: &'static str,
    /// Workers, over all Envoys.
    pub workers: usize,
    /// What this machine has.
    pub cores: usize,
}

impl Setting {
    /// That of a fleet.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn of(fleet: &Fleet) -> Result<Self> {
        Ok(Self {
            envoy: fleet.stack.envoy.admin().version().await?,
            store: "redis",
            workers: ENVOYS * WORKERS,
            cores: std::thread::available_parallelism()?.get(),
        })
    }
}

/// What the application did.
#[derive(Debug, Serialize)]
pub struct Application {
    /// Sessions that the load goes to, beside what is revoked.
    pub sessions: usize,
    /// Calls that the sidecar answered with 503, and that were made again.
    pub put_off: usize,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    plain: Plain,
    #[serde(flatten)]
    waited: Waited,
    #[serde(flatten)]
    streams: StreamFigures,
    #[serde(flatten)]
    callouts: Callouts,
    #[serde(flatten)]
    load: MainLoad,
    #[serde(flatten)]
    bare: Bare,
    freeze: Freeze,
    #[serde(flatten)]
    setting: Setting,
    #[serde(flatten)]
    application: Application,
    wanted: Wanted,
}

impl Report {
    /// All of it.
    pub fn new(
        (plain, waited): (Plain, Waited),
        streams: Streams,
        callouts: Callouts,
        (load, bare): (MainLoad, Bare),
        freeze: Freeze,
        (setting, application): (Setting, Application),
    ) -> Self {
        let streams = streams.into();
        Self { plain, waited, streams, callouts, load, bare, freeze, setting, application, wanted: WANTED }
    }
}

impl Figures for Report {
    /// What is wrong, however slow the machine: an admission that may not be, a stream that should go on, a
    /// call that should not be needed.
    fn mistakes(&self) -> Vec<String> {
        let Self { waited, streams, callouts, load, freeze, .. } = self;
        let counts = [
            (waited.admitted_after_wait_applied, "admissions after ?wait=applied was answered"),
            (waited.not_applied, "receipts that do not say applied"),
            (streams.streams_never_ended, "streams that outlive their session"),
            (streams.streams_others_ended, "streams of other sessions that ended"),
            (usize::try_from(callouts.check_callouts).unwrap_or(usize::MAX), "calls to /v1/check"),
            (load.live_not_served, "requests of live sessions that were not served"),
            (freeze.wrong_admissions, "wrong admissions while the sidecar was frozen"),
        ];
        let counted = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let mut mistakes: Vec<String> = counted.collect();
        if callouts.check_callouts_in_warm_up == 0 {
            mistakes.push("calls to /v1/check are not counted".to_owned());
        }
        if !freeze.answers_as_configured {
            mistakes.push(format!("answers that no failure mode gives: {:?}", freeze.other_answers));
        }
        mistakes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plain, waited, streams, callouts, load, bare, freeze, setting, application: _, wanted } = self;
        writeln!(
            f,
            "{} revocations among {} requests at {}/s; Envoy {}, {} workers, {} cores; bare Envoys bore the load: {}",
            plain.revocations,
            load.requests,
            load.load_rps,
            setting.envoy,
            setting.workers,
            setting.cores,
            bare.bare_load_ok
        )?;
        writeln!(
            f,
            "last admission after the reply: p50 {} ms (wanted {}), p99 {} ms (wanted {}), at most {} ms",
            plain.p50_ms, wanted.p50_ms, plain.p99_ms, wanted.p99_ms, plain.max_ms
        )?;
        let refused = &plain.refused_everywhere;
        writeln!(
            f,
            "refused by every worker after:  p50 {} ms, p99 {} ms; each is asked every {} ms",
            refused.p50_ms, refused.p99_ms, plain.sampling_ms
        )?;
        writeln!(
            f,
            "admitted after ?wait=applied:   {}, of {} revocations, which took p50 {} ms, p99 {} ms",
            waited.admitted_after_wait_applied, waited.waited, waited.wait_applied.p50_ms, waited.wait_applied.p99_ms
        )?;
        writeln!(
            f,
            "streams: the last byte of {} came after p99 {} ms (wanted {}); of {} others {} ended",
            streams.streams,
            streams.streams_p99_ms,
            wanted.streams_p99_ms,
            streams.streams_others,
            streams.streams_others_ended
        )?;
        writeln!(
            f,
            "calls to /v1/check: {}, and {} in the warm-up; requests with a token new to the worker: {}",
            callouts.check_callouts, callouts.check_callouts_in_warm_up, load.cold_requests
        )?;
        write!(
            f,
            "frozen for {} ms: {} wrong admissions, the last {} ms after the end; answers as configured: {}; back in {} ms",
            freeze.frozen_ms,
            freeze.wrong_admissions,
            freeze.last_admission_ms,
            freeze.answers_as_configured,
            freeze.back_in_ms
        )
    }
}

fn spread_by<K: Ord>(times: impl IntoIterator<Item = (K, Duration)>) -> BTreeMap<K, Spread> {
    let mut by_key: BTreeMap<K, Vec<Duration>> = BTreeMap::new();
    for (key, time) in times {
        by_key.entry(key).or_default().push(time);
    }
    by_key.into_iter().map(|(key, times)| (key, Spread::of(times))).collect()
}
