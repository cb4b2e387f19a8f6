use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Longest user id, in bytes.
pub const MAX_USER_ID_BYTES: usize = 256;
/// Longest token id (`jti`), in bytes.
pub const MAX_JTI_BYTES: usize = 128;
/// Characters of the tag that a session id begins with: 36 bits, plenty to spread over the 16,384
/// slots of a Redis Cluster.
const TAG_CHARS: usize = 6;
/// 256 bits in base64url without padding.
const RANDOM_CHARS: usize = 43;

/// A text that is not what its type allows. Names the type and the rule, never the text itself,
/// which may be a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} must be {allowed}")]
pub struct InvalidText {
    what: &'static str,
    allowed: &'static str,
}

impl InvalidText {
    pub(crate) const fn new(what: &'static str, allowed: &'static str) -> Self {
        Self { what, allowed }
    }
}

/// Whether `text` can stand in an HTTP header as it is (RFC 9110, section 5.5): not empty, no
/// control character, no blank at either end. UTF-8 is allowed, but for U+0080 to U+009F, which are control characters too:
/// some that read headers as Latin-1 or split lines take them for such.
pub fn is_header_safe(text: &str) -> bool {
    !text.is_empty() && text.trim_matches([' ', '\t']).len() == text.len() && !text.chars().any(char::is_control)
}

/// Defines a newtype over a `String` that holds only texts which `$valid` accepts.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::InvalidText;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err($crate::InvalidText::new($what, $allowed)) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use text_type;

text_type!(
    /// Who a session or token belongs to: the application's own id for the user, the JWT's `sub`.
    UserId,
    "a user id",
    "1 to 256 bytes without control characters or blanks at the ends",
    |text| text.len() <= MAX_USER_ID_BYTES && is_header_safe(text)
);

text_type!(
    /// A session's id: a [`SlotTag`] made from its user id, a dot, and 256 random bits in base64url.
    ///
    /// It names a session to the sidecar's API, to logs and to the upstream; it is no credential.
    SessionId,
    "a session id",
    "a tag of 6 characters, a dot and 43 characters, all base64url",
    |text| text.split_once('.').is_some_and(|(tag, random)| is_base64url(tag, TAG_CHARS) && is_base64url(random, RANDOM_CHARS))
);

text_type!(
    /// A token's id, the JWT's `jti`.
    TokenId,
    "a token id (jti)",
    "1 to 128 visible ASCII characters",
    |text| (1..=MAX_JTI_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

text_type!(
    /// A key's id, the JWS header's `kid`.
    KeyId,
    "a key id (kid)",
    "1 to 256 bytes without control characters",
    |text| (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
);

text_type!(
    /// What comes between `{` and `}` in a Redis key, so that all keys of one user share a Cluster
    /// slot: the first 36 bits of SHA-256 of the user id, in base64url.
    SlotTag,
    "a slot tag",
    "6 base64url characters",
    |text| is_base64url(text, TAG_CHARS)
);

fn is_base64url(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl SlotTag {
    /// The tag of everything that belongs to `user`.
    pub fn of_user(user: &UserId) -> Self {
        let mut text = URL_SAFE_NO_PAD.encode(Sha256::digest(user.as_str()));
        text.truncate(TAG_CHARS);
        Self(text)
    }
}

impl SessionId {
    /// The id of a new session of `user`. `random` must come from the operating system's CSPRNG.
    pub fn new(user: &UserId, random: &[u8; 32]) -> Self {
        Self(format!("{}.{}", SlotTag::of_user(user), URL_SAFE_NO_PAD.encode(random)))
    }

    /// The tag that this id begins with.
    pub fn tag(&self) -> SlotTag {
        let (tag, _) = self.0.split_once('.').unwrap_or_default();
        SlotTag(tag.to_owned())
    }
}

impl TokenId {
    /// The id of a new token: 128 random bits in base64url.
    pub fn new(random: &[u8; 16]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}.…)", self.tag())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({})", self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({:?})", self.0)
    }
}

impl fmt::Debug for SlotTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotTag({})", self.0)
    }
}

/// The version of a session as HTTP shows it (RFC 9110, section 8.8.3): `"7"`, always strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag(pub u64);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl FromStr for ETag {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or(InvalidText::new("If-Match", "one ETag as GET gave it, such as \"3\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        text.parse().unwrap()
    }

    #[test]
    fn a_session_id_carries_the_tag_of_its_user() {
        let alice = user("alice");
        let id = SessionId::new(&alice, &[7; 32]);
        assert_eq!(id.tag(), SlotTag::of_user(&alice));
        assert_ne!(id.tag(), SlotTag::of_user(&user("bob")));
        assert_eq!(id.as_str().parse::<SessionId>().unwrap(), id);
        // Stored in Redis keys: a change here orphans every session.
        assert_eq!(id.as_str(), "K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
    }

    #[test]
    fn texts_that_could_break_a_header_or_a_key_are_refused() {
        for bad in ["", " alice", "alice\t", "a\r\nx: y", "a\0", "a\u{7f}", "a\u{80}", "a\u{85}b", "\u{9f}a"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(MAX_USER_ID_BYTES + 1).parse::<UserId>().is_err());
        assert!("josé".parse::<UserId>().is_ok());
        for bad in ["", "K9gG8M", "K9gG8M.short", "K9gG8}.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_output_lacks_the_random_part_of_a_session_id() {
        let id = SessionId::new(&user("alice"), &[7; 32]);
        assert!(!format!("{id:?}").contains("BwcH"));
    }

    #[test]
    fn an_etag_round_trips_and_weak_or_listed_ones_are_refused() {
        assert_eq!(ETag(12).to_string().parse(), Ok(ETag(12)));
        for bad in ["12", "W/\"12\"", "\"1\", \"2\"", "*", "\"\"", "\"+1\""] {
            assert!(bad.parse::<ETag>().is_err(), "{bad}");
        }
    }
}
