//! The keys that sign tokens: where they come from, and what others need to verify them.

mod algorithm;
mod invalid;
mod key;
mod pem;
mod ring;
mod signer;
mod source;
#[cfg(test)]
mod tests;
mod verify;

pub use self::{
    algorithm::{Algorithm, KeyType},
    invalid::InvalidKey,
    key::Key,
    pem::{Generated, generate},
    ring::{CurrentKeys, KeyRing, MintError},
    signer::SigningFailed,
    source::{KeyOrigin, KeyProblem, KeySource, Signing},
    verify::VerifiedClaims,
};
