//! A steady, open-loop load: the next request is sent when it is due, whether or not earlier ones were
//! answered.

use std::sync::PoisonError;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{AUTHORIZATION, RETRY_AFTER};
use hyper::{Request, body::Bytes};
use session_gate_tests::poll::PATIENCE;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::app::Credential;
use crate::journal::{Journal, NUMBER, Sample};
use crate::lines::Line;

/// One in so many requests is not aimed at what is about to be revoked.
const BACKGROUND_EVERY: usize = 10;

/// What the requests carry.
#[derive(Debug, Default)]
pub struct Aim {
    /// What is asked for, in turn.
    pub paths: Vec<&'static str>,
    /// Everybody's sessions.
    pub background: Vec<Arc<Credential>>,
    /// What is about to be revoked, or was just now: nine tenths of the requests, if there is any.
    pub target: Vec<Arc<Credential>>,
}

impl Aim {
    /// One of the background's, each in turn.
    pub fn at_place(&self, n: usize) -> Option<Arc<Credential>> {
        self.background.get(n % self.background.len().max(1)).cloned()
    }

    /// Puts another token into the place of one of the background's.
    pub fn replace(&mut self, before: &Credential, after: Arc<Credential>) {
        if let Some(place) = self.background.iter_mut().find(|credential| credential.id == before.id) {
            *place = after;
        }
    }

    /// What a worker's next request carries: `round` counts those of each worker.
    fn at(&self, round: usize, worker: usize) -> Option<(&Arc<Credential>, &'static str)> {
        let is_aimed = !self.target.is_empty() && !(round + worker).is_multiple_of(BACKGROUND_EVERY);
        let (from, turn) = if is_aimed {
            (&self.target, round)
        } else {
            // Each worker begins elsewhere, so that many sessions are met by many workers.
            (&self.background, round + worker * 31)
        };
        let credential = from.get(turn % from.len().max(1))?;
        let path = self.paths.get((turn / from.len()) % self.paths.len().max(1))?;
        Some((credential, path))
    }
}

/// The load; it ends when this is dropped.
#[derive(Debug)]
pub struct Load {
    aim: Arc<RwLock<Aim>>,
    task: JoinHandle<()>,
}

impl Load {
    /// Sends `rps` requests a second, to each worker in turn.
    ///
    /// # Errors
    /// Where there is nobody to send them to.
    pub fn start(lines: Vec<Vec<Line>>, journal: Arc<Journal>, rps: u32, aim: Aim) -> Result<Self> {
        ensure!(!lines.is_empty() && rps > 0, "no load without workers and a rate");
        let aim = Arc::new(RwLock::new(aim));
        let task = tokio::spawn(run(lines, journal, Duration::from_secs(1) / rps, Arc::clone(&aim)));
        Ok(Self { aim, task })
    }

    /// Changes what the requests carry.
    pub fn aim(&self) -> RwLockWriteGuard<'_, Aim> {
        self.aim.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(lines: Vec<Vec<Line>>, journal: Arc<Journal>, period: Duration, aim: Arc<RwLock<Aim>>) {
    let mut due = Instant::now();
    for turn in 0.. {
        sleep_until(due).await;
        due += period;
        let (round, worker) = (turn / lines.len(), turn % lines.len());
        let Some(line) = lines.get(worker).and_then(|lines| lines.get(round % lines.len())) else { continue };
        let shot = read(&aim).at(round, worker).map(|(credential, path)| (Arc::clone(credential), path));
        if let Some((credential, path)) = shot {
            tokio::spawn(shoot(line.clone(), Arc::clone(&journal), credential, path, worker));
        }
    }
}

fn read(aim: &RwLock<Aim>) -> RwLockReadGuard<'_, Aim> {
    aim.read().unwrap_or_else(PoisonError::into_inner)
}

/// Sends one request, and notes what became of it.
pub(crate) async fn shoot(
    line: Line,
    journal: Arc<Journal>,
    credential: Arc<Credential>,
    path: &'static str,
    worker: usize,
) {
    let number = journal.number();
    let sent = journal.now();
    let answer = timeout(PATIENCE, exchange(line, &credential, path, number)).await;
    let (status, retry_after) = answer.ok().and_then(Result::ok).unwrap_or((0, false));
    let (arrived, replied) = (journal.arrival(number), journal.now());
    journal.note(Sample { credential, path, worker, sent, arrived, replied, status, retry_after });
}

async fn exchange(mut line: Line, credential: &Credential, path: &str, number: usize) -> Result<(u16, bool)> {
    let request = Request::get(format!("http://{}{path}", line.address))
        .header(AUTHORIZATION, format!("Bearer {}", credential.token))
        .header(NUMBER, number)
        .body(Empty::<Bytes>::new())?;
    let response = line.sender.send_request(request).await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().contains_key(RETRY_AFTER);
    response.into_body().collect().await.context("the answer breaks off")?;
    Ok((status, retry_after))
}
