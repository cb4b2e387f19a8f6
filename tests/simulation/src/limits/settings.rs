//! The limits that workers are configured with: each run has its own numbers.

use serde_json::{Map, Value, json};
use session_gate_protocol::{Algorithm, LimitKey, LimitName, Quota};

/// How many limits there are.
pub const LIMITS: usize = 9;
/// How many routes: one for each limit, and one with two of them.
pub const ROUTES: usize = LIMITS + 1;

/// What requests of limited routes are told apart by: a user's number, or a header's.
pub type KeyName = u32;

/// The header by which some limits count.
pub const KEY_HEADER: &str = "x-key";
/// The header by which an answer says what its request has cost.
pub const COST_HEADER: &str = "x-cost";

/// By their place: what a run's limits are for.
const FIXED: usize = 0;
const SLIDING_BY_USER: usize = 1;
const BUCKET: usize = 2;
const TWO_WINDOWS: usize = 3;
pub const EXACT: usize = 4;
const IN_FLIGHT: usize = 5;
const BY_COST: usize = 6;
const LENIENT: usize = 7;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// What it allows.
    pub quota: Quota,
    /// A second window.
    pub second: Option<Quota>,
    /// Whether it counts by user; else by a header.
    pub by_user: bool,
    /// Whether the sidecar is asked for each request.
    pub exact: bool,
    /// What is taken off until the answer says what its request has cost; none: each costs one.
    pub reserve: Option<u64>,
    /// What happens while the store is away.
    pub on_store_unavailable: &'static str,
}

/// All limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllLimits {
    /// By their numbers.
    pub limits: [LimitSettings; LIMITS],
    /// How many different headers there are.
    pub headers: u32,
    /// For how many keys a worker has room.
    pub room: u32,
}

impl LimitSettings {
    /// A limit by a header, of which workers lease what they need.
    pub fn new(quota: Quota) -> Self {
        Self { quota, second: None, by_user: false, exact: false, reserve: None, on_store_unavailable: "deny" }
    }

    /// What it allows: one window, or two.
    pub fn quotas(&self) -> impl Iterator<Item = Quota> {
        [Some(self.quota), self.second].into_iter().flatten()
    }

    /// Whether it counts streams.
    pub fn is_in_flight(&self) -> bool {
        self.quota.algorithm == Algorithm::InFlight
    }

    /// Whether nothing passes but what the store has given.
    pub fn is_strict(&self) -> bool {
        self.on_store_unavailable == "deny"
    }

    fn config(&self) -> Value {
        let window = |quota: Quota| {
            json!({
                "requests": quota.requests, "window": format!("{}ms", quota.window_ms),
                "algorithm": quota.algorithm.as_str(), "burst": quota.burst,
            })
        };
        let key = if self.by_user { json!("user") } else { json!({"header": KEY_HEADER}) };
        let common = json!({
            "key": [key], "exact": self.exact, "on_store_unavailable": self.on_store_unavailable,
            "cost": self.reserve.map_or(json!(1), |reserve| json!({"response_header": COST_HEADER, "reserve": reserve})),
        });
        let allowed = match self.second {
            _ if self.is_in_flight() => json!({"in_flight": self.quota.requests}),
            None => window(self.quota),
            Some(second) => json!({"windows": [window(self.quota), window(second)]}),
        };
        let objects = [common, allowed].into_iter().filter_map(|value| value.as_object().cloned());
        Value::Object(objects.flatten().collect())
    }
}

impl AllLimits {
    /// Those of a run. Windows are short and numbers small, so that limits are met.
    pub fn new(rng: &mut fastrand::Rng) -> Self {
        let mut limits = [LimitSettings::new(quota(rng, Algorithm::SlidingWindow)); LIMITS];
        for (number, limit) in limits.iter_mut().enumerate() {
            *limit = drawn(number, rng);
        }
        let (headers, room) = if rng.u8(0..6) == 0 { (400, 100) } else { (rng.u32(1..5), 10_000) };
        Self { limits, headers, room }
    }

    /// Those of scenarios, unless they have put others in their places.
    pub fn written() -> Self {
        let quota = Quota { algorithm: Algorithm::SlidingWindow, requests: 4, window_ms: 1_000, burst: None };
        let slots = Quota { algorithm: Algorithm::InFlight, window_ms: 0, ..quota };
        let mut limits = [LimitSettings::new(quota); LIMITS];
        for (number, limit) in limits.iter_mut().enumerate() {
            limit.by_user = matches!(number, SLIDING_BY_USER | IN_FLIGHT);
            limit.quota = if number == IN_FLIGHT { slots } else { quota };
        }
        Self { limits, headers: 1, room: 10_000 }
    }

    /// The limits of a route.
    pub fn of_route(&self, route: usize) -> impl Iterator<Item = (usize, &LimitSettings)> {
        let numbers = if route == LIMITS { [Some(SLIDING_BY_USER), Some(IN_FLIGHT)] } else { [Some(route), None] };
        numbers.into_iter().flatten().filter_map(|number| Some((number, self.limits.get(number)?)))
    }

    /// Whether the route takes tokens: limits count its requests by their users.
    pub fn takes_tokens(&self, route: usize) -> bool {
        self.of_route(route).any(|(_, limit)| limit.by_user)
    }

    /// The `rate_limits` section.
    pub fn section(&self) -> Value {
        let mut section = Map::new();
        // No other route has any.
        section.extend([("default".to_owned(), Value::Null), ("authenticated".to_owned(), Value::Null)]);
        section.extend(self.limits.iter().enumerate().map(|(number, limit)| (name(number), limit.config())));
        Value::Object(section)
    }

    /// The limited routes.
    pub fn routes(&self) -> impl Iterator<Item = Value> {
        (0..ROUTES).map(|route| {
            let names: Vec<String> = self.of_route(route).map(|(number, _)| name(number)).collect();
            json!({
                "name": format!("limited-{route}"), "match": {"path": {"exact": path(route)}},
                "authentication": if self.takes_tokens(route) { "required" } else { "public" },
                "rate_limit": names,
            })
        })
    }

    /// The text of a key of a limit.
    pub fn key(&self, number: usize, of: KeyName) -> Option<String> {
        let limit: LimitName = name(number).parse().ok()?;
        let parts = if self.limits.get(number)?.by_user {
            [("user".to_owned(), format!("user-{of}")), ("issuer".to_owned(), "session-gate".to_owned())].into()
        } else {
            [(format!("header.{KEY_HEADER}"), of.to_string())].into()
        };
        Some(LimitKey { limit, parts }.to_string())
    }
}

/// The path of a limited route.
pub fn path(route: usize) -> String {
    format!("/limited/{route}")
}

fn name(number: usize) -> String {
    format!("limit-{number}")
}

fn drawn(number: usize, rng: &mut fastrand::Rng) -> LimitSettings {
    let plain = [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket];
    let any = rng.choice(plain).unwrap_or(Algorithm::SlidingWindow);
    let of = |rng: &mut fastrand::Rng, algorithm| LimitSettings::new(quota(rng, algorithm));
    match number {
        FIXED => of(rng, Algorithm::FixedWindow),
        SLIDING_BY_USER => LimitSettings { by_user: true, ..of(rng, Algorithm::SlidingWindow) },
        BUCKET => of(rng, Algorithm::TokenBucket),
        TWO_WINDOWS => {
            let second = Quota { window_ms: rng.u64(5..=10) * 1_000, ..quota(rng, any) };
            LimitSettings { second: Some(second), ..of(rng, Algorithm::SlidingWindow) }
        }
        EXACT => LimitSettings { exact: true, ..of(rng, any) },
        IN_FLIGHT => {
            let quota = Quota { algorithm: Algorithm::InFlight, requests: rng.u64(1..6), window_ms: 0, burst: None };
            LimitSettings { by_user: true, ..LimitSettings::new(quota) }
        }
        BY_COST => {
            let limit = of(rng, Algorithm::SlidingWindow);
            LimitSettings { reserve: Some(rng.u64(1..5).min(limit.quota.requests)), ..limit }
        }
        LENIENT => LimitSettings { on_store_unavailable: if rng.bool() { "allow" } else { "share" }, ..of(rng, any) },
        _ => of(rng, Algorithm::SlidingWindow),
    }
}

fn quota(rng: &mut fastrand::Rng, algorithm: Algorithm) -> Quota {
    let number = |rng: &mut fastrand::Rng| if rng.bool() { rng.u64(1..8) } else { rng.u64(8..60) };
    let window_ms = if rng.bool() { rng.u64(1..4) * 1_000 } else { rng.u64(1_000..4_000) };
    let burst = (algorithm == Algorithm::TokenBucket && rng.u8(0..4) > 0).then(|| number(rng));
    Quota { algorithm, requests: number(rng), window_ms, burst }
}
