//! An upstream with its keys, and what it proves by them.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::http::headers::HeaderChange;

/// For how long a proof is the same. An upstream accepts the bucket before and the one after as well.
pub(super) const BUCKET_SECONDS: u64 = 10;

/// What a message begins with, so that no other use of a key can be taken for this one.
const VERSION: &str = "session-gate-proof-v1";

/// A backend that can tell what came through the gate.
#[derive(Debug)]
pub struct Upstream {
    /// Its name: a proof for one is none for another.
    pub name: String,
    /// The keys of its proofs, one for each: two while one replaces the other.
    pub keys: Vec<ProofKey>,
}

/// A key that an upstream shares with the gate. `Debug` hides it.
pub struct ProofKey {
    id: String,
    /// The HMAC after its key, before its message.
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, keyed: _ } = self;
        f.debug_struct("ProofKey").field("id", id).finish_non_exhaustive()
    }
}

impl ProofKey {
    /// A key by its id, of those bytes; none where HMAC takes no key of that length.
    pub fn new(id: String, secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(|keyed| Self { id, keyed })
    }

    fn sign(&self, message: &[&[u8]]) -> String {
        let mut mac = self.keyed.clone();
        message.iter().for_each(|part| mac.update(part));
        hex(&mac.finalize().into_bytes())
    }
}

impl Upstream {
    /// The header's value: a proof for each key, with spaces between.
    pub(super) fn prove(&self, bucket: u64, said: &[u8]) -> String {
        let head = format!("{VERSION}\n{bucket}\n");
        let proof = |key: &ProofKey| format!("{bucket}.{}.{}", key.id, key.sign(&[head.as_bytes(), said]));
        self.keys.iter().map(proof).collect::<Vec<_>>().join(" ")
    }

    /// What the gate says, in the one form that it can have: the upstream's name, then name, length and value of each
    /// header, in the order of their names.
    pub(super) fn canonical(&self, said: &[HeaderChange]) -> Vec<u8> {
        // A handful: to sort them any better would cost more code than time.
        let mut headers: Vec<(&str, &[u8])> = Vec::with_capacity(said.len());
        for header in said.iter().filter_map(HeaderChange::as_set) {
            headers.insert(headers.partition_point(|before| *before < header), header);
        }
        let length = headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
        let mut text = Vec::with_capacity(self.name.len() + 1 + length);
        text.extend_from_slice(self.name.as_bytes());
        text.push(b'\n');
        for (name, value) in headers {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(value.len().to_string().as_bytes());
            text.push(b':');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
