//! Waiting for a condition instead of for a time.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before the harness gives up: long, since machines are shared, and
/// without influence on a run that succeeds.
pub const PATIENCE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(10);

/// An error that waiting does not mend, such as the end of a process.
#[derive(Debug)]
pub struct Final(pub anyhow::Error);

impl fmt::Display for Final {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Final {}

/// Calls `attempt` until it answers `Ok`.
///
/// # Errors
/// The last error, once [`PATIENCE`] is over; a [`Final`] one at once.
pub async fn until<T, F>(what: &str, mut attempt: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<T>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome = match timeout(PATIENCE, attempt()).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("waited {PATIENCE:?} for {what}: one attempt took as long"),
        };
        match outcome {
            Ok(value) => return Ok(value),
            Err(error) if error.is::<Final>() => return Err(error.context(format!("waited for {what}"))),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("waited {PATIENCE:?} for {what}"));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
