//! A request that is done once, however often it comes (`Idempotency-Key`,
//! draft-ietf-httpapi-idempotency-key-header-07).
//!
//! Who comes first with a key claims it, and its answer is kept for those who come later. The answer holds tokens: it is
//! sealed under a key that is derived from the caller's credential and the `Idempotency-Key`, of which the store has a
//! hash alone. So another caller's key is another key, and whoever reads the store reads no answer.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Service, ServiceError};
use crate::{
    rng::random_bytes,
    sealing::{Purpose, open, seal},
    store::{IdempotencyHash, StoreError, StoreErrorKind},
};

/// For how long the answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// For how long a request may be under way: a sidecar that has crashed meanwhile gives its claim up so late.
const UNDER_WAY_FOR: Duration = Duration::from_secs(60);

/// Who asks for what.
#[derive(Clone, Copy)]
pub struct OnceRequest<'a> {
    /// The caller's credential; none: the API asks for none.
    pub credential: Option<&'a str>,
    /// What is asked for.
    pub operation: &'a str,
    /// The `Idempotency-Key`.
    pub key: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What becomes of such a request.
#[derive(Debug)]
pub enum Begun {
    /// It was done before: this was the answer.
    Answered(KeptAnswer),
    /// It is to be done now.
    Claimed(Claim),
}

/// An answer that was kept. `Debug` hides it: there are tokens in it.
pub struct KeptAnswer(pub String);

/// The right to do it.
pub struct Claim {
    names: Names,
    text: String,
}

impl fmt::Debug for OnceRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { credential: _, operation, key: _, body: _ } = self;
        f.debug_struct("OnceRequest").field("operation", operation).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptAnswer(…)")
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("hash", &self.names.hash).finish_non_exhaustive()
    }
}

/// What follows from who asks for what, each of it from a secret of the caller's.
struct Names {
    hash: IdempotencyHash,
    /// Seals the answer.
    secret: String,
    /// Tells one body from another, to whoever has the secret.
    body: String,
}

/// What the store keeps.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    Done { body: String, sealed: String },
    UnderWay { body: String, by: String },
}

impl Service {
    /// Claims the request, or finds its answer.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` where the key was used for another body, `IdempotencyInProgress` where the same request is
    /// under way, or those of the store.
    pub async fn begin_once(&self, request: OnceRequest<'_>) -> Result<Begun, ServiceError> {
        let names = Names::of(request).ok_or_else(|| internal("no key could be derived"))?;
        let by = URL_SAFE_NO_PAD.encode(random_bytes::<16>(&*self.tools.random)?);
        let text = text(&Record::UnderWay { body: names.body.clone(), by })?;
        let claim = Claim { names, text };
        let kept = match self.tools.store.claim_idempotency(&claim.names.hash, &claim.text, UNDER_WAY_FOR).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(Begun::Claimed(claim)),
            Err(error) => {
                // It may have been claimed all the same.
                self.give_up_once(claim).await;
                return Err(error.into());
            }
        };
        if kept == claim.text {
            // The store's answer to the first attempt was lost.
            return Ok(Begun::Claimed(claim));
        }
        let (body, sealed) = match read(&kept)? {
            Record::Done { body, sealed } => (body, Some(sealed)),
            Record::UnderWay { body, .. } => (body, None),
        };
        let Names { hash, secret, body: own } = &claim.names;
        if body != *own {
            return Err(ServiceError::IdempotencyKeyReused);
        }
        let sealed = sealed.ok_or(ServiceError::IdempotencyInProgress)?;
        let answer = open(Purpose::Answer, secret, hash.as_str(), &sealed);
        Ok(Begun::Answered(KeptAnswer(answer.ok_or_else(corrupt)?)))
    }

    /// Keeps the answer. Where that fails the request is done all the same, and can't be asked for again for a while.
    pub async fn finish_once(&self, claim: Claim, answer: &str) {
        let Claim { names: Names { hash, secret, body }, text: before } = claim;
        let kept = async {
            let sealed = seal(Purpose::Answer, &secret, hash.as_str(), answer, &*self.tools.random)
                .map_err(|error| ServiceError::Internal(Box::new(error)))?;
            let after = text(&Record::Done { body, sealed })?;
            Ok::<bool, ServiceError>(self.tools.store.settle_idempotency(&hash, &before, Some(&after), KEPT_FOR).await?)
        };
        if !matches!(kept.await, Ok(true)) {
            tracing::warn!(?hash, "the answer to a request with an Idempotency-Key could not be kept");
        }
    }

    /// Nothing was done: it may be asked for again.
    pub async fn give_up_once(&self, claim: Claim) {
        let Claim { names, text } = claim;
        // Where that fails, its time ends the claim.
        drop(self.tools.store.settle_idempotency(&names.hash, &text, None, UNDER_WAY_FOR).await);
    }
}

impl Names {
    fn of(OnceRequest { credential, operation, key, body }: OnceRequest<'_>) -> Option<Self> {
        // Each with its length, so that no two requests are one text.
        let mut secret = Vec::new();
        for part in [credential.unwrap_or_default(), operation, key] {
            secret.extend(part.len().to_be_bytes());
            secret.extend(part.as_bytes());
        }
        let derived = Hkdf::<Sha256>::new(None, &secret);
        let expand = |purpose: &[&[u8]]| {
            let mut bytes = [0; 32];
            derived.expand_multi_info(purpose, &mut bytes).ok()?;
            Some(URL_SAFE_NO_PAD.encode(bytes))
        };
        Some(Self {
            hash: IdempotencyHash::new(expand(&[b"session-gate idempotency hash 1"])?),
            secret: expand(&[b"session-gate idempotency secret 1"])?,
            body: expand(&[b"session-gate idempotency body 1", &Sha256::digest(body)])?,
        })
    }
}

fn text(record: &Record) -> Result<String, ServiceError> {
    serde_json::to_string(record).map_err(|error| ServiceError::Internal(Box::new(error)))
}

fn read(text: &str) -> Result<Record, StoreError> {
    // Says nothing of the text.
    serde_json::from_str(text).map_err(|_| corrupt())
}

fn corrupt() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "what is kept of a request with an Idempotency-Key cannot be read")
}

fn internal(why: &str) -> ServiceError {
    ServiceError::Internal(why.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(credential: Option<&str>, operation: &str, key: &str, body: &[u8]) -> Names {
        Names::of(OnceRequest { credential, operation, key, body }).unwrap()
    }

    proptest! {
        #[test]
        fn two_requests_have_the_same_names_only_where_they_are_the_same(
            one in (".{0,8}", "[a-b/]{0,4}", ".{0,8}", ".{0,8}"), other in (".{0,8}", "[a-b/]{0,4}", ".{0,8}", ".{0,8}"),
        ) {
            let of = |(credential, operation, key, body): &(String, String, String, String)| {
                names(Some(credential), operation, key, body.as_bytes())
            };
            let (a, b) = (of(&one), of(&other));
            let is_same_key = (&one.0, &one.1, &one.2) == (&other.0, &other.1, &other.2);
            prop_assert_eq!(a.hash == b.hash, is_same_key);
            prop_assert_eq!(a.secret == b.secret, is_same_key);
            prop_assert_eq!(a.body == b.body, is_same_key && one.3 == other.3);
        }
    }

    #[test]
    fn what_the_store_sees_is_neither_secret_nor_key() {
        let Names { hash, secret, body } = names(Some("credential"), "/v1/login", "key", b"{}");
        let seen = format!("{} {body}", hash.as_str());
        for hidden in [secret.as_str(), "credential", "key"] {
            assert!(!seen.contains(hidden), "{hidden}");
        }
        // Parts are not run together.
        assert!(names(Some("a"), "b", "c", b"").hash != names(Some("ab"), "", "c", b"").hash);
        assert!(
            names(None, "b", "c", b"").hash == names(Some(""), "b", "c", b"").hash,
            "without credentials there is one caller"
        );
    }
}
