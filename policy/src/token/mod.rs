//! From a token's text to [`VerifiedClaims`], the proof that it is good.

pub mod cache;
mod fetched_keys;
mod issuers;
mod verified;

pub use self::{
    fetched_keys::FetchedKeys,
    issuers::{Issuer, Issuers, KeySource, Refusal, Revocation},
    verified::{TokenText, VerifiedClaims},
};
