//! What only whoever shows a certain text can read.
//!
//! A store holds the successor of a token until the predecessor is shown once more, sealed under a key that is derived from the
//! predecessor. No store has that: so whoever reads a store learns no token.

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;

use crate::rng::{NoRandomness, Random, random_bytes};

const NONCE_BYTES: usize = 12;

/// For what a box is made: no box for one purpose opens as one for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The answer to a request with an `Idempotency-Key`.
    Answer,
    /// The successor of a refresh token.
    Refresh,
    /// The successor of a token.
    Renewal,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Answer => b"session-gate answer 1",
            Self::Refresh => b"session-gate refresh 1",
            Self::Renewal => b"session-gate renewal 1",
        }
    }
}

/// Nothing could be sealed.
#[derive(Debug, Error)]
pub(crate) enum SealError {
    #[error("the text could not be sealed")]
    Failed,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Seals `text` for whoever shows `shown`, in base64url. `context` must be the same when it is opened.
pub(crate) fn seal(
    purpose: Purpose,
    shown: &str,
    context: &str,
    text: &str,
    random: &dyn Random,
) -> Result<String, SealError> {
    let nonce: [u8; NONCE_BYTES] = random_bytes(random)?;
    let payload = Payload { msg: text.as_bytes(), aad: context.as_bytes() };
    let cipher = cipher(purpose, shown).ok_or(SealError::Failed)?;
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| SealError::Failed)?;
    Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
}

/// What is in the box; none where it was sealed for another text, or is damaged.
pub(crate) fn open(purpose: Purpose, shown: &str, context: &str, sealed: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg: sealed, aad: context.as_bytes() };
    let opened = cipher(purpose, shown)?.decrypt(&Nonce::from(*nonce), payload).ok()?;
    String::from_utf8(opened).ok()
}

fn cipher(purpose: Purpose, shown: &str) -> Option<Aes256Gcm> {
    let mut key = [0; 32];
    // What is shown carries at least 128 random bits: it needs no salt.
    Hkdf::<Sha256>::new(None, shown.as_bytes()).expand(purpose.info(), &mut key).ok()?;
    Some(Aes256Gcm::new(&key.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::testing::SeededRandom;

    const PURPOSE: Purpose = Purpose::Renewal;

    fn sealed(shown: &str, context: &str, text: &str) -> String {
        seal(PURPOSE, shown, context, text, &SeededRandom::default()).unwrap()
    }

    proptest! {
        #[test]
        fn a_box_opens_for_what_it_was_sealed_for_and_nothing_else(
            shown in ".{0,200}", other in ".{0,200}", context in ".{0,40}", elsewhere in ".{0,40}", text in ".{0,400}",
        ) {
            let sealed = sealed(&shown, &context, &text);
            prop_assert_eq!(open(PURPOSE, &shown, &context, &sealed), Some(text));
            prop_assert_eq!(open(PURPOSE, &other, &context, &sealed).is_some(), other == shown);
            prop_assert_eq!(open(PURPOSE, &shown, &elsewhere, &sealed).is_some(), elsewhere == context);
        }

        #[test]
        fn a_damaged_box_does_not_open(text in ".{0,100}", at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_-]") {
            let sealed = sealed("shown", "context", &text);
            let at = at.index(sealed.len());
            let mut damaged = sealed.clone();
            damaged.replace_range(at..=at, &with);
            prop_assert_eq!(open(PURPOSE, "shown", "context", &damaged).is_some(), damaged == sealed);
            damaged.truncate(at);
            prop_assert_eq!(open(PURPOSE, "shown", "context", &damaged), None);
        }

        #[test]
        fn anything_else_opens_as_nothing(text in ".{0,200}") {
            prop_assert_eq!(open(PURPOSE, "shown", "context", &text), None);
        }
    }

    #[test]
    fn a_box_says_nothing_of_its_text_and_no_two_are_alike() {
        let random = SeededRandom::default();
        let [one, two] = [(); 2].map(|()| seal(PURPOSE, "shown", "", "the secret text", &random).unwrap());
        assert_ne!(one, two);
        let bytes = URL_SAFE_NO_PAD.decode(one).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    }
}
