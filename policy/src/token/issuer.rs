//! An issuer of tokens, and what its tokens must be like.

use std::time::Duration;

use session_gate_jose::{Algorithm, KeySet};

/// An issuer, and what its tokens must be like.
#[derive(Debug)]
pub struct Issuer {
    /// The `iss` of its tokens, compared exactly.
    pub name: String,
    /// Who we are to it: a token's `aud` must have one of these. Empty: tokens must have no `aud`
    /// (RFC 7519, section 4.1.3).
    pub audiences: Vec<String>,
    /// Algorithms that its keys may be for; empty: each key's own.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// The claim with the scopes.
    pub scope_claim: String,
    /// What takes its tokens back.
    pub revocation: Revocation,
    /// Whether its opaque tokens are accepted, too.
    pub opaque: bool,
    /// Whether a token that is bound to a key (`cnf`: DPoP, RFC 9449; mTLS, RFC 8705) is accepted from whoever bears it.
    pub accept_bound: bool,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// The configuration.
    Inline(KeySet),
    /// The sidecar.
    Sidecar,
}

/// What takes an issuer's tokens back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The sidecar has minted them: they end with their session, and by their own id.
    Sessions,
    /// Another has: rules of the feed revoke them.
    Feed,
    /// Nothing: they are good until they expire.
    None,
}
