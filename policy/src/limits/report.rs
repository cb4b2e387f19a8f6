//! What clients are told of limits: draft-ietf-httpapi-ratelimit-headers-10, and the older `X-RateLimit-*`.

use std::time::Duration;

use session_gate_protocol::{Algorithm, LimitName, Quota};

use super::{limit::LimitHeaders, remaining::Remaining};
use crate::http::headers::HeaderChange;

/// What a limit has left for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The limit.
    pub name: LimitName,
    /// Its quotas.
    pub quotas: Vec<Remaining>,
}

impl Report {
    /// The quota of which least is left.
    fn tightest(&self) -> Option<&Remaining> {
        self.quotas.iter().min_by_key(|left| (left.remaining, left.quota.requests))
    }

    /// How many more requests the limit has for the client.
    pub fn remaining(&self) -> u64 {
        self.tightest().map_or(u64::MAX, |left| left.remaining)
    }

    /// As the limit that denies: nothing is left of `quotas` for so long.
    #[must_use]
    pub fn denying(mut self, quotas: &[Quota], retry: Duration) -> Self {
        if self.quotas.is_empty() {
            self.quotas = quotas.iter().map(|quota| Remaining::nothing(quota, retry)).collect();
        }
        if let Some(tightest) = self.quotas.iter_mut().min_by_key(|left| (left.remaining, left.quota.requests)) {
            tightest.remaining = 0;
            tightest.reset = retry;
        }
        self
    }

    /// What a quota is called: the limit's name, and where it has several quotas their window; and where two have
    /// the same window their algorithm.
    fn policy(&self, left: &Remaining) -> String {
        if self.quotas.len() < 2 {
            return self.name.to_string();
        }
        let window = |left: &Remaining| seconds(Duration::from_millis(left.quota.window_ms));
        let like = self.quotas.iter().filter(|other| window(other) == window(left)).count();
        let name = format!("{}.{}s", self.name, window(left));
        if like < 2 { name } else { format!("{name}.{}", left.quota.algorithm.as_str()) }
    }

    /// The headers that say so. Names are token characters, so that nothing needs quoting within quotes.
    pub fn headers(&self, wanted: LimitHeaders) -> Vec<HeaderChange> {
        let Some(tightest) = self.tightest() else { return Vec::new() };
        let reset = seconds(tightest.reset);
        let mut headers = Vec::new();
        if wanted.draft {
            let policies: Vec<String> = self.quotas.iter().map(|left| self.policy_item(left)).collect();
            let state = format!("\"{}\";r={};t={reset}", self.policy(tightest), tightest.remaining);
            headers.push(HeaderChange::set("ratelimit-policy", policies.join(", ")));
            headers.push(HeaderChange::set("ratelimit", state));
        }
        if wanted.x {
            headers.push(HeaderChange::set("x-ratelimit-limit", tightest.quota.size().to_string()));
            headers.push(HeaderChange::set("x-ratelimit-remaining", tightest.remaining.to_string()));
            headers.push(HeaderChange::set("x-ratelimit-reset", reset.to_string()));
        }
        headers
    }

    fn policy_item(&self, left: &Remaining) -> String {
        let name = self.policy(left);
        let quota = &left.quota;
        if quota.algorithm == Algorithm::InFlight {
            return format!("\"{name}\";q={};qu=\"concurrent-requests\"", quota.requests);
        }
        format!("\"{name}\";q={};w={}", quota.requests, seconds(Duration::from_millis(quota.window_ms)))
    }
}

/// Whole seconds, rounded up: who waits for so long has waited long enough.
pub fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
