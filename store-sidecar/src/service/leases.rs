//! Leases of rate limits.

use std::collections::HashSet;

use futures_util::future::join_all;
use session_gate_protocol::{
    Algorithm, FieldProblem, LeaseAsk, LeaseGrant, LeaseReply, LeaseRequest, MAX_LEASE_ASKS, MAX_QUOTAS, MAX_REQUESTS,
    MAX_SETTLED, Quota,
};

use super::{Service, ServiceError, invalid};

impl Service {
    /// Settles leases, and leases what there is: one step for each counter, all of them at the same time.
    ///
    /// # Errors
    /// `Invalid`, or those of the store where it has answered about no counter at all.
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeaseReply, ServiceError> {
        let LeaseRequest { worker, asks } = request;
        ServiceError::unless_empty(problems(asks))?;
        let metrics = &self.tools.metrics;
        let steps = asks.iter().map(async |ask| {
            let leased = self.tools.store.lease(worker, ask).await;
            metrics.lease_asked(ask, leased.as_ref().ok());
            leased
        });
        let steps = join_all(steps).await;
        let (mut grants, mut failure, mut answers) = (Vec::with_capacity(steps.len()), None, 0);
        for step in steps {
            grants.push(match step {
                Ok(leased) => {
                    answers += 1;
                    LeaseGrant::Lease(leased.lease)
                }
                Err(error) => {
                    failure = Some(error);
                    LeaseGrant::Unavailable
                }
            });
        }
        match failure {
            Some(error) if answers == 0 => Err(error.into()),
            _ => Ok(LeaseReply { workers: self.tools.feed.worker_count().await, grants }),
        }
    }
}

fn problems(asks: &[LeaseAsk]) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if asks.len() > MAX_LEASE_ASKS {
        problems.push(invalid("asks", format!("must have at most {MAX_LEASE_ASKS} elements")));
        return problems;
    }
    let mut counters = HashSet::new();
    for (place, ask) in asks.iter().enumerate() {
        let field = |name: &str| format!("asks[{place}].{name}");
        if !counters.insert(&ask.counter) {
            problems.push(invalid(field("counter"), "is asked about twice"));
        }
        check_quotas(&ask.quotas, &field("quotas"), &mut problems);
        if ask.settle.len() > MAX_SETTLED {
            problems.push(invalid(field("settle"), format!("must have at most {MAX_SETTLED} elements")));
        }
        let numbers = [("owed", ask.owed), ("kept", ask.kept), ("need", ask.need), ("want", ask.want)];
        for (name, _) in numbers.into_iter().filter(|(_, number)| *number > MAX_REQUESTS) {
            problems.push(invalid(field(name), format!("must be at most {MAX_REQUESTS}")));
        }
    }
    problems
}

fn check_quotas(quotas: &[Quota], path: &str, problems: &mut Vec<FieldProblem>) {
    if !(1..=MAX_QUOTAS).contains(&quotas.len()) {
        problems.push(invalid(path, format!("must have 1 to {MAX_QUOTAS} elements")));
    }
    for (place, quota) in quotas.iter().enumerate() {
        let path = format!("{path}[{place}]");
        if !quota.is_valid() {
            problems.push(invalid(path, "has a number that its algorithm does not allow"));
        } else if quota.algorithm == Algorithm::InFlight && quotas.len() > 1 {
            problems.push(invalid(path, "must be the only quota, for it is in_flight"));
        }
    }
}
