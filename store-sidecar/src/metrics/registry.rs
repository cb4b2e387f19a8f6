//! Every metric of the sidecar, by name, and what counts it.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use session_gate_protocol::{CheckVerdict, FeedChange, LeaseAsk, SessionCommandKind, WhenFull};

use super::{
    catalogue::{Catalogue, Described},
    feed::{FeedMetrics, FeedState, FollowerState},
    format::Format,
    gauge::OptionalGauge,
    histogram::{NewHistogram, request_histogram, session_histogram},
    labels::{
        BuildLabels, ByLabel, CommandLabels, CommandOutcome, EndReason, HttpLabels, LeaseOutcome, LockedBy, OpLabel,
        OutcomeLabel, PollOutcome, ReasonLabel, ReceiptOutcome, RefreshOutcome, RenewalOutcome, Repair, RepairLabels,
        RouteLabels, StoreLabels, VerdictLabel, WhenFullLabel,
    },
    limits::LimitMetrics,
};
use crate::store::{Health, Leased, StoreErrorKind};

/// The metrics of one service. Not global, so that each test has its own.
pub struct Metrics {
    catalogue: Catalogue,
    active_sessions: OptionalGauge,
    build_info: Family<BuildLabels, Gauge>,
    checks: Family<VerdictLabel, Counter>,
    feed: FeedMetrics,
    http_accepts_failed: Counter,
    http_duration: Family<RouteLabels, Histogram, NewHistogram>,
    http_requests: Family<HttpLabels, Counter>,
    limits: LimitMetrics,
    lockouts: Family<ByLabel, Counter>,
    login_failures: Counter,
    logins: Counter,
    logouts: Counter,
    opaque_tokens_issued: Counter,
    session_commands: Family<CommandLabels, Counter>,
    session_duration: Histogram,
    session_limit: Family<WhenFullLabel, Counter>,
    sessions_created: Counter,
    sessions_swept: Counter,
    sessions_terminated: Family<ReasonLabel, Counter>,
    store_duration: Family<OpLabel, Histogram, NewHistogram>,
    store_memory: OptionalGauge,
    store_repairs: Family<RepairLabels, Counter>,
    store_requests: Family<StoreLabels, Counter>,
    store_up: Gauge,
    tokens_introspected: Family<OutcomeLabel, Counter>,
    tokens_issued: Counter,
    tokens_refreshed: Family<OutcomeLabel, Counter>,
    tokens_renewed: Family<OutcomeLabel, Counter>,
    tokens_revoked: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            catalogue: Catalogue::new(),
            active_sessions: OptionalGauge::default(),
            build_info: Family::default(),
            checks: Family::default(),
            feed: FeedMetrics::default(),
            http_accepts_failed: Counter::default(),
            http_duration: Family::new_with_constructor(request_histogram),
            http_requests: Family::default(),
            limits: LimitMetrics::default(),
            lockouts: Family::default(),
            login_failures: Counter::default(),
            logins: Counter::default(),
            logouts: Counter::default(),
            opaque_tokens_issued: Counter::default(),
            session_commands: Family::default(),
            session_duration: session_histogram(),
            session_limit: Family::default(),
            sessions_created: Counter::default(),
            sessions_swept: Counter::default(),
            sessions_terminated: Family::default(),
            store_duration: Family::new_with_constructor(request_histogram),
            store_memory: OptionalGauge::default(),
            store_repairs: Family::default(),
            store_requests: Family::default(),
            store_up: Gauge::default(),
            tokens_introspected: Family::default(),
            tokens_issued: Counter::default(),
            tokens_refreshed: Family::default(),
            tokens_renewed: Family::default(),
            tokens_revoked: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// The one list of names: `session_gate_` comes before them, and `_total` after those of counters.
    fn register(&mut self) {
        let r = &mut self.catalogue;
        r.register(
            "active_sessions",
            "Sessions that have not ended, as the store counts them",
            self.active_sessions.clone(),
        );
        self.build_info.get_or_create(&BuildLabels::OF_THIS).set(1);
        r.register("build_info", "Always 1, by the version that runs", self.build_info.clone());
        r.register("checks", "Checks of a token and its session, by verdict", self.checks.clone());
        self.feed.register(r);
        r.register(
            "http_accepts_failed",
            "Attempts to accept a connection for which the system had too little left, file descriptors for one",
            self.http_accepts_failed.clone(),
        );
        r.register("http_request_duration_seconds", "Time to answer a request", self.http_duration.clone());
        r.register("http_requests", "Requests answered, by route, method and status", self.http_requests.clone());
        self.limits.register(r);
        r.register(
            "lockouts",
            "Times too many logins had failed, by what was locked: an account, an address, or the budget of a known device",
            self.lockouts.clone(),
        );
        r.register("login_failures", "Failed logins that counted", self.login_failures.clone());
        r.register("logins", "Logins", self.logins.clone());
        r.register("logouts", "Logouts", self.logouts.clone());
        r.register(
            "opaque_tokens_issued",
            "Tokens minted that only the sidecar can read",
            self.opaque_tokens_issued.clone(),
        );
        r.register(
            "session_commands",
            "What applications said of sessions by a header of their answers, by kind and outcome",
            self.session_commands.clone(),
        );
        r.register("session_duration_seconds", "Age of sessions when they were ended", self.session_duration.clone());
        r.register(
            "session_limit_reached",
            "Logins of users who had as many sessions as allowed, by what became of them",
            self.session_limit.clone(),
        );
        r.register("sessions_created", "Sessions created", self.sessions_created.clone());
        r.register(
            "sessions_swept",
            "Ended sessions that were removed from their users' lists in the background",
            self.sessions_swept.clone(),
        );
        r.register(
            "sessions_terminated",
            "Sessions ended before their time, by reason",
            self.sessions_terminated.clone(),
        );
        r.register("store_memory_bytes", "Memory that the store's data takes up", self.store_memory.clone());
        r.register("store_request_duration_seconds", "Time that the store took to answer", self.store_duration.clone());
        r.register(
            "store_repairs",
            "Times the feed knew what the store had lost, by what it was and whether the store took it again",
            self.store_repairs.clone(),
        );
        r.register("store_requests", "Requests to the store, by operation and outcome", self.store_requests.clone());
        r.register(
            "store_up",
            "Whether the store answered when it was last looked at, at most 5 seconds ago",
            self.store_up.clone(),
        );
        r.register("tokens_introspected", "Introspections, by outcome", self.tokens_introspected.clone());
        r.register("tokens_issued", "Tokens minted", self.tokens_issued.clone());
        r.register("tokens_refreshed", "Uses of refresh tokens, by outcome", self.tokens_refreshed.clone());
        r.register("tokens_renewed", "Questions for the successor of a token, by outcome", self.tokens_renewed.clone());
        r.register("tokens_revoked", "Tokens put on the blacklist", self.tokens_revoked.clone());
    }

    /// All metrics, in that format.
    ///
    /// # Errors
    /// Never, as far as is known: a text takes whatever is written to it.
    pub fn render(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, self.catalogue.registry())?;
        Ok(format.of(text))
    }

    /// Name, kind and text of every metric, whether it has counted anything yet or not.
    pub fn described(&self) -> &[Described] {
        self.catalogue.described()
    }

    /// A check was answered.
    pub fn checked(&self, verdict: CheckVerdict) {
        self.checks.get_or_create(&VerdictLabel { verdict: verdict.as_str() }).inc();
    }

    /// A change was told through the feed.
    pub fn feed_appended(&self, change: &FeedChange) {
        self.feed.appended(change);
    }

    /// A worker's poll was answered.
    pub fn feed_polled(&self, outcome: PollOutcome) {
        self.feed.polled(outcome);
    }

    /// Changes were told again that the store had lost.
    pub fn feed_retold(&self, count: usize) {
        self.feed.retold(count);
    }

    /// A new epoch of the feed has begun.
    pub fn feed_epoch_began(&self) {
        self.feed.epoch_began();
    }

    /// How the feed is, and who follows it. Of a feed that has never been read the age is infinite, so that an alert on
    /// it fires, and all else has no series.
    pub fn feed_state(&self, state: Option<FeedState>, followers: FollowerState) {
        self.feed.state(state, followers);
    }

    /// Somebody who waited until all workers knew of a change was answered.
    pub fn receipt_given(&self, outcome: ReceiptOutcome, took: Duration) {
        self.feed.receipt_given(outcome, took);
    }

    /// A worker's question for a lease was answered.
    pub fn leased(&self, outcome: LeaseOutcome, ask: &LeaseAsk, leased: &Leased) {
        self.limits.leased(outcome, ask, leased);
    }

    /// The store did not answer one.
    pub fn lease_failed(&self) {
        self.limits.count_step(LeaseOutcome::Unavailable);
    }

    /// A token was introspected; `None`: it is none of ours, or not in force.
    pub fn introspected(&self, verdict: Option<CheckVerdict>) {
        let outcome = verdict.map_or("token_invalid", CheckVerdict::as_str);
        self.tokens_introspected.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A failed login has counted.
    pub fn login_failed(&self) {
        self.login_failures.inc();
    }

    /// Too many logins had failed.
    pub fn login_locked(&self, by: LockedBy) {
        self.lockouts.get_or_create(&ByLabel { by: by.as_str() }).inc();
    }

    /// Somebody logged in.
    pub fn logged_in(&self) {
        self.logins.inc();
    }

    /// Somebody logged out.
    pub fn logged_out(&self) {
        self.logouts.inc();
    }

    /// What an application said of a session was done, or not.
    pub fn session_command(&self, kind: SessionCommandKind, outcome: CommandOutcome) {
        let labels = CommandLabels { kind: kind.as_str(), outcome: outcome.as_str() };
        self.session_commands.get_or_create(&labels).inc();
    }

    /// A user who logs in had as many sessions as allowed.
    pub fn session_limit_reached(&self, action: WhenFull) {
        self.session_limit.get_or_create(&WhenFullLabel { action: action.as_str() }).inc();
    }

    /// A session was created.
    pub fn session_created(&self) {
        self.sessions_created.inc();
    }

    /// Sessions were ended.
    pub fn sessions_ended(&self, reason: EndReason, count: u64) {
        self.sessions_terminated.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc_by(count);
    }

    /// Ended sessions were removed from their user's list.
    pub fn sessions_swept(&self, count: u64) {
        self.sessions_swept.inc_by(count);
    }

    /// The store had lost what the feed knows, and was told again.
    pub fn store_repaired(&self, what: Repair, worked: bool) {
        let outcome = if worked { "ok" } else { "failed" };
        self.store_repairs.get_or_create(&RepairLabels { what: what.as_str(), outcome }).inc();
    }

    /// A session of that age was ended.
    pub fn session_lived(&self, age: Duration) {
        self.session_duration.observe(age.as_secs_f64());
    }

    /// A token was minted.
    pub fn token_issued(&self, opaque: bool) {
        self.tokens_issued.inc();
        if opaque {
            self.opaque_tokens_issued.inc();
        }
    }

    /// A refresh token was shown.
    pub fn token_refreshed(&self, outcome: RefreshOutcome) {
        self.tokens_refreshed.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// A token was asked to be renewed.
    pub fn token_renewed(&self, outcome: RenewalOutcome) {
        self.tokens_renewed.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// A token was put on the blacklist.
    pub fn token_revoked(&self) {
        self.tokens_revoked.inc();
    }

    /// The store answered.
    pub fn store_answered(&self, op: &'static str, failure: Option<StoreErrorKind>, took: Duration) {
        let outcome = failure.map_or("ok", StoreErrorKind::as_str);
        self.store_requests.get_or_create(&StoreLabels { op, outcome }).inc();
        self.store_duration.get_or_create(&OpLabel { op }).observe(took.as_secs_f64());
    }

    /// How the store is; none: it did not answer. What is not known has no series.
    pub fn store_health(&self, health: Option<&Health>) {
        self.store_up.set(i64::from(health.is_some()));
        self.active_sessions.set_count(health.and_then(|health| health.active_sessions));
        self.store_memory.set_count(health.and_then(|health| health.memory_bytes));
        self.limits.set_counters(health.and_then(|health| health.counters));
    }

    /// A connection could not be accepted.
    pub fn accept_failed(&self) {
        self.http_accepts_failed.inc();
    }

    /// A request was answered. `route` must be one of the router's own patterns.
    pub fn http_answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let labels = RouteLabels { route: route.to_owned(), method };
        self.http_duration.get_or_create(&labels).observe(took.as_secs_f64());
        let RouteLabels { route, method } = labels;
        self.http_requests.get_or_create(&HttpLabels { route, method, status }).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
