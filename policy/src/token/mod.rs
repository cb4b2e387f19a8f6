//! From a token's text to [`VerifiedClaims`], the proof that it is good.

pub mod cache;
mod claim_headers;
mod fetched_keys;
mod issuer;
mod issuers;
mod verified;

pub use self::{
    claim_headers::{ClaimForm, ClaimHeader, ClaimHeaders},
    fetched_keys::{FetchedKeys, PublishedSettings},
    issuer::{Issuer, KeySource, Revocation},
    issuers::{Issuers, Refusal},
    verified::{TokenText, VerifiedClaims},
};
