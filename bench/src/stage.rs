//! Where a measurement runs: its upstream has a thread of its own.

use std::future::pending;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use session_gate_tests::upstream::Upstream;
use tokio::runtime::Builder;

use crate::journal::Journal;

/// Runs a measurement with a journal, and an upstream that tells the journal what arrives.
///
/// # Errors
/// Where the upstream does not start, or the measurement fails.
pub fn perform<R>(measurement: impl AsyncFnOnce(Upstream, Arc<Journal>) -> Result<R>) -> Result<R> {
    // The upstream has a thread of its own, so that what it receives does not wait for what is sent, and
    // a runtime that takes what has come first first.
    let upstreams = Builder::new_current_thread().enable_all().build()?;
    let on_upstreams = upstreams.handle().clone();
    std::thread::Builder::new().name("upstream".to_owned()).spawn(move || upstreams.block_on(pending::<()>()))?;
    let everything_else = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    everything_else.block_on(async {
        let journal = Arc::new(Journal::begin());
        let observed = Arc::clone(&journal);
        let upstream = Upstream::start_observed(move |request| observed.arrived(&request.headers));
        let upstream = on_upstreams.spawn(upstream).await.context("the upstream's thread")??;
        measurement(upstream, journal).await
    })
}
