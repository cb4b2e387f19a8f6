//! Limits of a whole deployment under load: whether more is ever admitted than they allow, how much of
//! them is lost to Envoys and workers that are killed, and what counting costs in calls.

mod edge;
mod report;
mod runs;
mod slow;
mod strikes;
mod volley;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{forge, trap};

use self::edge::Edge;
pub use self::report::Report;
use self::runs::Run;
use self::strikes::Chance;
use self::volley::Cost;
use crate::fleet::Fleet;
use crate::journal::Journal;
use crate::report::Setting;

/// What the hammered limits allow.
const LIMIT: u64 = 1000;
/// What the limit allows that is far away.
const FAR_LIMIT: u64 = 100_000_000;
const FAR: &str = "/far";
/// What the default allows somebody with a token.
const SLOW_LIMIT: u64 = 1000;
const SLOW_WINDOW: Duration = Duration::from_secs(3600);
const SLOW: &str = "/slow";
/// The limit whose window slides during the measurement, and the window.
const EDGE_LIMIT: usize = 50;
const EDGE_WINDOW: Duration = Duration::from_secs(3);
const EDGE: &str = "/edge";
/// A path without limits.
const FREE: &str = "/free";

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    FixedWindow,
    SlidingWindow,
    TokenBucket,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::FixedWindow, Self::SlidingWindow, Self::TokenBucket];

    /// The path that has such a limit; without its slash the limit's name.
    fn path(self) -> &'static str {
        match self {
            Self::FixedWindow => "/fixed_window",
            Self::SlidingWindow => "/sliding_window",
            Self::TokenBucket => "/token_bucket",
        }
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each limit is hammered undisturbed, and how often while Envoys and workers are killed.
    pub repetitions: usize,
    /// Requests a second of undisturbed runs, over all workers.
    pub rps: u32,
    /// Requests a second of the others: few enough for the limit not to be reached before the killing is over.
    pub killed_rps: u32,
    /// Envoys and workers that are killed in a run.
    pub kills: usize,
    /// Keys whose first requests come all at once.
    pub first_keys: usize,
    /// Requests that are sent far from the limit.
    pub far: usize,
    /// Clients that come now and then, and for how long they do.
    pub slow_clients: usize,
    /// See `slow_clients`.
    pub slow: Duration,
    /// Requests with a key that is denied.
    pub denied: usize,
    /// For how long the window's edge is watched, each way.
    pub edge: Duration,
    /// What follows from chance follows from this.
    pub seed: u64,
}

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

/// Windows of a day, or of some hours more: windows begin at whole multiples of their length since 1970, and
/// none is to begin while this is measured.
fn longest_to_an_edge(now: u64) -> u64 {
    let windows = (24..=30).map(|hours| hours * 3600);
    windows.max_by_key(|window| window - now % window).unwrap_or(24 * 3600)
}

/// Puts the limits, and a path for each, into the filter's configuration.
fn configure(filter: &mut Value, window: u64) -> Result<()> {
    let mut limits = json!({
        "default": null,
        "authenticated": null,
        "far": {"requests": FAR_LIMIT, "window": window},
        "slow": {"requests": SLOW_LIMIT, "window": SLOW_WINDOW.as_secs()},
        "edge": {"requests": EDGE_LIMIT, "window": EDGE_WINDOW.as_secs()},
    });
    let mut routes = Vec::new();
    for algorithm in Algorithm::ALL {
        let limit = json!({"requests": LIMIT, "window": window, "algorithm": algorithm});
        merge(&mut limits, json!({algorithm.path().trim_start_matches('/'): limit}));
    }
    for path in Algorithm::ALL.into_iter().map(Algorithm::path).chain([FAR, SLOW, EDGE]) {
        let name = path.trim_start_matches('/');
        routes.push(json!({"name": name, "match": {"path": {"prefix": path}}, "rate_limit": [name]}));
    }
    // All other paths are free.
    routes.push(json!({"name": "free", "rate_limit": []}));
    merge(filter, json!({"rate_limits": limits, "routes": routes}));
    Ok(())
}

/// Puts the members of one object into another.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_begins_soon() {
        for hour in 0..50_000 {
            let now = 1_700_000_000 + hour * 3600;
            let window = longest_to_an_edge(now);
            assert!(window - now % window >= 3600, "hour {hour}: {window}");
        }
    }
}
