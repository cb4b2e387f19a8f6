use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// What requests are refused for, beyond what has ended: an entry of the block list, or tokens of
/// another issuer that are revoked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// Clients with such an address.
    Address {
        /// The addresses.
        network: Network,
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
        // Members have one order, so a rule has one text.
        let text = serde_json::to_string(self).unwrap_or_default();
        RuleId(Fingerprint::of_rule(&text).to_string())
    }
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
    /// Refuse clients whose `User-Agent` contains this: 3 to 256 visible ASCII characters and blanks,
    /// upper and lower case alike.
    pub user_agent: Option<String>,
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
}
