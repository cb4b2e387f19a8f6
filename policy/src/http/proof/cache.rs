//! Proofs of the bucket that it is, so that one is computed for a token and an upstream, and not for a request.

use std::{collections::HashMap, fmt};

use session_gate_protocol::UnixSeconds;

use super::upstream::{BUCKET_SECONDS, Upstream};
use crate::http::headers::HeaderChange;

/// What they and what they prove may take: beyond that they are computed for each request.
const MAX_BYTES: usize = 1024 * 1024;
/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 64;

/// The proofs of one bucket, by all that they prove: what is said anew of a token, its scopes for instance, is another entry.
#[derive(Default)]
pub struct ProofCache {
    bucket: u64,
    bytes: usize,
    proofs: HashMap<Vec<u8>, String>,
}

impl fmt::Debug for ProofCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // They say who the users are.
        f.debug_struct("ProofCache").field("proofs", &self.proofs.len()).finish_non_exhaustive()
    }
}

impl ProofCache {
    /// The proof to that upstream that the gate says this.
    pub fn proof(&mut self, upstream: &Upstream, said: &[HeaderChange], now: UnixSeconds) -> String {
        let bucket = now.0 / BUCKET_SECONDS;
        if bucket != self.bucket {
            self.proofs.clear();
            (self.bucket, self.bytes) = (bucket, 0);
        }
        let said = upstream.canonical(said);
        if let Some(known) = self.proofs.get(&said) {
            return known.clone();
        }
        let proof = upstream.prove(bucket, &said);
        let bytes = said.len() + proof.len() + ENTRY_BYTES;
        if self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
            self.proofs.insert(said, proof.clone());
        }
        proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::proof::upstream::ProofKey;

    fn upstream(name: &str) -> Upstream {
        let key = ProofKey::new("k1".to_owned(), b"a-secret-of-32-characters-or-more").unwrap();
        Upstream { name: name.to_owned(), keys: vec![key] }
    }

    #[test]
    fn a_proof_is_kept_for_its_bucket_alone() {
        let mut cache = ProofCache::default();
        let said = [HeaderChange::set("x-user-id", "alice")];
        let one = upstream("one");
        let first = cache.proof(&one, &said, UnixSeconds(1_800_000_000));
        assert_eq!(cache.proof(&one, &said, UnixSeconds(1_800_000_009)), first);
        assert_eq!(cache.proofs.len(), 1);
        assert_ne!(cache.proof(&upstream("two"), &said, UnixSeconds(1_800_000_009)), first);
        assert_ne!(cache.proof(&one, &[HeaderChange::set("x-user-id", "bob")], UnixSeconds(1_800_000_009)), first);
        assert_ne!(cache.proof(&one, &[], UnixSeconds(1_800_000_009)), first);
        assert_eq!(cache.proofs.len(), 4);
        assert_ne!(cache.proof(&one, &said, UnixSeconds(1_800_000_010)), first);
        assert_eq!(cache.proofs.len(), 1);
        assert_eq!(cache.proof(&one, &said, UnixSeconds(1_800_000_000)), first, "a clock that goes back");
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_rest_is_proved_all_the_same() {
        let (mut cache, one) = (ProofCache::default(), upstream("one"));
        let of = |user: usize| [HeaderChange::set("x-user-id", format!("{user}-{}", "u".repeat(1000)))];
        for user in 0..2000 {
            cache.proof(&one, &of(user), UnixSeconds(7));
        }
        assert!(cache.bytes <= MAX_BYTES && cache.proofs.len() < 2000 && cache.proofs.len() > 500);
        let fresh = ProofCache::default().proof(&one, &of(1999), UnixSeconds(7));
        assert_eq!(cache.proof(&one, &of(1999), UnixSeconds(7)), fresh);
    }
}
