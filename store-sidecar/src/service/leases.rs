//! Leases of rate limits: checks what a worker asks, and asks the store about each counter.

use std::collections::HashSet;

use futures_util::future::join_all;
use session_gate_protocol::{
    Algorithm, FieldProblem, LeaseAsk, LeaseGrant, LeaseReply, LeaseRequest, MAX_LEASE_ASKS, MAX_QUOTAS, MAX_REQUESTS,
    MAX_SETTLED, is_header_safe,
};

use super::{Service, ServiceError, input::invalid};
use crate::metrics::LeaseOutcome;

/// Longest name of a worker, in characters.
pub const MAX_WORKER_CHARS: usize = 64;

/// Whether a worker may be called that.
pub fn is_worker_name(name: &str) -> bool {
    let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    (1..=MAX_WORKER_CHARS).contains(&name.len()) && is_visible && is_header_safe(name)
}

impl Service {
    /// Settles and leases, each counter in a step of its own, all at once.
    ///
    /// # Errors
    /// `Invalid`; or that of the store, where it has answered to none of the questions.
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeaseReply, ServiceError> {
        let LeaseRequest { worker, asks } = request;
        ServiceError::unless_empty(problems(request))?;
        let steps = join_all(asks.iter().map(|ask| self.tools.store.lease(worker, ask))).await;
        let mut grants = Vec::with_capacity(steps.len());
        let (mut failure, mut any_answered) = (None, steps.is_empty());
        for (ask, step) in asks.iter().zip(steps) {
            grants.push(match step {
                Ok(leased) => {
                    any_answered = true;
                    self.tools.metrics.leased(LeaseOutcome::of(ask, leased.lease.granted), ask, &leased);
                    LeaseGrant::Lease(leased.lease)
                }
                Err(error) => {
                    self.tools.metrics.lease_failed();
                    failure = Some(error);
                    LeaseGrant::Unavailable
                }
            });
        }
        match failure {
            Some(error) if !any_answered => Err(error.into()),
            _ => Ok(LeaseReply { workers: self.tools.feed.crowd(), grants }),
        }
    }
}

/// What is wrong with the request.
fn problems(request: &LeaseRequest) -> Vec<FieldProblem> {
    let LeaseRequest { worker, asks } = request;
    let mut problems = Vec::new();
    if !is_worker_name(worker) {
        problems.push(invalid("worker", format!("must be 1 to {MAX_WORKER_CHARS} visible ASCII characters")));
    }
    if asks.len() > MAX_LEASE_ASKS {
        problems.push(invalid("asks", format!("must be at most {MAX_LEASE_ASKS}")));
        return problems;
    }
    let mut counters = HashSet::new();
    for (place, ask) in asks.iter().enumerate() {
        let at = |field: &str| format!("asks[{place}].{field}");
        if !counters.insert(&ask.counter) {
            problems.push(invalid(at("counter"), "is asked for twice"));
        }
        check_ask(ask, at, &mut problems);
    }
    problems
}

fn check_ask(ask: &LeaseAsk, at: impl Fn(&str) -> String, problems: &mut Vec<FieldProblem>) {
    let LeaseAsk { counter: _, quotas, settle, owed, lease: _, kept, need, want } = ask;
    let is_in_flight = quotas.iter().any(|quota| quota.algorithm == Algorithm::InFlight);
    if !(1..=MAX_QUOTAS).contains(&quotas.len()) {
        problems.push(invalid(at("quotas"), format!("must be 1 to {MAX_QUOTAS}")));
    } else if is_in_flight && quotas.len() > 1 {
        problems.push(invalid(at("quotas"), "must have no other beside in_flight"));
    }
    for (place, quota) in quotas.iter().enumerate() {
        if let Some((field, message)) = quota.misfit() {
            problems.push(invalid(at(&format!("quotas[{place}].{field}")), message));
        }
    }
    if settle.len() > MAX_SETTLED {
        problems.push(invalid(at("settle"), format!("must be at most {MAX_SETTLED}")));
    }
    if *kept > 0 && !is_in_flight {
        problems.push(invalid(at("kept"), "is for in_flight only"));
    }
    for (field, number) in [("owed", owed), ("kept", kept), ("need", need), ("want", want)] {
        if *number > MAX_REQUESTS {
            problems.push(invalid(at(field), format!("must be at most {MAX_REQUESTS}")));
        }
    }
    for (place, settled) in settle.iter().enumerate() {
        if settled.used > MAX_REQUESTS {
            problems.push(invalid(at(&format!("settle[{place}].used")), format!("must be at most {MAX_REQUESTS}")));
        }
    }
}
