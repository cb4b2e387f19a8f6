//! Other limits for single keys, as far as this replica knows the feed; and among how many workers what is
//! left is shared.

use std::time::Duration;

use session_gate_protocol::{LimitOverrideData, Rule, RuleData, RuleId};
use tokio::time::Instant;

use super::{
    handle::Feed,
    rules_in_force::{rule_in_force, rules_in_force, shown},
};
use crate::store::StoreError;

/// How often the other replicas' followers are counted, while workers ask for leases: as often as these
/// tell of them.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// A part of the keys that have limits of their own.
#[derive(Debug)]
pub struct OverridePage {
    /// What they have, in the order of the keys.
    pub overrides: Vec<LimitOverrideData>,
    /// Whether there are more.
    pub more: bool,
}

impl Feed {
    /// The limits of single keys after that key, `limit` of them at most.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn overrides_after(&self, after: Option<&str>, limit: usize) -> Result<OverridePage, StoreError> {
        self.known(|known| {
            let mut overrides: Vec<_> =
                rules_in_force(known).filter_map(|(id, held)| as_override(shown(id, held))).collect();
            overrides.retain(|one| after.is_none_or(|after| one.key.as_str() > after));
            overrides.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            let more = overrides.len() > limit;
            overrides.truncate(limit);
            OverridePage { overrides, more }
        })
    }

    /// The limit of a single key, by the id of its rule.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn limit_override(&self, id: &RuleId) -> Result<Option<LimitOverrideData>, StoreError> {
        self.known(|known| rule_in_force(known, id).and_then(|held| as_override(shown(id, held))))
    }

    /// How many workers follow the feed, over all replicas, as far as is known without waiting; at least 1.
    pub fn crowd(&self) -> u64 {
        let now = Instant::now();
        let mut crowd = self.shared.crowd();
        if crowd.asked.is_none_or(|asked| now >= asked + COUNT_EVERY) {
            if crowd.asked.is_none() {
                crowd.count = count(self.shared.registry().list("", now, true).len());
            }
            crowd.asked = Some(now);
            let shared = std::sync::Arc::clone(&self.shared);
            tokio::spawn(async move {
                // If the store is away, the number that was known will do.
                if let Ok(others) = shared.store.followers().await {
                    shared.crowd().count = count(shared.view(others).trusting());
                }
            });
        }
        crowd.count.max(1)
    }
}

fn count(workers: usize) -> u64 {
    u64::try_from(workers).unwrap_or(u64::MAX)
}

/// The rule as an override, if it is one.
fn as_override(rule: RuleData) -> Option<LimitOverrideData> {
    let RuleData { rule_id: _, rule, expires_at, note } = rule;
    match rule {
        Rule::Limit { key, requests } => Some(LimitOverrideData { key, requests, expires_at, note }),
        _ => None,
    }
}
