//! Limits that single keys have at run time. They live in the feed alone, as rules do.

use session_gate_protocol::{
    LimitKey, LimitOverrideData, MAX_QUOTAS, MAX_REQUESTS, NewLimitOverride, Rule, RuleData, RuleId,
};
use tokio::time::Instant;

use super::{
    Service, ServiceError, Told, invalid,
    rules::{PATIENCE, check_note, end},
};

/// A part of the overrides in force.
#[derive(Debug)]
pub struct OverridePage {
    /// The overrides, in the order of their rules' ids.
    pub overrides: Vec<LimitOverrideData>,
    /// After what to ask for more; none: there are no more.
    pub next: Option<RuleId>,
}

impl Service {
    /// Gives a key of a limit another number of requests, in the place of what it had.
    ///
    /// # Errors
    /// `Invalid`, `StateConflict` where there are too many rules, or those of the store.
    pub async fn override_limit(
        &self,
        key: &LimitKey,
        new: NewLimitOverride,
    ) -> Result<Told<LimitOverrideData>, ServiceError> {
        let NewLimitOverride { requests, duration, note } = new;
        let mut problems = Vec::new();
        let fits = |number: &u64| (1..=MAX_REQUESTS).contains(number);
        if !(1..=MAX_QUOTAS).contains(&requests.len()) || !requests.iter().all(fits) {
            let message = format!("must be 1 to {MAX_QUOTAS} numbers, each 1 to {MAX_REQUESTS}");
            problems.push(invalid("requests", message));
        }
        let until = end(duration, self.now(), &mut problems);
        check_note(note.as_deref(), &mut problems);
        ServiceError::unless_empty(problems)?;
        let Told { done, at } = self.add_rule(Rule::Limit { key: key.to_string(), requests }, until, note).await?;
        let done = shown(done).ok_or_else(|| ServiceError::Internal("a limit's rule is none".into()))?;
        Ok(Told { done, at })
    }

    /// Takes an override back. One that is not there is as good as taken back.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_limit_override(&self, key: &LimitKey) -> Result<Told<()>, ServiceError> {
        self.remove_rule(rule_id(key)).await
    }

    /// The override of that key.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn limit_override(&self, key: &LimitKey) -> Result<Option<LimitOverrideData>, ServiceError> {
        self.tools.feed.catch_up(Instant::now(), PATIENCE).await?;
        Ok(self.tools.feed.rule(&rule_id(key))?.and_then(shown))
    }

    /// The overrides after that rule, `limit` entries at most.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn limit_overrides(&self, after: Option<&RuleId>, limit: usize) -> Result<OverridePage, ServiceError> {
        self.tools.feed.catch_up(Instant::now(), PATIENCE).await?;
        let page = self.tools.feed.limits_after(after, limit)?;
        let next = page.rules.last().map(|rule| rule.rule_id.clone()).filter(|_| page.more);
        Ok(OverridePage { overrides: page.rules.into_iter().filter_map(shown).collect(), next })
    }
}

/// By what the rule with a key's override is known.
fn rule_id(key: &LimitKey) -> RuleId {
    Rule::Limit { key: key.to_string(), requests: Vec::new() }.id()
}

fn shown(rule: RuleData) -> Option<LimitOverrideData> {
    let RuleData { rule, expires_at, note, .. } = rule;
    match rule {
        Rule::Limit { key, requests } => Some(LimitOverrideData { key, requests, expires_at, note }),
        Rule::Address { .. } | Rule::Tokens(_) | Rule::User { .. } | Rule::UserAgent { .. } => None,
    }
}
