//! What the requests aim at: limits, and a path of the gate for each.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

/// What the hammered limits allow.
pub(super) const LIMIT: u64 = 1000;
/// What the limit allows that is far away.
pub(super) const FAR_LIMIT: u64 = 100_000_000;
pub(super) const FAR: &str = "/far";
/// What the default allows somebody with a token.
pub(super) const SLOW_LIMIT: u64 = 1000;
pub(super) const SLOW_WINDOW: Duration = Duration::from_secs(3600);
pub(super) const SLOW: &str = "/slow";
/// The limit whose window slides during the measurement, and the window.
pub(super) const EDGE_LIMIT: usize = 50;
pub(super) const EDGE_WINDOW: Duration = Duration::from_secs(3);
pub(super) const EDGE: &str = "/edge";
/// A path without limits.
pub(super) const FREE: &str = "/free";

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Algorithm {
    FixedWindow,
    SlidingWindow,
    TokenBucket,
}

impl Algorithm {
    pub(super) const ALL: [Self; 3] = [Self::FixedWindow, Self::SlidingWindow, Self::TokenBucket];

    /// The path that has such a limit; without its slash the limit's name.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::FixedWindow => "/fixed_window",
            Self::SlidingWindow => "/sliding_window",
            Self::TokenBucket => "/token_bucket",
        }
    }
}

/// Windows of a day, or of some hours more: windows begin at whole multiples of their length since 1970, and
/// none is to begin while this is measured.
pub(super) fn longest_to_an_edge(now: u64) -> u64 {
    let windows = (24..=30).map(|hours| hours * 3600);
    windows.max_by_key(|window| window - now % window).unwrap_or(24 * 3600)
}

/// Puts the limits, and a path for each, into the filter's configuration.
pub(super) fn configure(filter: &mut Value, window: u64) -> Result<()> {
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
    // The example's own endpoints name a limit of the example's.
    merge(filter, json!({"rate_limits": limits, "routes": routes, "endpoints": null}));
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
