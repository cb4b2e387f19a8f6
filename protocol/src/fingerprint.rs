use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{InvalidText, UnixSeconds};

/// Bytes of a fingerprint.
const BYTES: usize = 12;
/// Bytes of one of [`EndedList`]'s records: the fingerprint, and its end as a big-endian number.
const RECORD_BYTES: usize = BYTES + 4;

/// What a session, a token or a user is known by in the feed and in a worker: 96 bits of SHA-256 over
/// its kind and its name. That two of a million are alike has a chance of one in 10^17, so a set of
/// them is as good as exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; BYTES]);

impl Fingerprint {
    /// Of a session of the sidecar's own, by its id.
    pub fn of_session(id: &str) -> Self {
        Self::of(b's', &[id])
    }

    /// Of a token of the sidecar's own, by its `jti`.
    pub fn of_token(id: &str) -> Self {
        Self::of(b't', &[id])
    }

    /// Of a user, by the name that whatever issuer gives it.
    pub fn of_user(id: &str) -> Self {
        Self::of(b'u', &[id])
    }

    /// Of what an issuer calls something by a claim: `iss`, the claim's name, its value.
    pub fn of_claim(issuer: &str, claim: &str, value: &str) -> Self {
        Self::of(b'c', &[issuer, claim, value])
    }

    /// Of an opaque credential.
    pub fn of_credential(text: &str) -> Self {
        Self::of(b'o', &[text])
    }

    /// Of what a limit counts by, by its text.
    pub fn of_limit_key(text: &str) -> Self {
        Self::of(b'l', &[text])
    }

    /// Of a rule, by its text.
    pub fn of_rule(text: &str) -> Self {
        Self::of(b'r', &[text])
    }

    fn of(kind: u8, names: &[&str]) -> Self {
        let mut hash = Sha256::new().chain_update([kind]);
        for name in names {
            // No two lists of names give the same bytes.
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        Self::from_bytes(&hash.finalize())
    }

    fn from_bytes(from: &[u8]) -> Self {
        let mut bytes = [0; BYTES];
        bytes.iter_mut().zip(from).for_each(|(byte, digit)| *byte = *digit);
        Self(bytes)
    }

    /// The bytes, evenly distributed.
    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

/// The text is 16 characters of base64url.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What has ended for good, and until when that is of use. On the wire one text: base64url of records
/// of 16 bytes, 12 of the fingerprint and 4 of the end (seconds since 1970, big-endian).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EndedList(pub Vec<(Fingerprint, UnixSeconds)>);

impl EndedList {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<EndedList> for String {
    fn from(list: EndedList) -> Self {
        let mut bytes = Vec::with_capacity(list.0.len() * RECORD_BYTES);
        for (fingerprint, until) in list.0 {
            bytes.extend_from_slice(&fingerprint.0);
            // A later end is the year 2106.
            bytes.extend_from_slice(&u32::try_from(until.0).unwrap_or(u32::MAX).to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl TryFrom<String> for EndedList {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() % RECORD_BYTES == 0);
        let bytes = bytes.ok_or(InvalidText::new("a list of what has ended", "base64url of records of 16 bytes"))?;
        let record = |record: &[u8]| {
            let (name, end) = record.split_at(BYTES);
            let until = end.iter().fold(0, |end, byte| (end << 8) | u64::from(*byte));
            (Fingerprint::from_bytes(name), UnixSeconds(until))
        };
        Ok(Self(bytes.chunks_exact(RECORD_BYTES).map(record).collect()))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for EndedList {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for EndedList {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_names_are_told_apart() {
        let all = [
            Fingerprint::of_session("a"),
            Fingerprint::of_token("a"),
            Fingerprint::of_user("a"),
            Fingerprint::of_credential("a"),
            Fingerprint::of_claim("a", "b", "c"),
            Fingerprint::of_claim("ab", "", "c"),
            Fingerprint::of_claim("", "ab", "c"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all.first().unwrap().to_string().len(), 16);
    }

    #[test]
    fn a_list_round_trips_and_a_torn_one_is_refused() {
        let list = EndedList(vec![
            (Fingerprint::of_session("a"), UnixSeconds(1_800_000_000)),
            (Fingerprint::of_token("b"), UnixSeconds(u64::MAX)),
        ]);
        let text = serde_json::to_string(&list).unwrap();
        assert_eq!(text.len(), 2 + 43);
        let EndedList(read) = serde_json::from_str(&text).unwrap();
        assert_eq!(read.first(), list.0.first());
        assert_eq!(read.last().unwrap().1, UnixSeconds(u64::from(u32::MAX)));
        for bad in ["\"AAAA\"", "\"!\"", "\"AAAAAAAAAAAAAAAAAAAAAA==\""] {
            assert!(serde_json::from_str::<EndedList>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&EndedList::default()).unwrap(), "\"\"");
    }
}
