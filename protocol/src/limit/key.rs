//! What a limit counts by.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, InvalidText, id::text_type};

/// Longest text of a [`LimitKey`], in bytes. What is longer stands in it as its hash.
pub const MAX_LIMIT_KEY_BYTES: usize = 1024;

text_type!(
    /// A limit's name: stands in metrics, headers and keys.
    LimitName,
    "a limit's name",
    "1 to 64 of a-z A-Z 0-9 _ -",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

impl fmt::Debug for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LimitName({})", self.0)
    }
}

text_type!(
    /// What a limit's count for one key is known by: made from the key, see [`LimitKey::counter`].
    CounterId,
    "a counter's id",
    "16 base64url characters",
    |text| text.len() == 16 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);

impl fmt::Debug for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterId({})", self.0)
    }
}

/// Longest value that stands in a key as it is, in bytes.
const MAX_VALUE_BYTES: usize = 100;

/// What is percent-encoded in a key: all that is not unreserved (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a limit counts by: `<limit>:<name>=<value>&<name>=<value>`, names in their order, names and values
/// percent-encoded. A key without parts, that of a limit that counts all requests together, is `<limit>:`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LimitKey {
    /// The limit.
    pub limit: LimitName,
    /// The parts: `user` and `issuer`, `session`, `address`, `header.<name>`, `claim.<name>`.
    pub parts: BTreeMap<String, String>,
}

/// The values may be secrets: a limit may count by an API key's header.
impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, parts } = self;
        f.debug_struct("LimitKey").field("limit", limit).field("parts", &parts.keys()).finish()
    }
}

impl LimitKey {
    /// By what its count is known.
    pub fn counter(&self) -> CounterId {
        Self::counter_of(&self.to_string())
    }

    /// A part's value as it stands in a key: of one that is longer than 100 bytes its first eight characters, `…`, and
    /// its hash.
    pub fn part(value: &str) -> Cow<'_, str> {
        if value.len() <= MAX_VALUE_BYTES {
            return Cow::Borrowed(value);
        }
        // Whoever writes that instead of the long value shares its count, as with the long value itself.
        let start: String = value.chars().take(8).collect();
        Cow::Owned(format!("{start}…{}", Fingerprint::of_credential(value)))
    }

    /// By what the count is known of the key with that text.
    pub fn counter_of(text: &str) -> CounterId {
        CounterId(Fingerprint::of_limit_key(text).to_string())
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.limit)?;
        for (place, (name, value)) in self.parts.iter().enumerate() {
            let between = if place == 0 { "" } else { "&" };
            write!(f, "{between}{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED))?;
        }
        Ok(())
    }
}

impl FromStr for LimitKey {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = InvalidText::new(
            "a limit's key",
            "a limit's name, a colon, and parts such as user=alice&issuer=session-gate, percent-encoded, each once; \
             at most 1024 bytes",
        );
        let read = || {
            let (limit, rest) = text.split_once(':')?;
            let mut parts = BTreeMap::new();
            for part in rest.split('&').filter(|_| !rest.is_empty()) {
                let (name, value) = part.split_once('=')?;
                let [name, value] = [name, value].map(|text| percent_decode_str(text).decode_utf8().ok());
                let (name, value) = (name.filter(|name| !name.is_empty())?, value?);
                let is_new = parts.insert(name.into_owned(), Self::part(&value).into_owned()).is_none();
                is_new.then_some(())?;
            }
            let key = Self { limit: limit.parse().ok()?, parts };
            (key.to_string().len() <= MAX_LIMIT_KEY_BYTES).then_some(key)
        };
        read().ok_or(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_text_and_is_read_back() {
        for text in
            ["default:address=192.0.2.1", "all:", "a:address=2001%3Adb8%3A%3A%2F64&header.x-tenant=a%20%26%20b%3D"]
        {
            let key: LimitKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
        }
        let sorted: LimitKey = "u:user=alice&issuer=session-gate".parse().unwrap();
        assert_eq!(sorted.to_string(), "u:issuer=session-gate&user=alice");
        // Stored: a change here makes every count unknown.
        assert_eq!(sorted.counter().as_str(), "Ukr_WW2dmjfltDLS");
        let long: String = (0..20).map(|number| format!("&part{number}={}", "y".repeat(100))).collect();
        let long = format!("a:{}", long.trim_start_matches('&'));
        for bad in ["", "all", ":a=b", "a b:", "a:x", "a:x=1&", "a:x=1&x=2", "a:x=1&%78=2", "a:=1", "a:x=%FF", &long] {
            assert!(bad.parse::<LimitKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_may_be_written_in_several_ways() {
        let canonical = |text: &str| text.parse::<LimitKey>().unwrap().to_string();
        for text in ["u:user=a+b@example.com", "u:user=a%2Bb%40example.com", "u:user=%61+b%40example.com"] {
            assert_eq!(canonical(text), "u:user=a%2Bb%40example.com", "a plus is no blank");
        }
        let long = canonical(&format!("u:header.x-key={}", "k".repeat(2_000)));
        assert_eq!(long, "u:header.x-key=kkkkkkkk%E2%80%A6s6ulnnFZqajzgkb_");
        assert_eq!(canonical(&long), long);
    }

    #[test]
    fn no_two_keys_share_a_counter_by_their_spelling() {
        let key = |parts: &[(&str, &str)]| LimitKey {
            limit: "l".parse().unwrap(),
            parts: parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let keys = [key(&[("a", "1&b=2")]), key(&[("a", "1"), ("b", "2")]), key(&[("a", "1%26b=2")]), key(&[])];
        let counters: std::collections::HashSet<_> = keys.iter().map(LimitKey::counter).collect();
        assert_eq!(counters.len(), keys.len());
    }
}
