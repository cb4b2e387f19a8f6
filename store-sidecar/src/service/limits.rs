//! Other limits for single keys: rules in the feed that refuse nobody by themselves.

use session_gate_protocol::{
    FieldProblem, LimitKey, LimitOverrideData, MAX_QUOTAS, MAX_REQUESTS, NewLimitOverride, Rule, RuleData, RuleId,
};
use tokio::time::Instant;

use super::{
    Service, ServiceError, Told,
    input::invalid,
    rules::{PATIENCE, RuleKind, check_note, lifetime},
};
use crate::{feed::OverridePage, store::UNLIMITED};

impl Service {
    /// Gives a key another limit, in the place of what it had. The key is brought into the form in which limits count.
    ///
    /// # Errors
    /// `Invalid`, `StateConflict` where there is no room for more, or those of the store.
    pub async fn override_limit(
        &self,
        key: &LimitKey,
        new: NewLimitOverride,
    ) -> Result<Told<LimitOverrideData>, ServiceError> {
        let NewLimitOverride { requests, duration, note } = new;
        let mut problems: Vec<FieldProblem> = Vec::new();
        let key = key.clone().counted().unwrap_or_else(|found| {
            problems.extend(found);
            key.clone()
        });
        if !(1..=MAX_QUOTAS).contains(&requests.len()) {
            problems.push(invalid("requests", format!("must be 1 to {MAX_QUOTAS} numbers")));
        }
        for (place, number) in requests.iter().enumerate() {
            if !(1..=MAX_REQUESTS).contains(number) {
                problems.push(invalid(format!("requests[{place}]"), format!("must be 1 to {MAX_REQUESTS}")));
            }
        }
        let until = duration.map_or(UNLIMITED, |duration| self.now().after(lifetime(duration, &mut problems)));
        check_note(note.as_deref(), &mut problems);
        ServiceError::unless_empty(problems)?;
        let told = self.add_rule(Rule::Limit { key: key.to_string(), requests: requests.clone() }, until, note).await?;
        Ok(told.map(|RuleData { expires_at, note, .. }| LimitOverrideData {
            key: key.to_string(),
            requests,
            expires_at,
            note,
        }))
    }

    /// Takes a key's own limit away. One that is not there is as good as removed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_override(&self, key: &LimitKey) -> Result<Told<()>, ServiceError> {
        self.remove_rule(RuleKind::Override, rule_of(key)).await
    }

    /// A key's own limit, if it has one; while the store is away, as it was known last.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read.
    pub async fn limit_override(&self, key: &LimitKey) -> Result<Option<LimitOverrideData>, ServiceError> {
        self.tools.feed.try_catch_up(Instant::now(), PATIENCE).await?;
        Ok(self.tools.feed.limit_override(&rule_of(key))?)
    }

    /// The keys with limits of their own after that one, `limit` entries at most; while the store is away, as it was
    /// known last.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read.
    pub async fn limit_overrides(&self, after: Option<&str>, limit: usize) -> Result<OverridePage, ServiceError> {
        self.tools.feed.try_catch_up(Instant::now(), PATIENCE).await?;
        Ok(self.tools.feed.overrides_after(after, limit)?)
    }
}

/// The id of the rule that is the key's limit. One that cannot be counted by has none, whatever is asked.
fn rule_of(key: &LimitKey) -> RuleId {
    let key = key.clone().counted().unwrap_or_else(|_| key.clone());
    Rule::Limit { key: key.to_string(), requests: Vec::new() }.id()
}
