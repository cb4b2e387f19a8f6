use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Fingerprint, Network, UnixSeconds, UserId, id::text_type};

text_type!(
    /// What a rule is known by: made from what it says, so that the same rule is never there twice.
    RuleId,
    "a rule's id",
    "16 base64url characters",
    |text| text.len() == 16 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);

impl std::fmt::Debug for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RuleId({})", self.0)
    }
}

/// What holds for requests until it is over or taken back: an entry of the block list, tokens of another
/// issuer that are revoked, or another limit for one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// Clients with such an address.
    Address {
        /// The addresses.
        network: Network,
    },
    /// Another limit for one key: refuses nobody by itself.
    Limit {
        /// What the limit counts by: the text of a [`LimitKey`](crate::LimitKey).
        key: String,
        /// How many requests each quota of the limit allows this key, in their order.
        requests: Vec<u64>,
    },
    /// Tokens that match.
    Tokens(TokenPattern),
    /// A user, whoever issued the token.
    User {
        /// The token's `sub`.
        user_id: UserId,
    },
    /// Clients with such a `User-Agent`.
    UserAgent {
        /// A part of it; upper and lower case are alike.
        contains: String,
    },
}

/// Which tokens of another issuer are revoked: those to which everything applies that is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenPattern {
    /// Who issued them.
    pub iss: String,
    /// The token with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Tokens of this session of the issuer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Tokens of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Tokens issued (`iat`) before this moment. A token without `iat` was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<UnixSeconds>,
    /// Tokens with these claims: the value itself, or an array that has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub claims: BTreeMap<String, Value>,
}

impl Rule {
    /// The id of this rule.
    pub fn id(&self) -> RuleId {
        let fingerprint = match self {
            // One key has one limit at a time.
            Self::Limit { key, .. } => Fingerprint::of_limit_key(key),
            // Members have one order, so a rule has one text.
            _ => Fingerprint::of_rule(&serde_json::to_string(self).unwrap_or_default()),
        };
        RuleId(fingerprint.to_string())
    }

    /// Whether it is on the block list: then it concerns a client or a user, whatever the token.
    pub const fn is_block(&self) -> bool {
        match self {
            Self::Address { .. } | Self::User { .. } | Self::UserAgent { .. } => true,
            Self::Limit { .. } | Self::Tokens(_) => false,
        }
    }

    /// The `User-Agent` as rules are compared with: in lower case.
    pub fn user_agent_form(user_agent: &str) -> String {
        user_agent.to_ascii_lowercase()
    }
}

impl TokenPattern {
    /// Whether everything that is given applies to a verified token with these claims. A token that says
    /// nothing readable of when it was issued was issued before any moment.
    pub fn matches(&self, claims: &Map<String, Value>) -> bool {
        let Self { iss, jti, sid, sub, issued_before, claims: wanted } = self;
        let says = |name: &str, text: &str| claims.get(name).and_then(Value::as_str) == Some(text);
        let agrees = |name: &str, text: &Option<String>| text.as_deref().is_none_or(|text| says(name, text));
        let has = |(name, value): (&String, &Value)| claims.get(name).is_some_and(|found| holds(found, value));
        says("iss", iss)
            && agrees("jti", jti)
            && agrees("sid", sid)
            && agrees("sub", sub)
            && issued_before.is_none_or(|moment| was_issued_before(claims.get("iat"), moment))
            && wanted.iter().all(has)
    }
}

fn was_issued_before(iat: Option<&Value>, moment: UnixSeconds) -> bool {
    match iat.and_then(Value::as_number) {
        // A NumericDate may have a fraction (RFC 7519, section 2): no such moment needs all of a
        // number's digits.
        Some(iat) => {
            iat.as_u64().map_or_else(|| iat.as_f64().is_none_or(|iat| iat < moment.0 as f64), |iat| iat < moment.0)
        }
        None => true,
    }
}

/// Whether `found` is that value, or an array that has it.
fn holds(found: &Value, value: &Value) -> bool {
    let is_alike = |found: &Value| match (found, value) {
        // 1 and 1.0 are one number in JSON.
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()),
        _ => found == value,
    };
    is_alike(found) || found.as_array().is_some_and(|items| items.iter().any(is_alike))
}

/// Body of `POST /v1/blocks`: exactly one of `address`, `user_id` and `user_agent`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NewBlock {
    /// Refuse clients with this address, or with one in this range.
    pub address: Option<Network>,
    /// Refuse this user.
    pub user_id: Option<UserId>,
    /// Refuse clients whose `User-Agent` contains this: 1 to 256 visible ASCII characters and spaces,
    /// upper and lower case alike.
    pub user_agent: Option<String>,
    /// Whether to refuse a large part of all clients: a range of addresses wider than /8 (IPv4) or /16
    /// (IPv6), a part of a `User-Agent` of fewer than 6 characters, or one that common browsers send.
    pub force: bool,
    /// For how many seconds; none: until it is removed.
    pub duration: Option<u64>,
    /// Why, for whoever reads the list: at most 256 bytes.
    pub note: Option<String>,
}

/// Body of `POST /v1/revocations`: which tokens of another issuer are revoked. At least one of `jti`,
/// `sid`, `sub`, `issued_before` and `claims`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NewRevocation {
    /// Who issued them, as the filter's configuration names it. Required.
    pub iss: Option<String>,
    /// The token with this id.
    pub jti: Option<String>,
    /// Tokens of this session of the issuer's.
    pub sid: Option<String>,
    /// Tokens of this user.
    pub sub: Option<String>,
    /// Tokens issued before this moment.
    pub issued_before: Option<UnixSeconds>,
    /// Tokens with these claims; each value a text, a number or a truth value.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub claims: BTreeMap<String, Value>,
    /// For how many seconds: as long as any of these tokens can still be accepted. Required.
    pub duration: Option<u64>,
    /// Why, for whoever reads the list: at most 256 bytes.
    pub note: Option<String>,
}

/// A rule in force, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleData {
    /// Its id, by which it is removed.
    pub rule_id: RuleId,
    /// What it refuses.
    pub rule: Rule,
    /// Until when; none: until it is removed.
    pub expires_at: Option<UnixSeconds>,
    /// Why.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_has_one_id_and_one_form() {
        let read = |text: &str| serde_json::from_str::<Rule>(text).unwrap();
        let rule = read(r#"{"kind":"tokens","sub":"a","iss":"https://idp","claims":{"b":1,"a":"x"}}"#);
        let same = read(r#"{"claims":{"a":"x","b":1},"iss":"https://idp","kind":"tokens","sub":"a"}"#);
        assert_eq!(rule.id(), same.id());
        assert_ne!(rule.id(), read(r#"{"kind":"tokens","iss":"https://idp","sub":"b"}"#).id());
        let text = r#"{"kind":"address","network":"192.0.2.0/24"}"#;
        assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
        assert!(serde_json::from_str::<Rule>(r#"{"kind":"address","network":"here"}"#).is_err());
        // Stored: a change here makes every rule unknown to whoever wants to remove it.
        assert_eq!(read(text).id().as_str().len(), 16);
    }

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn revokes(rule: &Rule, claims: &Map<String, Value>) -> bool {
        matches!(rule, Rule::Tokens(pattern) if pattern.matches(claims))
    }

    #[test]
    fn a_pattern_matches_where_all_that_it_names_applies() {
        let token = claims(json!({
            "iss": "https://idp", "sub": "alice", "sid": "s1", "jti": "j1", "iat": 1_000,
            "tenant": "acme", "groups": ["staff", "ops"], "level": 2, "beta": true,
        }));
        let matches = |mut pattern: Value| {
            pattern["kind"] = json!("tokens");
            pattern["iss"] = pattern.get("iss").cloned().unwrap_or(json!("https://idp"));
            revokes(&serde_json::from_value::<Rule>(pattern).unwrap(), &token)
        };
        for pattern in [
            json!({ "jti": "j1" }),
            json!({ "sid": "s1", "sub": "alice" }),
            json!({ "issued_before": 1_001 }),
            json!({ "claims": { "tenant": "acme" } }),
            json!({ "claims": { "groups": "ops", "level": 2, "beta": true } }),
            json!({ "claims": { "level": 2.0 } }),
            json!({ "sub": "alice", "issued_before": 2_000, "claims": { "tenant": "acme" } }),
        ] {
            assert!(matches(pattern.clone()), "{pattern}");
        }
        for pattern in [
            json!({ "iss": "https://other", "jti": "j1" }),
            json!({ "iss": "https://idp/", "jti": "j1" }),
            json!({ "jti": "J1" }),
            json!({ "jti": "j1", "sub": "bob" }),
            json!({ "sid": "s2" }),
            json!({ "issued_before": 1_000 }),
            json!({ "sub": "alice", "issued_before": 999 }),
            json!({ "claims": { "tenant": "acme", "groups": "root" } }),
            json!({ "claims": { "level": "2" } }),
            json!({ "claims": { "beta": false } }),
            json!({ "claims": { "none": "x" } }),
        ] {
            assert!(!matches(pattern.clone()), "{pattern}");
        }
    }

    #[test]
    fn a_token_that_does_not_say_when_it_was_issued_was_issued_before() {
        let pattern: Rule =
            serde_json::from_value(json!({ "kind": "tokens", "iss": "i", "issued_before": 1_000 })).unwrap();
        for iat in [json!(null), json!("2020"), json!(999.9), json!(-5), json!([2_000]), json!(0)] {
            assert!(revokes(&pattern, &claims(json!({ "iss": "i", "iat": iat }))), "{iat}");
        }
        assert!(revokes(&pattern, &claims(json!({ "iss": "i" }))));
        for iat in [json!(1_000), json!(1_000.5), json!(1e30), json!(u64::MAX)] {
            assert!(!revokes(&pattern, &claims(json!({ "iss": "i", "iat": iat }))), "{iat}");
        }
    }

    #[test]
    fn blocks_are_what_concerns_a_client_or_a_user_whatever_the_token() {
        let read = |value: Value| serde_json::from_value::<Rule>(value).unwrap();
        let blocks = [
            json!({ "kind": "address", "network": "192.0.2.0/24" }),
            json!({ "kind": "user", "user_id": "alice" }),
            json!({ "kind": "user_agent", "contains": "badbot/1" }),
        ];
        assert!(blocks.into_iter().map(read).all(|rule| rule.is_block()));
        assert!(!read(json!({ "kind": "tokens", "iss": "i", "sub": "alice" })).is_block());
    }
}
