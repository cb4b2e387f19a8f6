//! The counters of rate limits in Redis: each a string of its own, beside the index of its part.

use std::time::Duration;

use session_gate_protocol::{Algorithm, CounterId, Lease, LeaseAsk, Quota, QuotaState};
use tokio::time::{Instant, timeout_at};

use super::client::RedisStore;
use super::scripts;
use super::values::parsed;
use crate::rng::random_id;
use crate::store::limits::{Leased, Parts, is_alike};
use crate::store::{StoreError, StoreErrorKind};

/// How old the salt may be. A Redis that has lost its data gets another one; until all replicas know that,
/// they count apart.
const SALT_MAX_AGE: Duration = Duration::from_secs(1);

/// How often a counter is asked for anew because others have made room for theirs meanwhile.
const MAX_ROOM_ATTEMPTS: u32 = 16;

impl RedisStore {
    pub(super) async fn take_lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        let deadline = self.deadline();
        let parts = self.parts(deadline).await?;
        let part = parts.of(&ask.counter);
        let arguments = arguments(worker, ask, parts.capacity(self.settings.max_counters));
        // Counters that may be forgotten to make room for this one: the script says which, and is told their keys.
        let mut idle: Vec<CounterId> = Vec::new();
        for _ in 0..MAX_ROOM_ATTEMPTS {
            let mut keys = self.keys.counter(part, &ask.counter).to_vec();
            keys.extend(idle.iter().map(|id| self.keys.account(part, id)));
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let ids = idle.iter().map(CounterId::as_str);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(ids).collect();
            let reply: Vec<redis::Value> = self.run(&scripts::LEASE, &keys, &arguments, deadline).await?;
            if !matches!(reply.first(), Some(redis::Value::BulkString(_))) {
                let reply = reply.into_iter().map(parsed).collect::<Result<Vec<u64>, _>>()?;
                return leased(&reply).ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt));
            }
            let id = |value| {
                let id: String = parsed(value)?;
                id.parse().map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))
            };
            idle = reply.into_iter().map(id).collect::<Result<_, _>>()?;
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "others make room for counters at the same time"))
    }

    /// How counters are divided. One caller asks Redis, and all others wait for that, each until its deadline.
    async fn parts(&self, deadline: Instant) -> Result<Parts, StoreError> {
        let known = timeout_at(deadline, self.counter_parts.lock()).await;
        let mut known = known.map_err(|late| StoreError::new(StoreErrorKind::Unavailable, late))?;
        if let Some((parts, _)) = known.as_ref().filter(|(_, read)| read.elapsed() < SALT_MAX_AGE) {
            return Ok(parts.clone());
        }
        let fresh = random_id(&*self.random).map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        let read = Instant::now();
        let salt = self.run(&scripts::SALT, &[&self.keys.salt], &[&fresh], deadline).await?;
        let parts = Parts::new(salt, self.settings.counter_parts);
        *known = Some((parts.clone(), read));
        Ok(parts)
    }
}

/// The script's arguments.
fn arguments(worker: &str, ask: &LeaseAsk, capacity: usize) -> Vec<String> {
    let LeaseAsk { counter, quotas, settle, owed, lease, kept, need, want } = ask;
    let mut arguments = vec![counter.to_string(), capacity.to_string(), worker.to_owned(), lease.to_string()];
    arguments.extend([owed, kept, need, want].map(u64::to_string));
    arguments.push(quotas.len().to_string());
    for (place, quota) in quotas.iter().enumerate() {
        let Quota { algorithm, requests, window_ms, burst: _ } = quota;
        let nth = quotas.iter().take(place).filter(|before| is_alike(before, quota)).count();
        arguments.push(letter(*algorithm).to_owned());
        arguments.extend([*requests, *window_ms, quota.size()].map(|number| number.to_string()));
        arguments.push(nth.to_string());
    }
    arguments.push(settle.len().to_string());
    arguments.extend(settle.iter().flat_map(|settled| [settled.lease.to_string(), settled.used.to_string()]));
    arguments
}

/// How the script calls an algorithm. Stored.
const fn letter(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::FixedWindow => "f",
        Algorithm::InFlight => "i",
        Algorithm::SlidingWindow => "s",
        Algorithm::TokenBucket => "t",
    }
}

/// The script's reply.
fn leased(reply: &[u64]) -> Option<Leased> {
    let (head, states) = reply.split_first_chunk()?;
    let [granted, lifetime_ms, outstanding, retry_ms, again_ms, returned, lapsed, evicted] = *head;
    let states = states.as_chunks().0.iter().map(|[remaining, reset_ms]| (*remaining, *reset_ms));
    let quotas = states.map(|(remaining, reset_ms)| QuotaState { remaining, reset_ms }).collect();
    let lease = Lease { granted, lifetime_ms, outstanding, retry_ms, again_ms, quotas };
    Some(Leased { lease, returned, lapsed, evicted })
}

#[cfg(test)]
mod tests;
