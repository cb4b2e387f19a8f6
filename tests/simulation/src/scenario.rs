//! Scenarios: small worlds in which it is written down what happens when, and nothing is left to chance.
//!
//! A seed means something else as soon as anybody draws one lot more. A scenario keeps what a seed has found: the
//! same workers, sidecars and store, on the same virtual time, under the same checker. Unless it says otherwise
//! nothing takes time, nothing is lost, and all clocks agree.

use std::time::Duration;

use session_gate_protocol::{AllowReason, DenyReason};
use store_sidecar::feed::Pages;

use crate::{
    clocks::Millis,
    limits::settings::{AllLimits, LimitSettings},
    lives::Lives,
    parameters::{Parameters, Weather},
    worker_host::WorkerSettings,
};

mod calls;
pub(crate) mod script;

pub(crate) use calls::{Call, Request};
use script::{Expected, Script, Step};

/// What happens when.
#[derive(Debug)]
pub struct Scenario {
    name: &'static str,
    parameters: Parameters,
    script: Script,
}

impl Scenario {
    /// One Envoy with one worker, one sidecar, and nothing that happens until `ends`, in milliseconds.
    pub(crate) fn new(name: &'static str, ends: Millis) -> Self {
        let settings = WorkerSettings {
            max_staleness: Duration::from_millis(100),
            timeout: Duration::from_millis(100),
            last_known: Duration::from_secs(1),
            max_held: 1_024,
            limits: AllLimits::written(),
        };
        let parameters = Parameters {
            // Faults may be a reason to refuse.
            weather: Weather::Rough,
            ops: 0,
            envoys: 1,
            workers: 1,
            replicas: 1,
            has_own_sidecar: true,
            settings,
            pages: Pages::default(),
            drift_ppm: 0,
            wall_millis: 0,
            issuer_millis: 0,
            ops_per_milli: 0.0,
            users: 1,
            sessions: 1,
            changes: 0,
            limited: 0,
            probes: false,
            fault_every: Duration::from_secs(1),
            is_slow: false,
            may_lose_data: false,
            may_refuse: false,
            idle_timeout: None,
            lives: Lives::LONG,
            has_crowd: false,
            guesses: None,
            has_mobiles: false,
            rotates: false,
        };
        Self { name, parameters, script: Script::new(ends) }
    }

    /// So many Envoys, each with one worker and a sidecar of its own.
    pub(crate) fn envoys(mut self, number: usize) -> Self {
        (self.parameters.envoys, self.parameters.replicas) = (number, number);
        self
    }

    /// For how long workers believe what they know, in milliseconds.
    pub(crate) fn max_staleness(mut self, millis: Millis) -> Self {
        self.parameters.settings.max_staleness = Duration::from_millis(millis);
        self
    }

    /// How long a worker's call may take, in milliseconds.
    pub(crate) fn timeout(mut self, millis: Millis) -> Self {
        self.parameters.settings.timeout = Duration::from_millis(millis);
        self
    }

    /// How many requests a worker may hold.
    pub(crate) fn max_held(mut self, number: u32) -> Self {
        self.parameters.settings.max_held = number;
        self
    }

    /// How long each message between workers and sidecars takes, in milliseconds.
    pub(crate) fn links_take(mut self, millis: Millis) -> Self {
        self.script.links_take = millis;
        self
    }

    /// The limit of that number.
    pub(crate) fn limit(mut self, number: usize, settings: LimitSettings) -> Self {
        if let Some(limit) = self.parameters.settings.limits.limits.get_mut(number) {
            *limit = settings;
        }
        self
    }

    /// When all is over, all that limits have is asked for.
    pub(crate) fn probing(mut self) -> Self {
        self.parameters.probes = true;
        self
    }

    /// That happens at that time, in milliseconds. What is written for one moment happens in that order.
    pub(crate) fn at(mut self, at: Millis, step: impl Into<Step>) -> Self {
        self.script.steps.push((at, step.into()));
        self
    }

    /// That request must be admitted.
    pub(crate) fn admits(self, request: &'static str, reason: AllowReason) -> Self {
        self.expect(Expected::Admitted(request, reason))
    }

    /// That request must be refused.
    pub(crate) fn refuses(self, request: &'static str, reason: DenyReason) -> Self {
        self.expect(Expected::Refused(request, reason))
    }

    /// That stream must be ended by the gate.
    pub(crate) fn ends(self, request: &'static str) -> Self {
        self.expect(Expected::Ended(request))
    }

    /// That call must be answered so, and must say so of `wait=applied`.
    pub(crate) fn answers(self, call: &'static str, status: u16, applied: Option<bool>) -> Self {
        self.expect(Expected::Answered(call, status, applied))
    }

    fn expect(mut self, expected: Expected) -> Self {
        self.script.expected.push(expected);
        self
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn into_parts(self) -> (Parameters, Script) {
        (self.parameters, self.script)
    }
}
