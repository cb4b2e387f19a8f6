//! What the measurement of revocations has found out.

mod callouts;
mod load;
mod revocations;
mod streams;

use std::fmt;

use serde::Serialize;

pub use self::callouts::Callouts;
pub use self::load::{Bare, LoadFigures, MainLoad};
pub use self::revocations::{Plain, Waited};
pub use self::streams::StreamFigures;
use crate::freeze::Freeze;
use crate::output::Figures;
use crate::setting::Setting;
use crate::streams::Streams;

/// What is wanted, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Wanted {
    p50_ms: f64,
    p99_ms: f64,
    streams_p99_ms: f64,
}

const WANTED: Wanted = Wanted { p50_ms: 15.0, p99_ms: 50.0, streams_p99_ms: 50.0 };

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
