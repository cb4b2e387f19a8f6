//! JSON Web Tokens to the letter of RFC 7515, 7517, 7518, 7519 and 8725.
//!
//! What is relied on, and where it is done:
//! 1. A token has one canonical text: three parts, base64url without padding, blanks or stray bits
//!    (`compact`); JSON without duplicate members (`json`).
//! 2. A key is good for one algorithm, whatever a token's header says (`key`), and no key is ever
//!    taken from a token.
//! 3. A signature has the one length its key asks for (`signature`).
//! 4. Claims have the types that RFC 7519 gives them, and bytes that a header can carry (`claims`).

#![warn(missing_docs)]

mod algorithm;
mod claims;
mod compact;
mod json;
mod key;
mod key_set;
mod signature;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use algorithm::Algorithm;
pub use claims::{OwnClaims, TokenClaims, issuer};
pub use compact::{Unverified, parse};
pub use json::{parse_json, parse_object};
pub use key::{KeyProblem, VerifyingKey};
pub use key_set::{KeySet, parse_fetched};
pub use signature::{HostCrypto, HostSignature, NoHostCrypto};
