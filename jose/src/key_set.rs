//! The keys of one issuer.

use session_gate_protocol::{DenyReason, Jwk, JwkSet};

use crate::{
    algorithm::Algorithm,
    compact::Unverified,
    key::{KeyProblem, VerifyingKey},
    signature::HostCrypto,
};

/// More keys than that no issuer publishes.
const MAX_KEYS: usize = 64;

/// How many keys a token without `kid` is tried with: what it can cost, beside one that names its key. An issuer that
/// rotates has two or three of an algorithm.
const MAX_TRIED: usize = 4;

/// Keys by their place in a set, and what is wrong with each.
pub type KeyProblems = Vec<(usize, KeyProblem)>;

/// Keys to verify an issuer's tokens with. Never empty.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// Judges each key of `set`; all that are for signatures must be good.
    ///
    /// # Errors
    /// Each wrong key's place and problem; at place 0 with member `keys` where the set has no key for signatures, or
    /// more than 64.
    pub fn strict(set: &JwkSet, algorithms: &[Algorithm]) -> Result<Self, KeyProblems> {
        match Self::supported(set, algorithms)? {
            (keys, passed_over) if passed_over.is_empty() => Ok(keys),
            (_, passed_over) => Err(passed_over),
        }
    }

    /// Judges each key of `set`; those that are of a kind that is not supported are passed over (RFC 7517, section 5), and
    /// all others for signatures must be good. For keys that an operator wrote down, often the whole set that an issuer
    /// publishes. With the keys come those that were passed over.
    ///
    /// # Errors
    /// As for [`Self::strict`], and all that were passed over where no key is left.
    pub fn supported(set: &JwkSet, algorithms: &[Algorithm]) -> Result<(Self, KeyProblems), KeyProblems> {
        let (keys, problems) = judge(set, algorithms);
        match Self::of(keys) {
            Some(keys) if problems.iter().all(|(_, problem)| problem.is_unsupported) => Ok((keys, problems)),
            None if problems.is_empty() => {
                let allowed = format!("must have 1 to {MAX_KEYS} keys for signatures");
                Err(vec![(0, KeyProblem { member: "keys", allowed, is_unsupported: false })])
            }
            _ => Err(problems),
        }
    }

    /// Keeps the good keys of `set` and leaves out the others, as RFC 7517, section 5, asks of who
    /// fetches a set. `None` where no key is good.
    pub fn lenient(set: &JwkSet, algorithms: &[Algorithm]) -> Option<Self> {
        Self::of(judge(set, algorithms).0)
    }

    fn of(keys: Vec<VerifyingKey>) -> Option<Self> {
        (1..=MAX_KEYS).contains(&keys.len()).then_some(Self { keys })
    }

    /// Checks the token's signature with the key that it names, or, where it names none, with each of the first four
    /// keys of its algorithm.
    ///
    /// # Errors
    /// `TokenKeyUnknown`: no key has the token's id. `TokenAlgorithmRefused`: such a key is for
    /// another algorithm. `TokenSignatureInvalid`: the signature is not that key's.
    pub fn verify(&self, token: &Unverified<'_>, host: &dyn HostCrypto) -> Result<(), DenyReason> {
        let named = |key: &&VerifyingKey| token.key_id.is_none() || key.key_id() == token.key_id.as_deref();
        let mut named_keys = self.keys.iter().filter(named).peekable();
        if named_keys.peek().is_none() {
            return Err(DenyReason::TokenKeyUnknown);
        }
        let mut possible = named_keys.filter(|key| key.algorithm() == token.algorithm).peekable();
        if possible.peek().is_none() {
            return Err(DenyReason::TokenAlgorithmRefused);
        }
        if possible.take(MAX_TRIED).any(|key| key.verify(token.signing_input, &token.signature, host)) {
            Ok(())
        } else {
            Err(DenyReason::TokenSignatureInvalid)
        }
    }
}

fn judge(set: &JwkSet, algorithms: &[Algorithm]) -> (Vec<VerifyingKey>, KeyProblems) {
    let mut keys = Vec::new();
    let mut problems = Vec::new();
    for (place, jwk) in set.keys.iter().enumerate().filter(|(_, jwk)| is_for_signatures(jwk)) {
        match VerifyingKey::from_jwk(jwk, algorithms) {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push((place, problem)),
        }
    }
    (keys, problems)
}

/// Keys for encryption are nobody's mistake: issuers publish them in the same set (RFC 7517, sections 4.2 and 4.3).
fn is_for_signatures(jwk: &Jwk) -> bool {
    jwk.key_use.as_deref() != Some("enc")
        && jwk.key_ops.as_ref().is_none_or(|ops| {
            let encrypts =
                |op: &String| matches!(op.as_str(), "encrypt" | "decrypt" | "wrapKey" | "unwrapKey" | "deriveKey");
            ops.is_empty() || !ops.iter().all(encrypts)
        })
}

/// Parses a set leniently: a key whose members have unexpected types is left out, not the whole set.
pub fn parse_fetched(body: &[u8]) -> Option<JwkSet> {
    #[derive(serde::Deserialize)]
    struct Loose {
        keys: Vec<serde_json::Value>,
    }
    let loose: Loose = serde_json::from_slice(body).ok()?;
    let keys = loose.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()).collect();
    Some(JwkSet { keys })
}
