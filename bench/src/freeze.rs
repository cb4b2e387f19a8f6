//! A sidecar that is frozen under load, while sessions are ended through another replica.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use tokio::time::{sleep, sleep_until};

use crate::app::{App, Credential, Fate, How};
use crate::fleet::{Fleet, LAST_KNOWN, LAST_KNOWN_FOR, LENIENT, MAX_STALENESS, STRICT};
use crate::journal::{Moment, Sample};
use crate::load::Load;
use crate::stats::millis;

/// When sessions are ended through the other replica, after the first is frozen: while workers still trust
/// what they know, and later. The last call waits for a receipt.
const ENDED_AT: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_millis(900), Duration::from_secs(4)];
/// Sessions that are ended before: one is known everywhere by then, of one it may not.
const ENDED_BEFORE: usize = 2;
/// Sessions that nobody ends, beside those of the background.
const LIVE: usize = 2;
/// For how long the load goes on afterwards.
const AFTERWARDS: Duration = Duration::from_secs(4);
/// By when everything is to be served again.
pub const BACK_WITHIN: Duration = Duration::from_secs(1);

/// What became of it.
#[derive(Debug, Serialize)]
pub struct Freeze {
    /// For how long the sidecar was frozen.
    pub frozen_ms: f64,
    /// Sessions that were ended through the other replica meanwhile, and right before.
    pub ended: usize,
    /// Admissions of what had been ended, later than they may come.
    pub wrong_admissions: usize,
    /// The latest admission on a route with `deny`, after the acknowledgement of the session's end.
    pub last_admission_ms: f64,
    /// Whether each request of a live session was answered as its route's failure mode says.
    pub answers_as_configured: bool,
    /// Those that were not.
    pub other_answers: Vec<String>,
    /// The answers to live sessions while the workers trusted nothing, by path and status.
    pub answers: BTreeMap<&'static str, BTreeMap<u16, usize>>,
    /// From when the sidecar went on until the last answer that was not 200 to a live session.
    pub back_in_ms: f64,
    /// Whether that was soon enough.
    pub is_back_in_time: bool,
}

/// A session that was ended, and from when on it may not be admitted.
struct Ended {
    credential: usize,
    /// When its end was acknowledged.
    acknowledged: Moment,
    /// What the acknowledgement said.
    reach: Reach,
}

/// Who knew of an end when it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// All workers.
    Known,
    /// Those who did not had stopped trusting what they knew: the failure mode decides.
    Settled,
    /// Nobody in particular.
    Told,
}

/// When what happened.
struct Times {
    frozen: Moment,
    thawed: Moment,
}

/// Freezes the sidecar for that long.
///
/// # Errors
/// Where a replica does not start, or refuses.
pub async fn run(fleet: &Fleet, load: &Load, duration: Duration) -> Result<Freeze> {
    let replica = fleet.stack.another_sidecar().await?;
    let other = App::new(replica.address());
    let journal = &fleet.journal;
    let from = journal.len();

    let (live, ending) = log_in(&fleet.app).await?;
    let target: Vec<Arc<Credential>> = live.iter().chain(&ending).cloned().collect();
    {
        let mut aim = load.aim();
        aim.target.clone_from(&target);
        // Half of the requests meet the failure mode `deny`.
        aim.paths = vec![STRICT, LAST_KNOWN, STRICT, LENIENT];
    }
    for credential in &target {
        let is_admitted = |sample: &Sample| sample.credential.id == credential.id && sample.status == 200;
        fleet.until_every_worker("to admit before the freeze", from, is_admitted).await?;
    }

    let (known, just_before, meanwhile) = match ending.as_slice() {
        [known, just_before, meanwhile @ ..] => (known, just_before, meanwhile),
        _ => bail!("too few sessions"),
    };
    let mut ended = Vec::new();
    let applied = fleet.app.take_back(How::DeleteSession, known, true).await?;
    ensure!(applied == Some(true), "an end is applied everywhere before the freeze");
    ended.push(Ended { credential: known.id, acknowledged: journal.now(), reach: Reach::Known });
    fleet.app.take_back(How::DeleteSession, just_before, false).await?;
    ended.push(Ended { credential: just_before.id, acknowledged: journal.now(), reach: Reach::Told });
    fleet.stack.sidecar.pause()?;
    let frozen = journal.now();
    for (n, (at, credential)) in ENDED_AT.into_iter().zip(meanwhile).enumerate() {
        sleep_until(journal.instant(frozen + at)).await;
        let is_last = n + 1 == ENDED_AT.len();
        let applied = other.take_back(How::DeleteSession, credential, is_last).await?;
        let reach = if applied == Some(true) { Reach::Settled } else { Reach::Told };
        ended.push(Ended { credential: credential.id, acknowledged: journal.now(), reach });
    }
    sleep_until(journal.instant(frozen + duration)).await;
    let thawed = journal.now();
    fleet.stack.sidecar.resume()?;
    sleep(AFTERWARDS).await;
    {
        let mut aim = load.aim();
        aim.target.clear();
        aim.paths = vec![STRICT];
    }
    // What is under way is answered, or has timed out.
    sleep(Duration::from_secs(1)).await;

    Ok(judge(&journal.since(from), &ended, &Times { frozen, thawed }))
}

/// Sessions that nobody ends, and those that are ended.
async fn log_in(app: &App) -> Result<(Vec<Arc<Credential>>, Vec<Arc<Credential>>)> {
    let (mut live, mut ending) = (Vec::new(), Vec::new());
    for n in 0..LIVE {
        live.push(app.login(&format!("frozen-live-{n}"), Fate::Stays).await?);
    }
    for n in 0..ENDED_BEFORE + ENDED_AT.len() {
        ending.push(app.login(&format!("frozen-ended-{n}"), Fate::Ends).await?);
    }
    Ok((live, ending))
}

fn judge(samples: &[Sample], ended: &[Ended], times: &Times) -> Freeze {
    let admitted = |end: &Ended| {
        let id = end.credential;
        samples.iter().filter(move |sample| sample.credential.id == id).filter_map(|s| Some((s.path, s.arrived?)))
    };
    let wrong = |end: &Ended| admitted(end).filter(|(path, at)| *at > end.admitted_until(path, times)).count();
    let late = |end: &Ended| {
        admitted(end)
            .filter(|(path, at)| *path == STRICT && *at > end.acknowledged)
            .map(|(_, at)| at - end.acknowledged)
            .max()
            .unwrap_or_default()
    };

    let of_live: Vec<&Sample> = samples.iter().filter(|sample| sample.credential.fate == Fate::Stays).collect();
    let mut answers: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
    for sample in of_live.iter().filter(|sample| times.is_stale_throughout(sample)) {
        *answers.entry(sample.path).or_default().entry(sample.status).or_default() += 1;
    }
    let others = of_live.iter().filter(|sample| !times.is_as_configured(sample)).map(|sample| {
        let after = millis(sample.sent.saturating_sub(times.frozen));
        format!(
            "{} is answered {} by worker {}, {after} ms after the freeze",
            sample.path, sample.status, sample.worker
        )
    });
    let other_answers: Vec<String> = others.collect();
    let last_bad = of_live.iter().filter(|sample| sample.status != 200).map(|sample| sample.replied).max();
    let back = last_bad.unwrap_or_default().saturating_sub(times.thawed);
    Freeze {
        frozen_ms: millis(times.thawed - times.frozen),
        ended: ended.len(),
        wrong_admissions: ended.iter().map(wrong).sum(),
        last_admission_ms: ended.iter().map(late).max().map_or(0.0, millis),
        answers_as_configured: other_answers.is_empty(),
        other_answers: other_answers.into_iter().take(10).collect(),
        answers,
        back_in_ms: millis(back),
        is_back_in_time: back <= BACK_WITHIN,
    }
}

impl Ended {
    /// Until when it may be admitted.
    fn admitted_until(&self, path: &str, times: &Times) -> Moment {
        match (self.reach, path) {
            (Reach::Known, _) | (Reach::Settled, STRICT) => self.acknowledged,
            // Whoever asks for that goes by what is known until the sidecar is heard of again.
            (_, LENIENT) => times.thawed + BACK_WITHIN,
            (_, LAST_KNOWN) => self.acknowledged + LAST_KNOWN_FOR,
            (_, _) => self.acknowledged + MAX_STALENESS,
        }
    }
}

impl Times {
    /// Whether all workers trusted nothing, from when the request was sent until it was answered.
    fn is_stale_throughout(&self, sample: &Sample) -> bool {
        sample.sent > self.frozen + MAX_STALENESS && sample.replied < self.thawed
    }

    /// Whether a live session's request was answered as its route says, as far as it says anything.
    fn is_as_configured(&self, sample: &Sample) -> bool {
        let refused = sample.status == 503 && sample.retry_after;
        let admitted = sample.status == 200;
        let is_quiet = sample.replied < self.frozen || sample.sent > self.thawed + BACK_WITHIN;
        if is_quiet {
            return admitted;
        }
        // Some are stale, some not: the last proof may be a moment older than the freeze.
        let in_between = Duration::from_secs(1);
        match sample.path {
            LENIENT => admitted,
            LAST_KNOWN if sample.replied < self.frozen + LAST_KNOWN_FOR - in_between => admitted,
            LAST_KNOWN if sample.sent > self.frozen + LAST_KNOWN_FOR && sample.replied < self.thawed => refused,
            STRICT if self.is_stale_throughout(sample) => refused,
            _ => admitted || refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { frozen: Duration::from_secs(10), thawed: Duration::from_secs(20) };

    fn sample(fate: Fate, path: &'static str, at_ms: u64, status: u16) -> Sample {
        let at = Duration::from_millis(at_ms);
        let arrived = (status == 200).then_some(at);
        let credential = Credential::new(fate, String::new(), String::new(), "somebody");
        Sample { credential, path, worker: 0, sent: at, arrived, replied: at, status, retry_after: true }
    }

    #[test]
    fn an_admission_is_wrong_once_no_worker_may_trust_what_it_knew() {
        for (path, at_ms, reach, wrong) in [
            (STRICT, 12_000, Reach::Told, 0),
            (STRICT, 12_001, Reach::Told, 1),
            (STRICT, 11_001, Reach::Settled, 1),
            (LAST_KNOWN, 16_000, Reach::Settled, 0),
            (LAST_KNOWN, 16_001, Reach::Told, 1),
            (LENIENT, 20_500, Reach::Settled, 0),
            (LENIENT, 21_001, Reach::Told, 1),
            (LENIENT, 11_001, Reach::Known, 1),
        ] {
            let sample = sample(Fate::Ends, path, at_ms, 200);
            let credential = sample.credential.id;
            let ended = Ended { credential, acknowledged: Duration::from_secs(11), reach };
            let freeze = judge(&[sample], &[ended], &TIMES);
            assert_eq!(freeze.wrong_admissions, wrong, "{path} {at_ms} {reach:?}");
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_route() {
        for (path, at_ms, status, is_as_configured) in [
            (STRICT, 9_000, 503, false),
            (STRICT, 10_500, 503, true),
            (STRICT, 10_500, 200, true),
            (STRICT, 12_000, 200, false),
            (STRICT, 12_000, 503, true),
            (STRICT, 12_000, 401, false),
            (STRICT, 20_500, 503, true),
            (STRICT, 21_500, 503, false),
            (LAST_KNOWN, 12_000, 503, false),
            (LAST_KNOWN, 12_000, 200, true),
            (LAST_KNOWN, 16_000, 200, false),
            (LAST_KNOWN, 16_000, 503, true),
            (LENIENT, 16_000, 503, false),
            (LENIENT, 16_000, 200, true),
        ] {
            let freeze = judge(&[sample(Fate::Stays, path, at_ms, status)], &[], &TIMES);
            assert_eq!(freeze.answers_as_configured, is_as_configured, "{path} {at_ms} {status}");
        }
    }

    #[test]
    fn it_is_back_with_the_last_answer_that_was_not_200() {
        let samples = [(20_300, 503), (20_200, 503), (20_400, 200)];
        let samples = samples.map(|(at_ms, status)| sample(Fate::Stays, STRICT, at_ms, status));
        let freeze = judge(&samples, &[], &TIMES);
        assert_eq!((freeze.back_in_ms, freeze.is_back_in_time), (300.0, true));
    }
}
