//! The proof to an upstream that a request came through the gate, as what it says of its sender: an HMAC over all that the
//! gate says there, for the upstream's own key. Docs: `docs/backends.md`.
//!
//! 1. It covers every trusted header that is sent, and by that those that are not: with one more, or one less, it is another.
//! 2. It names no request: so it is the same for all of one token's within a bucket, and is kept ([`ProofCache`]). Who
//!    learns one can use it with those headers until its bucket and the next are over.
//! 3. It relies on header values that every server reads alike: visible ASCII ([`super::header_value`]).

mod cache;
mod upstream;

pub use self::{
    cache::ProofCache,
    upstream::{ProofKey, Upstream},
};

#[cfg(test)]
mod tests;
