//! The measurement from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use session_gate_tests::upstream::Upstream;
use tokio::time::{interval, sleep};

use crate::app::{Credential, Fate};
use crate::fleet::{self, Fleet, STRICT};
use crate::freeze;
use crate::journal::{Journal, Sample};
use crate::load::{Aim, Load};
use crate::report::{Application, Bare, Callouts, LoadFigures, MainLoad, Plain, Report, Waited};
use crate::rounds::{self, ByCredential, Revocation};
use crate::setting::Setting;
use crate::streams::{self, Streams};

/// How often one of the sessions gets a new token, which no worker has seen.
const RENEW_EVERY: Duration = Duration::from_millis(500);

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests a second.
    pub rps: u32,
    /// Sessions that the load goes to beside what is revoked.
    pub sessions: usize,
    /// Revocations whose reply does not wait.
    pub revocations: usize,
    /// Revocations with `?wait=applied`.
    pub waited: usize,
    /// Sessions with open streams that are ended.
    pub streaming_sessions: usize,
    /// For how long the sidecar is frozen.
    pub freeze: Duration,
    /// For how long bare Envoys get the load, before and after.
    pub bare: Duration,
}

/// What happened between the warm-up and the freeze.
struct Main {
    plain: Vec<Revocation>,
    waited: Vec<Revocation>,
    streams: Streams,
    callouts: Callouts,
    samples: Vec<Sample>,
}

/// Measures.
///
/// # Errors
/// Where something does not start, or does not do what it should at all.
pub async fn run(plan: Plan, upstream: Upstream, journal: Arc<Journal>) -> Result<Report> {
    let deployment = Fleet::deployment(upstream)?.routes(fleet::routes());
    let mut fleet = Fleet::start(deployment, journal, plan.rps).await?;
    eprintln!("warming up: workers ask about tokens of the feed's first seconds");
    let in_warm_up = fleet.warm_up().await?;
    let mut everybody = Vec::new();
    for n in 0..plan.sessions {
        everybody.push(fleet.app.login(&format!("user-{n}"), Fate::Stays).await?);
    }
    let aim = || Aim { paths: vec![STRICT], background: everybody.clone(), target: Vec::new() };

    eprintln!("bare Envoys, before");
    let before = LoadFigures::of(&fleet.bare(aim(), plan.bare).await?);
    let load = fleet.load(aim())?;
    let main = measure(&fleet, &load, &plan, in_warm_up).await?;
    eprintln!("the sidecar is frozen for {:?}", plan.freeze);
    let freeze = freeze::run(&fleet, &load, plan.freeze).await?;
    drop(load);
    fleet.ensure_sound().await?;
    eprintln!("bare Envoys, after");
    let after = LoadFigures::of(&fleet.bare(aim(), plan.bare).await?);

    let Main { plain, waited, streams, callouts, samples } = main;
    let by_credential = ByCredential::of(&samples);
    let application = Application { sessions: plan.sessions, put_off: fleet.app.put_off() };
    Ok(Report::new(
        (Plain::of(&plain, &by_credential), Waited::of(&waited, &by_credential)),
        streams,
        callouts,
        (MainLoad::of(&samples), Bare::of(before, after, plan.rps)),
        freeze,
        (Setting::of(&fleet).await?, application),
    ))
}

async fn measure(fleet: &Fleet, load: &Load, plan: &Plan, in_warm_up: u64) -> Result<Main> {
    let from = fleet.journal.len();
    let before = Callouts::so_far(fleet, in_warm_up).await?;
    let measured = async {
        eprintln!("{} revocations", plan.revocations);
        let plain = rounds::run(fleet, load, plan.revocations, false).await?;
        eprintln!("{} revocations with ?wait=applied", plan.waited);
        let waited = rounds::run(fleet, load, plan.waited, true).await?;
        eprintln!("streams of {} sessions", plan.streaming_sessions);
        let streams = streams::run(fleet, plan.streaming_sessions).await?;
        anyhow::Ok((plain, waited, streams))
    };
    let (plain, waited, streams) = tokio::select! {
        measured = measured => measured?,
        error = renew_some(fleet, load) => return Err(error),
    };
    // What is under way is answered.
    sleep(Duration::from_millis(500)).await;
    Ok(Main {
        plain,
        waited,
        streams,
        callouts: Callouts::so_far(fleet, in_warm_up).await?.since(&before),
        samples: fleet.journal.since(from),
    })
}

/// Gives one session after the other a new token in place of the one before. Ends only where the sidecar
/// refuses.
async fn renew_some(fleet: &Fleet, load: &Load) -> Error {
    let mut ticks = interval(RENEW_EVERY);
    for n in 0.. {
        ticks.tick().await;
        let before = load.aim().at_place(n);
        let Some(before) = before.filter(|credential: &Arc<Credential>| credential.fate == Fate::Stays) else {
            continue;
        };
        match fleet.app.renew(&before).await {
            Ok(renewed) => load.aim().replace(&before, renewed),
            Err(error) => return error,
        }
    }
    anyhow!("there are no more numbers")
}
