//! Clients that come now and then: what their requests cost in calls, each of a key of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use super::plan::Plan;
use super::targets::SLOW;
use super::volley::Cost;
use crate::app::Fate;
use crate::fleet::Fleet;
use crate::load::shoot;

/// Between two requests of one client.
const GAP: Duration = Duration::from_secs(5);
/// By then workers have handed back what they kept for these: three quarters of a minute's lease.
const HAND_BACK: Duration = Duration::from_secs(46);

/// Sends the requests of so many clients for so long, each client's over one connection, and counts the calls
/// with those that hand back.
pub(super) async fn slow_clients(fleet: &Fleet, plan: &Plan) -> Result<Cost> {
    let (before, from) = (fleet.leases().await?, fleet.journal.len());
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..plan.slow_clients {
        let credential = fleet.app.login(&format!("slow-{number}"), Fate::Stays).await?;
        let (round, worker) = (number / fleet.lines().len(), number % fleet.lines().len());
        let lines = fleet.lines().get(worker).context("a worker")?;
        let line = lines.get(round % lines.len()).context("a connection")?.clone();
        let journal = Arc::clone(&fleet.journal);
        // They come one after the other.
        let first =
            begin + GAP.mul_f64(f64::from(u32::try_from(number)?) / f64::from(u32::try_from(plan.slow_clients)?));
        let (mut clock, end) = (interval_at(first, GAP), begin + plan.slow);
        clients.spawn(async move {
            while clock.tick().await < end {
                shoot(line.clone(), Arc::clone(&journal), Arc::clone(&credential), SLOW, worker).await;
            }
        });
    }
    while let Some(over) = clients.join_next().await {
        over?;
    }
    sleep(HAND_BACK).await;
    Cost::since(fleet, from, before).await
}
