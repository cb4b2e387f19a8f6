//! Limits of a whole deployment under load: whether more is ever admitted than they allow, how much of
//! them is lost to Envoys and workers that are killed, and what counting costs in calls.

mod edge;
mod plan;
mod report;
mod runs;
mod slow;
mod strikes;
mod targets;
mod volley;

use std::sync::Arc;

use anyhow::Result;
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{forge, trap};

use self::edge::Edge;
pub use self::plan::Plan;
pub use self::report::Report;
use self::runs::Run;
use self::strikes::Chance;
use self::targets::{Algorithm, FAR, configure, longest_to_an_edge};
use self::volley::Cost;
use crate::fleet::Fleet;
use crate::journal::Journal;
use crate::setting::Setting;

/// Measures.
///
/// # Errors
/// Where something does not start, or does not do what it should at all.
pub async fn run(plan: Plan, upstream: Upstream, journal: Arc<Journal>) -> Result<Report> {
    let modules = tempfile::tempdir()?;
    let deployment = Fleet::deployment(upstream)?
        .module(trap::write_trapping_filter(modules.path())?)
        .filter(|filter| configure(filter, longest_to_an_edge(forge::now())));
    let mut fleet = Fleet::start(deployment, journal, plan.rps).await?;
    eprintln!("warming up: workers ask about tokens of the feed's first seconds");
    fleet.warm_up().await?;

    eprintln!("first requests of a key, and requests far from the limit");
    let first_requests = volley::first_requests(&fleet, plan.first_keys).await?;
    let far = Cost::of_volley(&fleet, &fleet.login("far").await?, FAR, plan.far).await?;
    eprintln!("clients that come now and then");
    let slow = slow::slow_clients(&fleet, &plan).await?;
    eprintln!("the edge of a window that slides");
    let edges = [Edge::watch(&fleet, &plan, false).await?, Edge::watch(&fleet, &plan, true).await?];

    let mut chance = Chance::of(plan.seed);
    let mut runs = Vec::new();
    let mut denied = Vec::new();
    for algorithm in Algorithm::ALL {
        for repetition in 0..plan.repetitions {
            eprintln!("{algorithm:?}, undisturbed and with kills, {} of {}", repetition + 1, plan.repetitions);
            let credential = fleet.login("undisturbed").await?;
            runs.push(Run::undisturbed(&fleet, algorithm, &credential).await?);
            denied.push(Cost::of_volley(&fleet, &credential, algorithm.path(), plan.denied).await?);
            runs.push(Run::with_kills(&mut fleet, algorithm, &plan, &mut chance).await?);
        }
    }
    let setting = Setting::of(&fleet).await?;
    Ok(Report::new(runs, first_requests, [far, slow], &denied, edges, (setting, plan.seed)))
}
