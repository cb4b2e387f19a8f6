//! Rules that requests are refused for: the block list, and revoked tokens of other issuers. They live in
//! the feed alone.

use std::time::Duration;

use serde_json::Value;
use session_gate_protocol::{
    FeedChange, FieldProblem, MAX_LEEWAY, Network, NewBlock, NewRevocation, Rule, RuleData, RuleId, TokenPattern,
    UnixSeconds,
};
use tokio::time::Instant;

use super::{Service, ServiceError, Told, input::invalid};
use crate::{
    feed::RulePage,
    store::{MAX_LIFETIME, MAX_STANDING_RULES, NewFeedEntry, StoreErrorKind, UNLIMITED},
};

const MAX_NOTE_BYTES: usize = 256;

/// Rules of all kinds that may be in force, however short: each worker holds them.
pub const MAX_RULES: usize = 2 * MAX_STANDING_RULES;

/// Longest part of a `User-Agent`, in characters.
const MAX_USER_AGENT_CHARS: usize = 256;

/// A shorter part is in many of them.
const FEW_CHARS: usize = 6;

/// Ranges of addresses as wide as these, or wider, are a large part of the internet.
const WIDE_PREFIX_V4: u8 = 7;
const WIDE_PREFIX_V6: u8 = 15;

/// What browsers send, in lower case and with `0` for each number, since versions rise: a part of this refuses most
/// people, or all of one kind of device.
const BROWSERS: [&str; 10] = [
    "mozilla/0.0 (windows nt 0.0; win0; x0) applewebkit/0.0 (khtml, like gecko) chrome/0.0.0.0 safari/0.0 edg/0.0.0.0",
    "mozilla/0.0 (windows nt 0.0; win0; x0; rv:0.0) gecko/0 firefox/0.0",
    "mozilla/0.0 (linux; android 0; k) applewebkit/0.0 (khtml, like gecko) chrome/0.0.0.0 mobile safari/0.0",
    "mozilla/0.0 (android 0; mobile; rv:0.0) gecko/0.0 firefox/0.0",
    "mozilla/0.0 (macintosh; intel mac os x 0_0_0) applewebkit/0.0.0 (khtml, like gecko) version/0.0 safari/0.0.0",
    "mozilla/0.0 (x0; linux x0_0; rv:0.0) gecko/0 firefox/0.0",
    "mozilla/0.0 (iphone; cpu iphone os 0_0 like mac os x) applewebkit/0.0.0 (khtml, like gecko) version/0.0 mobile/0e0 safari/0.0",
    "mozilla/0.0 (ipad; cpu os 0_0 like mac os x) applewebkit/0.0.0 (khtml, like gecko) version/0.0 mobile/0e0 safari/0.0",
    "mozilla/0.0 (iphone; cpu iphone os 0_0 like mac os x) applewebkit/0.0.0 (khtml, like gecko) crios/0.0.0.0 mobile/0e0 safari/0.0",
    "mozilla/0.0 (iphone; cpu iphone os 0_0 like mac os x) applewebkit/0.0.0 (khtml, like gecko) fxios/0.0 mobile/0e0 safari/0.0",
];

/// What kind of rule it is, and so where it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// An entry of the block list.
    Block,
    /// Another limit for one key.
    Override,
    /// Tokens of another issuer that are revoked.
    Revocation,
}

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
        let NewBlock { address, user_id, user_agent, force, duration, note } = new;
        let mut problems = Vec::new();
        let given = [address.is_some(), user_id.is_some(), user_agent.is_some()];
        if let Some(user_agent) = &user_agent
            && (!(1..=MAX_USER_AGENT_CHARS).contains(&user_agent.len())
                || !user_agent.bytes().all(|b| (b' '..=b'~').contains(&b)))
        {
            problems.push(invalid("user_agent", "must be 1 to 256 visible ASCII characters and spaces"));
        } else if !force {
            problems.extend(user_agent.as_deref().filter(|part| refuses_many(part)).map(|_| {
                invalid("user_agent", "is a part of what many clients send: add \"force\": true to refuse all of them")
            }));
            problems.extend(address.filter(|network| is_wide(*network)).map(|_| {
                let message = "is wider than /8 (IPv4) or /16 (IPv6): add \"force\": true to refuse all of it";
                invalid("address", message)
            }));
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
        let until = duration.map_or(UNLIMITED, |duration| self.now().after(lifetime(duration, &mut problems)));
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

    /// Removes a rule of that kind. One that is not there is as good as removed, and nobody is told.
    ///
    /// # Errors
    /// `RuleOfAnotherKind`, or those of the store.
    pub async fn remove_rule(&self, kind: RuleKind, rule_id: RuleId) -> Result<Told<()>, ServiceError> {
        let feed = &self.tools.feed;
        feed.catch_up(Instant::now(), PATIENCE).await?;
        match feed.rule(&rule_id)?.as_ref().map(RuleKind::of) {
            Some(found) if found == kind => {}
            // Those have keys, not ids.
            Some(RuleKind::Override) | None => return Ok(Told { done: (), at: Some(feed.end().await?) }),
            Some(other) => return Err(ServiceError::RuleOfAnotherKind { removed_at: other.removed_at() }),
        }
        let change = FeedChange::RuleRemoved { rule_id };
        let at = self.tell(vec![NewFeedEntry { until: UNLIMITED, change }]).await?;
        Ok(Told { done: (), at: Some(at) })
    }

    /// The block list after that rule, `limit` entries at most; while the store is away, as it was known last.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read.
    pub async fn blocks(&self, after: Option<&RuleId>, limit: usize) -> Result<RulePage, ServiceError> {
        self.tools.feed.try_catch_up(Instant::now(), PATIENCE).await?;
        Ok(self.tools.feed.blocks_after(after, limit)?)
    }

    pub(super) async fn add_rule(
        &self,
        rule: Rule,
        until: UnixSeconds,
        note: Option<String>,
    ) -> Result<Told<RuleData>, ServiceError> {
        let rule_id = rule.id();
        // Workers hold all of them. What other replicas add at this very moment comes on top.
        let feed = &self.tools.feed;
        if feed.rule_count().unwrap_or_default() >= MAX_RULES && !feed.rule(&rule_id).is_ok_and(|known| known.is_some())
        {
            return Err(ServiceError::StateConflict(format!("Rule limit ({MAX_RULES}) reached: remove some")));
        }
        let change = FeedChange::RuleAdded { rule_id: rule_id.clone(), rule: rule.clone(), note: note.clone() };
        let at = match self.tell(vec![NewFeedEntry { until, change }]).await {
            Err(ServiceError::Store(error)) if error.kind() == StoreErrorKind::Full => {
                return Err(ServiceError::StateConflict(format!(
                    "Persistent rule limit ({MAX_STANDING_RULES}; rules that last longer than tokens do) reached: remove some"
                )));
            }
            at => at?,
        };
        let expires_at = (until < UNLIMITED).then_some(until);
        Ok(Told { done: RuleData { rule_id, rule, expires_at, note }, at: Some(at) })
    }
}

impl RuleKind {
    fn of(rule: &Rule) -> Self {
        match rule {
            Rule::Address { .. } | Rule::User { .. } | Rule::UserAgent { .. } => Self::Block,
            Rule::Limit { .. } => Self::Override,
            Rule::Tokens(_) => Self::Revocation,
        }
    }

    const fn removed_at(self) -> &'static str {
        match self {
            Self::Block => "/v1/blocks",
            Self::Override => "/v1/limits/overrides",
            Self::Revocation => "/v1/revocations",
        }
    }
}

/// Whether a large part of the internet is in that range.
fn is_wide(network: Network) -> bool {
    let range = network.range();
    range.prefix_len() <= if range.addr().is_ipv4() { WIDE_PREFIX_V4 } else { WIDE_PREFIX_V6 }
}

/// Whether a `User-Agent` with that part is common.
fn refuses_many(part: &str) -> bool {
    let form = Rule::user_agent_form(part);
    let numberless = without_numbers(&form);
    form.trim().len() < FEW_CHARS || BROWSERS.iter().any(|browser| browser.contains(&numberless))
}

/// The text with `0` in place of each number.
fn without_numbers(text: &str) -> String {
    let mut is_number = false;
    let digits = |c: char| {
        let was_number = std::mem::replace(&mut is_number, c.is_ascii_digit());
        if is_number { (!was_number).then_some('0') } else { Some(c) }
    };
    text.chars().filter_map(digits).collect()
}

pub(super) fn lifetime(duration: u64, problems: &mut Vec<FieldProblem>) -> Duration {
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
