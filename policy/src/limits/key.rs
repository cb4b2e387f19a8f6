//! What a limit counts a request by.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;
use session_gate_protocol::LimitKey;

use super::limit::{KeyPart, Limit};

/// Who sends a request, as far as limits look at it.
pub trait Requester {
    /// The token's `sub` and `iss`.
    fn user(&self) -> Option<(&str, &str)>;
    /// The session's id.
    fn session(&self) -> Option<&str>;
    /// The client's address.
    fn address(&self) -> Option<IpAddr>;
    /// The value of that header.
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// The value of that claim.
    fn claim(&self, name: &str) -> Option<Value>;
}

/// The key that a limit counts a request by. What is missing counts as empty: whoever leaves a header out
/// shares one count with all others who do.
pub fn key_of(limit: &Limit, requester: &impl Requester) -> LimitKey {
    let mut parts = BTreeMap::new();
    for part in &limit.key {
        add(part, requester, &mut parts);
    }
    LimitKey { limit: limit.name.clone(), parts }
}

fn add(part: &KeyPart, requester: &impl Requester, parts: &mut BTreeMap<String, String>) {
    let mut put = |name: &str, value: &str| parts.insert(name.to_owned(), LimitKey::part(value).into_owned());
    match part {
        KeyPart::Address => {
            put("address", &requester.address().map(LimitKey::address).unwrap_or_default());
        }
        KeyPart::Claim(name) => {
            let value = match requester.claim(name) {
                None => String::new(),
                Some(Value::String(text)) => text,
                Some(value) => value.to_string(),
            };
            put(&format!("claim.{name}"), &value);
        }
        KeyPart::Header(name) => {
            let value = requester.header(name).unwrap_or_default();
            put(&format!("header.{name}"), &String::from_utf8_lossy(value));
        }
        KeyPart::Session => match requester.session() {
            Some(session) => {
                put("session", session);
            }
            None => add(&KeyPart::User, requester, parts),
        },
        KeyPart::User => match requester.user() {
            Some((user, issuer)) => {
                put("user", user);
                put("issuer", issuer);
            }
            None => add(&KeyPart::Address, requester, parts),
        },
    }
}
