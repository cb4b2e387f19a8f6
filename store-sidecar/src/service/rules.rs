//! Rules that requests are refused for: the block list, and revoked tokens of other issuers. They live in
//! the feed alone.

use std::time::Duration;

use serde_json::Value;
use session_gate_protocol::{
    FeedChange, FieldProblem, MAX_LEEWAY, NewBlock, NewRevocation, Rule, RuleData, RuleId, TokenPattern, UnixSeconds,
};
use tokio::time::Instant;

use super::{Service, ServiceError, Told, invalid};
use crate::{
    feed::RulePage,
    store::{MAX_LIFETIME, MAX_STANDING_RULES, NewFeedEntry, StoreErrorKind, UNLIMITED},
};

const MAX_NOTE_BYTES: usize = 256;

/// What a part of a `User-Agent` may be: a shorter one is in most of them.
const USER_AGENT_CHARS: std::ops::RangeInclusive<usize> = 3..=256;

/// Longest text that a pattern compares with, and longest pattern, in bytes: workers keep all of them.
const MAX_TEXT_BYTES: usize = 256;
const MAX_PATTERN_BYTES: usize = 2048;
const MAX_CLAIMS: usize = 8;

/// How long a reading of the block list waits for the newest: as long as a step of the store may take.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

impl Service {
    /// Puts a client or a user on the block list. The same again replaces its end.
    ///
    /// # Errors
    /// `Invalid`, `StateConflict` where the list is full, or those of the store.
    pub async fn block(&self, new: NewBlock) -> Result<Told<RuleData>, ServiceError> {
        let NewBlock { address, user_id, user_agent, duration, note } = new;
        let mut problems = Vec::new();
        let given = [address.is_some(), user_id.is_some(), user_agent.is_some()];
        if let Some(user_agent) = &user_agent
            && (!USER_AGENT_CHARS.contains(&user_agent.len())
                || !user_agent.bytes().all(|b| (b' '..=b'~').contains(&b)))
        {
            problems.push(invalid("user_agent", "must be 3 to 256 visible ASCII characters and blanks"));
        }
        let rule = match (address, user_id, user_agent) {
            (Some(network), ..) => Some(Rule::Address { network }),
            (_, Some(user_id), _) => Some(Rule::User { user_id }),
            (.., Some(contains)) => Some(Rule::UserAgent { contains: Rule::user_agent_form(&contains) }),
            (None, None, None) => {
                problems.push(invalid("address", "is needed, or user_id or user_agent"));
                None
            }
        };
        let fields = ["address", "user_id", "user_agent"].into_iter().zip(given).filter(|(_, given)| *given);
        let mut fields = fields.map(|(field, _)| field);
        if let Some(first) = fields.next() {
            problems.extend(fields.map(|field| invalid(field, format!("is given beside {first}"))));
        }
        let until = end(duration, self.now(), &mut problems);
        check_note(note.as_deref(), &mut problems);
        match rule {
            Some(rule) if problems.is_empty() => self.add_rule(rule, until, note).await,
            _ => Err(ServiceError::Invalid(problems)),
        }
    }

    /// Revokes tokens of another issuer. The same again replaces its end.
    ///
    /// # Errors
    /// `Invalid`, `StateConflict` where there is no room for more, or those of the store.
    pub async fn revoke_foreign(&self, new: NewRevocation) -> Result<Told<RuleData>, ServiceError> {
        let NewRevocation { iss, jti, sid, sub, issued_before, claims, duration, note } = new;
        let mut problems = Vec::new();
        match &iss {
            None => problems.push(invalid("iss", "is missing")),
            Some(iss) if *iss == self.tokens.issuer => {
                let message = "is this service's own: revoke its tokens at /v1/tokens/revoke, or end their session";
                problems.push(invalid("iss", message));
            }
            Some(_) => {}
        }
        let until = match duration {
            Some(duration) => self.now().after(lifetime(duration, &mut problems)).after(MAX_LEEWAY),
            None => {
                problems.push(invalid("duration", "is missing"));
                UnixSeconds(0)
            }
        };
        for (field, text) in [("iss", &iss), ("jti", &jti), ("sid", &sid), ("sub", &sub)] {
            if text.as_ref().is_some_and(|text| !is_text(text)) {
                problems.push(invalid(field, format!("must be 1 to {MAX_TEXT_BYTES} bytes")));
            }
        }
        let pattern = TokenPattern { iss: iss.unwrap_or_default(), jti, sid, sub, issued_before, claims };
        check_pattern(&pattern, &mut problems);
        check_note(note.as_deref(), &mut problems);
        ServiceError::unless_empty(problems)?;
        self.add_rule(Rule::Tokens(pattern), until, note).await
    }

    /// Removes a rule. One that is not there is as good as removed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_rule(&self, rule_id: RuleId) -> Result<Told<()>, ServiceError> {
        let change = FeedChange::RuleRemoved { rule_id };
        let at = self.tell(vec![NewFeedEntry { until: UNLIMITED, change }]).await?;
        Ok(Told { done: (), at: Some(at) })
    }

    /// The block list after that rule, `limit` entries at most.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn blocks(&self, after: Option<&RuleId>, limit: usize) -> Result<RulePage, ServiceError> {
        self.tools.feed.catch_up(Instant::now(), PATIENCE).await?;
        Ok(self.tools.feed.blocks_after(after, limit)?)
    }

    pub(super) async fn add_rule(
        &self,
        rule: Rule,
        until: UnixSeconds,
        note: Option<String>,
    ) -> Result<Told<RuleData>, ServiceError> {
        let rule_id = rule.id();
        let change = FeedChange::RuleAdded { rule_id: rule_id.clone(), rule: rule.clone(), note: note.clone() };
        let at = match self.tell(vec![NewFeedEntry { until, change }]).await {
            Err(ServiceError::Store(error)) if error.kind() == StoreErrorKind::Full => {
                return Err(ServiceError::StateConflict(format!(
                    "there are {MAX_STANDING_RULES} rules already that last longer than tokens do: remove some"
                )));
            }
            at => at?,
        };
        let expires_at = (until < UNLIMITED).then_some(until);
        Ok(Told { done: RuleData { rule_id, rule, expires_at, note }, at: Some(at) })
    }
}

/// When a rule ends that is to last for so many seconds, or until it is removed.
pub(super) fn end(duration: Option<u64>, now: UnixSeconds, problems: &mut Vec<FieldProblem>) -> UnixSeconds {
    duration.map_or(UNLIMITED, |duration| now.after(lifetime(duration, problems)))
}

fn lifetime(duration: u64, problems: &mut Vec<FieldProblem>) -> Duration {
    let longest = MAX_LIFETIME.as_secs();
    if duration == 0 || duration > longest {
        problems.push(invalid("duration", format!("must be 1 to {longest} seconds")));
    }
    Duration::from_secs(duration.min(longest))
}

pub(super) fn check_note(note: Option<&str>, problems: &mut Vec<FieldProblem>) {
    if note.is_some_and(|note| note.len() > MAX_NOTE_BYTES) {
        problems.push(invalid("note", format!("must be at most {MAX_NOTE_BYTES} bytes long")));
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len())
}

fn check_pattern(pattern: &TokenPattern, problems: &mut Vec<FieldProblem>) {
    let TokenPattern { iss: _, jti, sid, sub, issued_before, claims } = pattern;
    let names_none = jti.is_none() && sid.is_none() && sub.is_none() && issued_before.is_none() && claims.is_empty();
    if names_none {
        problems.push(invalid("jti", "is needed, or sid, sub, issued_before or claims"));
    }
    if claims.len() > MAX_CLAIMS {
        problems.push(invalid("claims", format!("must have at most {MAX_CLAIMS} members")));
        return;
    }
    for (name, value) in claims {
        let fits = match value {
            Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => text.len() <= MAX_TEXT_BYTES,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        if !is_text(name) || !fits {
            let message = format!(
                "must be a text of at most {MAX_TEXT_BYTES} bytes, a number or a truth value, under a name of as many"
            );
            problems.push(invalid(format!("claims.{name}"), message));
        }
    }
    if serde_json::to_vec(pattern).is_ok_and(|json| json.len() > MAX_PATTERN_BYTES) && problems.is_empty() {
        problems
            .push(invalid("claims", format!("must be less: all in all {MAX_PATTERN_BYTES} bytes of JSON are allowed")));
    }
}
