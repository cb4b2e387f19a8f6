//! Revocations under load, one after the other: how long something is still admitted after the call
//! that took it back was answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::sleep;

use crate::app::{App, Credential, Fate, How};
use crate::fleet::Fleet;
use crate::journal::{Moment, Sample};
use crate::load::Load;
use crate::stats::millis;

/// For how long what was revoked is still tried after every worker has refused it.
const SETTLE: Duration = Duration::from_millis(50);
/// So many of the revoked tokens go on being tried until the end of the run.
const KEPT_EVERY: usize = 10;

/// A revocation that was made.
#[derive(Debug)]
pub struct Revocation {
    /// How.
    pub how: How,
    /// The tokens that it took back.
    pub credentials: Vec<usize>,
    /// When the call was made.
    pub called: Moment,
    /// When it was answered.
    pub replied: Moment,
    /// When the upstream had read all that had reached it when the call was answered.
    pub received: Moment,
    /// Whether it was applied everywhere then; `None`: that was not asked for.
    pub applied: Option<bool>,
}

/// An admission that may not be; times are from the reply on, or before it.
#[derive(Debug, Serialize)]
pub struct Late {
    how: How,
    worker: usize,
    sent_ms: f64,
    received_ms: f64,
    arrived_ms: f64,
}

fn millis_from(zero: Moment, moment: Moment) -> f64 {
    millis(moment.saturating_sub(zero)) - millis(zero.saturating_sub(moment))
}

/// What is going to be revoked.
struct Subject {
    /// The token, or one of the tokens, that the call names by itself, its session or its user.
    named: Arc<Credential>,
    /// Tokens in use before.
    warm: Vec<Arc<Credential>>,
    /// Tokens that no worker has seen before the revocation.
    cold: Vec<Arc<Credential>>,
}

impl Subject {
    async fn new(app: &App, how: How, user: &str) -> Result<Self> {
        let named = app.login(user, Fate::Ends).await?;
        let mut warm = vec![Arc::clone(&named)];
        let mut cold = Vec::new();
        match how {
            How::DeleteSession | How::SuspendSession => cold.push(app.renew(&named).await?),
            How::RevokeToken => {}
            How::TerminateUser => {
                warm.push(app.login(user, Fate::Ends).await?);
                cold.push(app.renew(&named).await?);
            }
        }
        Ok(Self { named, warm, cold })
    }

    fn all(&self) -> Vec<Arc<Credential>> {
        self.warm.iter().chain(&self.cold).cloned().collect()
    }
}

/// Makes that many revocations, of every kind in turn. `wait`: with `?wait=applied`.
///
/// # Errors
/// Where the sidecar refuses, or a worker goes on admitting.
pub async fn run(fleet: &Fleet, load: &Load, count: usize, wait: bool) -> Result<Vec<Revocation>> {
    let mut made = Vec::new();
    for (n, how) in How::ALL.into_iter().cycle().take(count).enumerate() {
        let user = format!("revoked-{}-{n}", if wait { "waited" } else { "plain" });
        let subject = Subject::new(&fleet.app, how, &user).await?;
        made.push(revoke(fleet, load, how, &subject, wait).await?);
        load.aim().target.clear();
        if n % KEPT_EVERY == 0 {
            load.aim().background.push(subject.named);
        }
        // Not always at the same distance from the workers' questions.
        sleep(Duration::from_millis(u64::try_from(n * 7 % 10)?)).await;
    }
    Ok(made)
}

async fn revoke(fleet: &Fleet, load: &Load, how: How, subject: &Subject, wait: bool) -> Result<Revocation> {
    let (app, journal) = (&fleet.app, &fleet.journal);
    let credentials: Vec<usize> = subject.all().iter().map(|credential| credential.id).collect();
    let is_of = |sample: &Sample| credentials.contains(&sample.credential.id);
    let from = journal.len();
    load.aim().target.clone_from(&subject.warm);
    fleet.until_every_worker("to admit", from, |sample| is_of(sample) && sample.status == 200).await?;

    let called = journal.now();
    let applied = app.take_back(how, &subject.named, wait).await?;
    let replied = journal.now();
    load.aim().target = subject.all();
    let received = fleet.upstream_has_read().await?;
    fleet.until_every_worker("to refuse", from, |sample| is_of(sample) && sample.is_refused()).await?;
    sleep(SETTLE).await;
    Ok(Revocation { how, credentials, called, replied, received, applied })
}

/// Requests by the token that they carried.
#[derive(Debug)]
pub struct ByCredential(HashMap<usize, Vec<Sample>>);

impl ByCredential {
    /// Sorts the requests.
    pub fn of(samples: &[Sample]) -> Self {
        let mut by_credential: HashMap<_, Vec<Sample>> = HashMap::new();
        for sample in samples {
            by_credential.entry(sample.credential.id).or_default().push(sample.clone());
        }
        Self(by_credential)
    }

    /// The requests with what was revoked.
    fn of_revoked<'s>(&'s self, revocation: &'s Revocation) -> impl Iterator<Item = &'s Sample> {
        revocation.credentials.iter().filter_map(|credential| self.0.get(credential)).flatten()
    }

    /// The requests that were admitted after the reply: those that were sent after it, or came later than
    /// what had reached the upstream by then.
    pub fn admitted_after(&self, revocation: &Revocation) -> Vec<Late> {
        let late = |sample: &Sample| {
            let Revocation { how, replied, received, .. } = *revocation;
            let arrived = sample.arrived?;
            let is_late = arrived > if sample.sent > replied { replied } else { received };
            is_late.then(|| Late {
                how,
                worker: sample.worker,
                sent_ms: millis_from(replied, sample.sent),
                received_ms: millis_from(replied, received),
                arrived_ms: millis_from(replied, arrived),
            })
        };
        self.of_revoked(revocation).filter_map(late).collect()
    }

    /// From the reply until the last admission anywhere; zero where none came after.
    pub fn last_admission(&self, revocation: &Revocation) -> Duration {
        let last = self.of_revoked(revocation).filter_map(|sample| sample.arrived).max().unwrap_or_default();
        last.saturating_sub(revocation.replied)
    }

    /// From the reply until the last of the workers had answered its first refusal: the truth about when
    /// the last worker knew lies before.
    pub fn refused_everywhere(&self, revocation: &Revocation) -> Duration {
        let mut first: BTreeMap<usize, Moment> = BTreeMap::new();
        for sample in self.of_revoked(revocation).filter(|sample| sample.is_refused()) {
            let at = first.entry(sample.worker).or_insert(sample.replied);
            *at = sample.replied.min(*at);
        }
        first.into_values().max().unwrap_or_default().saturating_sub(revocation.replied)
    }

    /// The gaps between two requests with what was revoked at one worker, while that was going on.
    pub fn gaps(&self, revocation: &Revocation) -> Vec<Duration> {
        let mut sent: BTreeMap<usize, Vec<Moment>> = BTreeMap::new();
        for sample in self.of_revoked(revocation) {
            if sample.sent >= revocation.called && sample.sent <= revocation.replied + SETTLE {
                sent.entry(sample.worker).or_default().push(sample.sent);
            }
        }
        let mut gaps = Vec::new();
        for mut moments in sent.into_values() {
            moments.sort_unstable();
            gaps.extend(moments.iter().zip(moments.iter().skip(1)).map(|(one, next)| *next - *one));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn sample(credential: &Arc<Credential>, worker: usize, sent: u64, arrived: Option<u64>) -> Sample {
        let credential = Arc::clone(credential);
        let (arrived, status) = (arrived.map(ms), if arrived.is_some() { 200 } else { 401 });
        let replied = arrived.unwrap_or(ms(sent)) + ms(1);
        Sample { credential, path: "/", worker, sent: ms(sent), arrived, replied, status, retry_after: false }
    }

    fn at_100(credential: &Credential) -> Revocation {
        Revocation {
            how: How::DeleteSession,
            credentials: vec![credential.id],
            called: ms(90),
            replied: ms(100),
            received: ms(103),
            applied: None,
        }
    }

    #[test]
    fn what_lay_unread_at_the_upstream_was_not_admitted_after_the_reply() {
        let revoked = Credential::new(Fate::Ends, String::new(), String::new(), "somebody");
        let other = Credential::new(Fate::Stays, String::new(), String::new(), "somebody else");
        for (sent, arrived, late) in [(99, 100, 0), (99, 103, 0), (99, 104, 1), (101, 102, 1)] {
            let samples = [sample(&revoked, 0, sent, Some(arrived)), sample(&other, 0, 110, Some(111))];
            let found = ByCredential::of(&samples).admitted_after(&at_100(&revoked));
            assert_eq!(found.len(), late, "sent at {sent}, arrived at {arrived}");
        }
    }

    #[test]
    fn the_slowest_worker_counts() {
        let revoked = Credential::new(Fate::Ends, String::new(), String::new(), "somebody");
        let samples = [
            sample(&revoked, 0, 95, Some(98)),
            sample(&revoked, 0, 105, None),
            sample(&revoked, 1, 105, Some(107)),
            sample(&revoked, 1, 115, None),
            sample(&revoked, 0, 117, None),
        ];
        let (samples, revocation) = (ByCredential::of(&samples), at_100(&revoked));
        assert_eq!(samples.last_admission(&revocation), ms(7));
        assert_eq!(samples.refused_everywhere(&revocation), ms(16));
        assert_eq!(samples.gaps(&revocation), [ms(10), ms(12), ms(10)]);
        let admitted_before = [sample(&revoked, 0, 95, Some(98)), sample(&revoked, 0, 105, None)];
        assert_eq!(ByCredential::of(&admitted_before).last_admission(&revocation), ms(0));
    }
}
