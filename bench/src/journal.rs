//! What happened to each request, on one clock: when it was sent, when the upstream received it, when
//! and how it was answered.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper::HeaderMap;
use tokio::time::Instant;

use crate::app::Credential;

/// The request header with a request's number.
pub const NUMBER: &str = "x-measure";

/// Requests of one run at most.
const CAPACITY: usize = 1 << 20;

/// A moment: the time since the journal began.
pub type Moment = Duration;

/// A request that was answered, or wasn't.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it carried.
    pub credential: Arc<Credential>,
    /// Its path.
    pub path: &'static str,
    /// The worker of all Envoys' that it was sent to.
    pub worker: usize,
    /// When it was sent.
    pub sent: Moment,
    /// When the upstream received it: when it was admitted.
    pub arrived: Option<Moment>,
    /// When it was answered.
    pub replied: Moment,
    /// How; 0 where it was not.
    pub status: u16,
    /// Whether the answer says when to try again.
    pub retry_after: bool,
}

impl Sample {
    /// Whether the gate knew something against the token: 403 is for what is suspended.
    pub fn is_refused(&self) -> bool {
        matches!(self.status, 401 | 403)
    }
}

/// The journal of a run.
pub struct Journal {
    start: Instant,
    next: AtomicUsize,
    /// By a request's number: microseconds since the start; 0: it has not arrived.
    arrivals: Box<[AtomicU64]>,
    samples: Mutex<Vec<Sample>>,
}

impl Journal {
    /// An empty journal.
    pub fn begin() -> Self {
        let arrivals = (0..CAPACITY).map(|_| AtomicU64::new(0)).collect();
        Self { start: Instant::now(), next: AtomicUsize::new(0), arrivals, samples: Mutex::default() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// When that is on the runtime's clock.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment
    }

    /// A number for a request.
    pub fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many numbers were given: the next request has this one.
    pub fn numbers(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// How many of the requests with these numbers have arrived, whether or not anybody has their answers.
    ///
    /// # Errors
    /// Where some have numbers that arrivals are not kept for.
    pub fn arrived_of(&self, numbers: Range<usize>) -> Result<usize> {
        let arrivals = self.arrivals.get(numbers).context("the journal is full")?;
        Ok(arrivals.iter().filter(|arrival| arrival.load(Ordering::Acquire) > 0).count())
    }

    /// The upstream has received a request with these headers.
    pub fn arrived(&self, headers: &HeaderMap) {
        let number = headers.get(NUMBER).and_then(|number| number.to_str().ok()?.parse::<usize>().ok());
        if let Some(slot) = number.and_then(|number| self.arrivals.get(number)) {
            let micros = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX);
            slot.store(micros.max(1), Ordering::Release);
        }
    }

    /// When the request with that number has arrived.
    pub fn arrival(&self, number: usize) -> Option<Moment> {
        let micros = self.arrivals.get(number)?.load(Ordering::Acquire);
        (micros > 0).then(|| Moment::from_micros(micros))
    }

    /// A request is over.
    pub fn note(&self, sample: Sample) {
        self.samples().push(sample);
    }

    /// How many requests are over.
    pub fn len(&self) -> usize {
        self.samples().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The requests that are over, but for the first `from`.
    pub fn since(&self, from: usize) -> Vec<Sample> {
        self.samples().get(from..).unwrap_or_default().to_vec()
    }

    fn samples(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("samples", &self.len()).finish_non_exhaustive()
    }
}
