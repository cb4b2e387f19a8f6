//! What the configuration says of limits.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::Value;
use session_gate_protocol::{Algorithm, LimitName, MAX_REQUESTS, Quota};

/// A limit.
#[derive(Debug)]
pub struct Limit {
    /// Its name.
    pub name: LimitName,
    /// What it allows, where nothing else is said.
    pub quotas: Vec<Quota>,
    /// What it counts by.
    pub key: Vec<KeyPart>,
    /// The claim that says how many.
    pub requests_from: Option<RequestsFrom>,
    /// What a request costs.
    pub cost: Cost,
    /// Whether the store is asked for each request.
    pub exact: bool,
    /// Whether it refuses nobody.
    pub shadow: bool,
    /// What happens while the store is away.
    pub on_store_unavailable: OnStoreUnavailable,
}

/// A part of what a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address.
    Address,
    /// A claim's value.
    Claim(String),
    /// A header's value; the name is in lower case.
    Header(String),
    /// The session; without one the user.
    Session,
    /// The user; without one the address.
    User,
}

/// A claim that says how many requests there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestsFrom {
    /// The claim.
    pub claim: String,
    /// What its texts mean; none: it is the number itself.
    pub values: BTreeMap<String, u64>,
}

/// What a request costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// What its answer says in a header; so much is taken off before that is known.
    Answer {
        /// The header, in lower case.
        header: String,
        /// What is taken off at first.
        reserve: u64,
    },
    /// Always that much.
    Fixed(u64),
}

/// What happens while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreUnavailable {
    /// Requests pass.
    Allow,
    /// They are refused.
    Deny,
    /// Each worker admits its part of the limit.
    Share,
}

/// The limits of a route.
#[derive(Clone, Debug, Default)]
pub struct RouteLimits {
    /// For requests with a token, before it is looked at. None of them is one of the others.
    pub before_authentication: Vec<Rc<Limit>>,
    /// For requests without a token.
    pub anonymous: Vec<Rc<Limit>>,
    /// For requests with one.
    pub authenticated: Vec<Rc<Limit>>,
}

/// Which headers tell clients of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitHeaders {
    /// `RateLimit` and `RateLimit-Policy`.
    pub draft: bool,
    /// `X-RateLimit-*`.
    pub x: bool,
}

impl Limit {
    /// Whether it counts streams rather than requests.
    pub fn is_in_flight(&self) -> bool {
        self.quotas.iter().any(|quota| quota.algorithm == Algorithm::InFlight)
    }

    /// What is taken off when the request is admitted.
    pub const fn reserve(&self) -> u64 {
        self.cost.reserve()
    }

    /// Whether it can count a request of which no token is known: by what the client and its headers say, once.
    pub fn needs_no_token(&self) -> bool {
        let is_of_client = |part: &KeyPart| matches!(part, KeyPart::Address | KeyPart::Header(_));
        self.key.iter().all(is_of_client)
            && self.requests_from.is_none()
            && self.cost.header().is_none()
            && !self.is_in_flight()
    }
}

impl Cost {
    /// What is taken off when a request is admitted.
    pub const fn reserve(&self) -> u64 {
        match self {
            Self::Answer { reserve, .. } => *reserve,
            Self::Fixed(cost) => *cost,
        }
    }

    /// The header that says it.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Answer { header, .. } => Some(header),
            Self::Fixed(_) => None,
        }
    }
}

impl RequestsFrom {
    /// How many the claim's value allows; none where it says nothing that could be used.
    pub fn requests(&self, value: &Value) -> Option<u64> {
        let requests = match value {
            Value::String(text) if !self.values.is_empty() => self.values.get(text).copied(),
            Value::String(text) => text.parse().ok(),
            number if self.values.is_empty() => number.as_u64(),
            _ => None,
        };
        requests.filter(|requests| (1..=MAX_REQUESTS).contains(requests))
    }
}

impl RouteLimits {
    /// Those for a request with a token, or without.
    pub fn of(&self, has_token: bool) -> &[Rc<Limit>] {
        if has_token { &self.authenticated } else { &self.anonymous }
    }

    fn all(&self) -> impl Iterator<Item = &Limit> {
        [&self.before_authentication, &self.anonymous, &self.authenticated].into_iter().flatten().map(Rc::as_ref)
    }

    /// The headers of answers that say what a request costs, in lower case.
    pub fn cost_headers(&self) -> impl Iterator<Item = &str> {
        self.all().filter_map(|limit| limit.cost.header())
    }

    /// The headers by which some of them count, in lower case.
    pub fn key_headers(&self) -> impl Iterator<Item = &str> {
        self.all().flat_map(|limit| &limit.key).filter_map(|part| match part {
            KeyPart::Header(name) => Some(name.as_str()),
            KeyPart::Address | KeyPart::Claim(_) | KeyPart::Session | KeyPart::User => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_says_how_many_or_nothing() {
        let plans = RequestsFrom { claim: "plan".into(), values: [("pro".to_owned(), 5_000)].into() };
        assert_eq!(plans.requests(&json!("pro")), Some(5_000));
        for value in [json!("free"), json!(5_000), json!(null), json!(["pro"])] {
            assert_eq!(plans.requests(&value), None, "{value}");
        }
        let number = RequestsFrom { claim: "rate".into(), values: BTreeMap::new() };
        assert_eq!(number.requests(&json!(7)), Some(7));
        assert_eq!(number.requests(&json!("7")), Some(7));
        for value in [json!(0), json!(-1), json!(1.5), json!(2_000_000_000), json!("many"), json!(true)] {
            assert_eq!(number.requests(&value), None, "{value}");
        }
    }
}
