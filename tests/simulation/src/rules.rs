//! Rules: users and addresses on the block list, and other issuers' tokens that are revoked.

use std::{collections::HashMap, net::IpAddr};

use session_gate_protocol::{FeedChange, Rule, TokenPattern, UnixSeconds};

use crate::{
    clocks::Millis,
    foreign::ISSUER,
    numbers::{UserNumber, user_number},
    refusal::Refusal,
    words::Words,
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 9] = [
    ("calls", "address blocked"),
    ("calls", "address unblocked"),
    ("calls", "foreign tokens revoked"),
    ("calls", "foreign tokens not revoked"),
    ("calls", "user blocked"),
    ("calls", "user unblocked"),
    ("refused", "blocked"),
    ("rules", "heard of"),
    ("rules", "streams ended"),
];

/// How many addresses clients have. None blocks the first.
pub const ADDRESSES: u8 = 8;
/// By how much walls differ, in seconds, when a rule ends by itself.
const SLACK: u64 = 3;

/// Whom a rule refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Barred {
    /// Clients with that address.
    Address(u8),
    /// Other issuers' tokens of that user.
    Tokens(UserNumber),
    /// A user.
    User(UserNumber),
}

/// Until when a rule refuses, in seconds; none: it does not.
type Until = Option<u64>;

/// All rules that there have been.
#[derive(Debug, Default)]
pub struct Rules {
    /// When each was appended, and until when it refuses.
    words: HashMap<Barred, Words<(Millis, Until)>>,
    ids: HashMap<String, Barred>,
    /// When the store last lost its data: of what was appended before that nobody knows but the sidecars that had read it.
    lost_at: Option<Millis>,
}

/// What a worker was told of rules.
#[derive(Debug, Default)]
pub struct KnownRules(HashMap<Barred, u64>);

/// A client's address.
pub fn address(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

impl Barred {
    /// The id of its rule.
    pub fn rule_id(self) -> Option<String> {
        let rule = match self {
            Self::Address(number) => Rule::Address { network: address(number).to_string().parse().ok()? },
            Self::Tokens(user) => Rule::Tokens(TokenPattern {
                iss: ISSUER.to_owned(),
                jti: None,
                sid: None,
                sub: Some(format!("user-{user}")),
                issued_before: None,
                claims: Default::default(),
            }),
            Self::User(user) => Rule::User { user_id: format!("user-{user}").parse().ok()? },
        };
        Some(rule.id().to_string())
    }

    fn of(rule: &Rule) -> Option<Self> {
        match rule {
            Rule::Address { network } => {
                (0..ADDRESSES).find(|number| network.contains(address(*number))).map(Self::Address)
            }
            Rule::Tokens(pattern) => user_number(&pattern.sub.as_deref()?.parse().ok()?).map(Self::Tokens),
            Rule::User { user_id } => user_number(user_id).map(Self::User),
            Rule::Limit { .. } | Rule::UserAgent { .. } => None,
        }
    }
}

impl Rules {
    /// The feed has that entry, relevant until a moment.
    pub fn applied(&mut self, change: &FeedChange, until: UnixSeconds, now: Millis) {
        let (barred, until) = match change {
            FeedChange::RuleAdded { rule_id, rule, .. } => {
                let Some(barred) = Barred::of(rule) else { return };
                self.ids.insert(rule_id.to_string(), barred);
                (barred, Some(until.0))
            }
            FeedChange::RuleRemoved { rule_id } => match self.by_id(rule_id.as_str()) {
                Some(barred) => (barred, None),
                None => return,
            },
            _ => return,
        };
        self.words.entry(barred).or_insert_with(|| Words::new((0, None))).push((now, until));
    }

    fn by_id(&self, id: &str) -> Option<Barred> {
        self.ids.get(id).copied()
    }

    /// A caller was told that it is so.
    pub fn told(&mut self, barred: Barred, is_refused: bool, call: Refusal) {
        if let Some(words) = self.words.get_mut(&barred) {
            // What it has appended itself, or what was there already. Others may have said otherwise since.
            let lost_at = self.lost_at;
            let is_meant =
                |at: Millis, until: &Until| until.is_some() == is_refused && lost_at.is_none_or(|lost| at > lost);
            let is_own = |(at, until): &(Millis, Until)| *at >= call.begun && is_meant(*at, until);
            if words.any(is_own) {
                words.told_first(is_own, call);
            } else {
                words.told(|(at, until)| *at < call.begun && is_meant(*at, until), call);
            }
        }
    }

    /// The store has lost its data, and the feed with it.
    pub fn lost(&mut self, now: Millis) {
        self.lost_at = Some(now);
        self.words.values_mut().for_each(Words::forget_told);
    }

    /// What refuses it now, by a wall that shows so many seconds.
    pub fn refusal(&self, barred: Barred, wall: u64) -> Option<Refusal> {
        self.words.get(&barred)?.refusal(|(_, until)| until.is_none_or(|until| wall + SLACK >= until))
    }

    /// Whether a worker may refuse it.
    pub fn may_refuse(&self, barred: Barred, wall: u64, is_heard: impl Fn(Millis) -> bool) -> bool {
        let permits = |(_, until): &(Millis, Until)| until.is_none_or(|until| wall >= until + SLACK);
        self.words.get(&barred).is_some_and(|words| words.may_refuse(permits, is_heard))
    }
}

impl KnownRules {
    /// It was told of that entry. Answers whether more is refused by it.
    pub fn learn(&mut self, change: &FeedChange, until: UnixSeconds, rules: &Rules) -> bool {
        match change {
            FeedChange::RuleAdded { rule, .. } => {
                let barred = Barred::of(rule);
                barred.into_iter().for_each(|barred| _ = self.0.insert(barred, until.0));
                barred.is_some()
            }
            FeedChange::RuleRemoved { rule_id } => {
                let barred = rules.by_id(rule_id.as_str());
                barred.into_iter().for_each(|barred| _ = self.0.remove(&barred));
                false
            }
            _ => false,
        }
    }

    /// Whether it knows that it is refused, by a wall that shows so many seconds.
    pub fn refuse(&self, barred: Barred, wall: u64) -> bool {
        self.0.get(&barred).is_some_and(|until| wall < *until)
    }
}
