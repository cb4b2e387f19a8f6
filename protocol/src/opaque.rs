use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{InvalidText, SlotTag, UserId};

/// What every opaque token begins with, so that scanners for leaked secrets know it.
pub const OPAQUE_PREFIX: &str = "sgt_";

/// An opaque token: [`OPAQUE_PREFIX`], the tag of its user, a dot, and 256 random bits in base64url. A
/// credential: stored only as its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct OpaqueToken {
    text: String,
    tag: SlotTag,
}

impl OpaqueToken {
    /// A new token of `user`. `random` must come from the operating system's CSPRNG.
    pub fn new(user: &UserId, random: &[u8; 32]) -> Self {
        let tag = SlotTag::of_user(user);
        Self { text: format!("{OPAQUE_PREFIX}{tag}.{}", URL_SAFE_NO_PAD.encode(random)), tag }
    }

    /// Whether `text` can only be meant as an opaque token.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with(OPAQUE_PREFIX)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Any other form.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let refused = InvalidText::new("an opaque token", "sgt_, 6 characters, a dot and 43 characters, all base64url");
        let parts = text.strip_prefix(OPAQUE_PREFIX).and_then(|rest| rest.split_once('.'));
        let (tag, random) = parts.ok_or(refused.clone())?;
        let fits = URL_SAFE_NO_PAD.decode(random).is_ok_and(|bytes| bytes.len() == 32);
        if fits { Ok(Self { text: text.to_owned(), tag: tag.parse()? }) } else { Err(refused) }
    }

    /// The tag of its user.
    pub fn tag(&self) -> &SlotTag {
        &self.tag
    }

    /// What it is stored under: SHA-256 in base64url. With 256 random bits in it, no salt is needed.
    pub fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.text))
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_tokens_round_trip_and_nothing_else_is_one() {
        let user: UserId = "alice".parse().unwrap();
        let token = OpaqueToken::new(&user, &[7; 32]);
        assert_eq!(OpaqueToken::parse(token.expose()).unwrap(), token);
        assert_eq!(token.tag(), &SlotTag::of_user(&user));
        assert_eq!(token.hash().len(), 43);
        assert!(!format!("{token:?}").contains("BwcH"));
        let longer = format!("{}A", token.expose());
        for bad in ["", "sgt_", "sgt_K9gGyX", "sgt_K9gGyX.short", "K9gGyX.BwcH", &longer] {
            assert!(OpaqueToken::parse(bad).is_err(), "{bad}");
        }
    }
}
