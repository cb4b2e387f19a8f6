//! The `rate_limits` section.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use session_gate_protocol::{
    Algorithm, LimitName, MAX_QUOTAS, MAX_REQUESTS, MAX_WINDOW_MS, MIN_WINDOW_MS, Quota, is_token,
};

use super::{
    problems::Problems,
    raw::{
        RawAlgorithm, RawCost, RawCostHeader, RawKeyPart, RawLimitHeaders, RawOnStoreUnavailable, RawQuota,
        RawRateLimit, RawRateLimits, RawRequestsFrom, RawWindow,
    },
};
use crate::limits::{Cost, KeyPart, Limit, LimitHeaders, OnStoreUnavailable, RequestsFrom, RouteLimits};

/// The limit of requests without a token, where a route names none, and what it allows where it does not say.
const ANONYMOUS: (&str, u64) = ("default", 100);
/// The limit of requests with one.
const AUTHENTICATED: (&str, u64) = ("authenticated", 1000);
/// The window of a limit that does not say.
const DEFAULT_WINDOW: Duration = Duration::from_hours(1);
/// Most that a request may cost.
const MAX_COST: u64 = 1_000_000;
/// Most parts of what a limit counts by.
const MAX_KEY_PARTS: usize = 8;

/// The limits by name.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<String, Rc<Limit>>);

impl Limits {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a route that names these, or names none. What applies before authentication does not apply again.
    pub(super) fn of_route(
        &self,
        names: Option<&[String]>,
        before_authentication: Vec<Rc<Limit>>,
        path: &str,
        problems: &mut Problems,
    ) -> RouteLimits {
        let (mut anonymous, mut authenticated) = match names {
            Some(names) => {
                let limits = self.named(names, path, problems);
                (limits.clone(), limits)
            }
            None => {
                let named = |(name, _): (&str, u64)| self.0.get(name).cloned().into_iter().collect();
                (named(ANONYMOUS), named(AUTHENTICATED))
            }
        };
        for limits in [&mut anonymous, &mut authenticated] {
            limits.retain(|limit| !before_authentication.iter().any(|earlier| Rc::ptr_eq(earlier, limit)));
        }
        RouteLimits { before_authentication, anonymous, authenticated }
    }

    /// Those that apply before authentication.
    pub(super) fn before_authentication(
        &self,
        names: &[String],
        path: &str,
        problems: &mut Problems,
    ) -> Vec<Rc<Limit>> {
        let limits = self.named(names, path, problems);
        for limit in limits.iter().filter(|limit| !limit.needs_no_token()) {
            let message = format!(
                "must name limits that need no token: a `key` of `address` and headers alone, without `requests_from`, \
                 `in_flight` and a `cost` that the answer says; `{}` is none",
                limit.name
            );
            problems.add(path, message);
        }
        limits
    }

    /// Warns of those that no rule uses by now.
    pub(super) fn warn_of_unused(&self, problems: &mut Problems) {
        for (name, _) in self.0.iter().filter(|(_, limit)| Rc::strong_count(limit) == 1) {
            problems.warn(format!("rate_limits.{name}"), "is used by no rule: name it in a `rate_limit` list");
        }
    }

    fn named(&self, names: &[String], path: &str, problems: &mut Problems) -> Vec<Rc<Limit>> {
        let mut limits: Vec<Rc<Limit>> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            match self.0.get(name) {
                Some(limit) if limits.iter().any(|there| Rc::ptr_eq(there, limit)) => {
                    problems.add(format!("{path}[{place}]"), "must not be given twice");
                }
                Some(limit) => limits.push(Rc::clone(limit)),
                // One whose own mistake is noted is not called unknown on top.
                None if problems.has(&format!("rate_limits.{name}")) => {}
                None => problems.add(format!("{path}[{place}]"), "must be the name of a limit of `rate_limits`"),
            }
        }
        limits
    }
}

pub(super) fn limits(raw: Option<RawRateLimits>, problems: &mut Problems) -> Limits {
    let Some(raw) = raw else { return Limits::default() };
    let mut limits = BTreeMap::new();
    for (name, raw) in raw {
        let path = format!("rate_limits.{name}");
        let parsed = name.parse::<LimitName>();
        if let Err(error) = &parsed {
            problems.add(&path, error.to_string());
        }
        if let (Ok(parsed), Some(raw)) = (parsed, raw) {
            let limit = limit(parsed, raw, &path, problems);
            limits.insert(name, Rc::new(limit));
        }
    }
    Limits(limits)
}

pub(super) fn headers(raw: Option<&[RawLimitHeaders]>) -> LimitHeaders {
    let has = |kind| raw.is_none_or(|raw| raw.contains(&kind));
    LimitHeaders { draft: has(RawLimitHeaders::Ratelimit), x: has(RawLimitHeaders::XRatelimit) }
}

fn limit(name: LimitName, mut raw: RawRateLimit, path: &str, problems: &mut Problems) -> Limit {
    let field = |name: &str| format!("{path}.{name}");
    let is_anonymous = name.as_str() == ANONYMOUS.0;
    let quotas = quotas(&mut raw, &name, path, problems);
    let default_part = if is_anonymous { RawKeyPart::Address } else { RawKeyPart::User };
    let cost = raw.cost.map_or(Cost::Fixed(1), |raw| cost(raw, &field("cost"), problems));
    if raw.in_flight.is_some() && cost != Cost::Fixed(1) {
        problems.add(field("cost"), "must not be given with `in_flight`");
    }
    let most = quotas.iter().map(Quota::size).min().unwrap_or(MAX_REQUESTS);
    if cost.reserve() > most && !problems.has(path) {
        let message = format!("must be at most {most}: the limit never has more at once");
        problems.add(field(if cost.header().is_some() { "cost.reserve" } else { "cost" }), message);
    }
    let is_size = quotas.iter().all(|quota| quota.burst.is_none());
    for (value, requests) in raw.requests_from.iter().flat_map(|from| &from.values).filter(|_| is_size) {
        if *requests >= 1 && *requests < cost.reserve() {
            let cost = if cost.header().is_some() { "cost.reserve" } else { "cost" };
            let message = format!("must be at least what a request takes (`{path}.{cost}`): it would admit none, ever");
            problems.add(field(&format!("requests_from.values.{value}")), message);
        }
    }
    if quotas.len() > 1 && raw.requests_from.is_some() {
        problems.add(field("requests_from"), "must not be given with several windows");
    }
    Limit {
        name,
        quotas,
        key: key(raw.key.unwrap_or_else(|| vec![default_part]), &field("key"), problems),
        requests_from: raw.requests_from.map(|raw| requests_from(raw, &field("requests_from"), problems)),
        cost,
        exact: raw.exact,
        shadow: raw.shadow,
        on_store_unavailable: match raw.on_store_unavailable {
            Some(RawOnStoreUnavailable::Allow) => OnStoreUnavailable::Allow,
            Some(RawOnStoreUnavailable::Deny) | None => OnStoreUnavailable::Deny,
            Some(RawOnStoreUnavailable::Share) => OnStoreUnavailable::Share,
        },
    }
}

fn quotas(raw: &mut RawRateLimit, name: &LimitName, path: &str, problems: &mut Problems) -> Vec<Quota> {
    let windows = std::mem::take(&mut raw.windows);
    let says_requests =
        raw.requests.is_some() || raw.window.is_some() || raw.algorithm.is_some() || raw.burst.is_some();
    let ways = [says_requests, !windows.is_empty(), raw.in_flight.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        problems.add(path, "must have only one of `requests` with its `window`, `windows` and `in_flight`");
        return Vec::new();
    }
    if let Some(requests) = raw.in_flight {
        check_number(requests, MAX_REQUESTS, format!("{path}.in_flight"), problems);
        return vec![Quota { algorithm: Algorithm::InFlight, requests, window_ms: 0, burst: None }];
    }
    if !windows.is_empty() {
        if windows.len() > MAX_QUOTAS {
            problems.add(format!("{path}.windows"), format!("must be at most {MAX_QUOTAS}"));
        }
        let quota = |(place, raw): (usize, RawQuota)| quota(raw, &format!("{path}.windows[{place}]"), problems);
        return windows.into_iter().enumerate().map(quota).collect();
    }
    let known = [ANONYMOUS, AUTHENTICATED].into_iter().find(|(known, _)| *known == name.as_str());
    let default = RawWindow::Text(humantime::format_duration(DEFAULT_WINDOW).to_string());
    let whole = RawQuota {
        requests: raw.requests.or(known.map(|(_, requests)| requests)),
        window: Some(raw.window.clone().unwrap_or(default)),
        algorithm: raw.algorithm,
        burst: raw.burst,
    };
    vec![quota(whole, path, problems)]
}

fn quota(raw: RawQuota, path: &str, problems: &mut Problems) -> Quota {
    let RawQuota { requests, window, algorithm, burst } = raw;
    let field = |name: &str| format!("{path}.{name}");
    match requests {
        Some(requests) => check_number(requests, MAX_REQUESTS, field("requests"), problems),
        None if problems.has(&field("requests")) => {}
        None => problems.add(field("requests"), "is required"),
    }
    let algorithm = match algorithm {
        Some(RawAlgorithm::FixedWindow) => Algorithm::FixedWindow,
        Some(RawAlgorithm::SlidingWindow) | None => Algorithm::SlidingWindow,
        Some(RawAlgorithm::TokenBucket) => Algorithm::TokenBucket,
    };
    if let Some(burst) = burst {
        check_number(burst, MAX_REQUESTS, field("burst"), problems);
        if algorithm != Algorithm::TokenBucket {
            problems.add(field("burst"), "must be given with `token_bucket` only");
        }
    }
    let window_ms = window_ms(window, &field("window"), problems);
    Quota { algorithm, requests: requests.unwrap_or(1), window_ms, burst }
}

fn window_ms(raw: Option<RawWindow>, path: &str, problems: &mut Problems) -> u64 {
    let text = match raw {
        Some(RawWindow::Seconds(seconds)) => format!("{seconds}s"),
        Some(RawWindow::Text(text)) => text,
        None => {
            if !problems.has(path) {
                problems.add(path, "is required");
            }
            return MIN_WINDOW_MS;
        }
    };
    let (shortest, longest) = (Duration::from_millis(MIN_WINDOW_MS), Duration::from_millis(MAX_WINDOW_MS));
    let window = problems.duration(path, Some(&text), shortest..=longest, shortest);
    u64::try_from(window.as_millis()).unwrap_or(MAX_WINDOW_MS)
}

fn check_number(number: u64, most: u64, path: String, problems: &mut Problems) {
    if !(1..=most).contains(&number) {
        problems.add(path, format!("must be 1 to {most}"));
    }
}

fn key(raw: Vec<RawKeyPart>, path: &str, problems: &mut Problems) -> Vec<KeyPart> {
    if raw.len() > MAX_KEY_PARTS {
        problems.add(path, format!("must be at most {MAX_KEY_PARTS} parts"));
    }
    let mut parts = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let path = format!("{path}[{place}]");
        let part = match raw {
            RawKeyPart::Address => KeyPart::Address,
            RawKeyPart::Claim(name) => {
                if name.is_empty() {
                    problems.add(&path, "must be a claim's name");
                }
                warn_of_nesting(&name, &path, problems);
                KeyPart::Claim(name)
            }
            RawKeyPart::Header(name) => {
                check_header(&name, &path, problems);
                KeyPart::Header(name.to_ascii_lowercase())
            }
            RawKeyPart::Session => KeyPart::Session,
            RawKeyPart::User => KeyPart::User,
        };
        if parts.contains(&part) {
            problems.add(&path, "must not be given twice");
        }
        parts.push(part);
    }
    parts
}

fn check_header(name: &str, path: &str, problems: &mut Problems) {
    if !is_token(name) {
        problems.add(path, "must be a header's name");
    }
}

fn requests_from(raw: RawRequestsFrom, path: &str, problems: &mut Problems) -> RequestsFrom {
    for (value, requests) in &raw.values {
        check_number(*requests, MAX_REQUESTS, format!("{path}.values.{value}"), problems);
    }
    let claim: String = problems.required(format!("{path}.claim"), raw.claim);
    warn_of_nesting(&claim, &format!("{path}.claim"), problems);
    RequestsFrom { claim, values: raw.values }
}

/// A claim is named as it stands in the token's outermost object. `org.id` may be such a name; whoever means a member of
/// `org` would count everybody as one.
fn warn_of_nesting(claim: &str, path: &str, problems: &mut Problems) {
    if claim.contains(['.', '/']) && !claim.contains("://") {
        problems.warn(path, "is the name of a claim at the top level of a token: members of claims cannot be named");
    }
}

fn cost(raw: RawCost, path: &str, problems: &mut Problems) -> Cost {
    match raw {
        RawCost::Fixed(cost) => {
            check_number(cost, MAX_COST, path.to_owned(), problems);
            Cost::Fixed(cost)
        }
        RawCost::Answer(RawCostHeader { response_header, reserve }) => {
            check_header(&response_header, &format!("{path}.response_header"), problems);
            let reserve = reserve.unwrap_or(1);
            check_number(reserve, MAX_COST, format!("{path}.reserve"), problems);
            Cost::Answer { header: response_header.to_ascii_lowercase(), reserve }
        }
    }
}
