//! Rate limits: what is counted, and how a worker takes admissions ahead of the requests that need them.
//!
//! A *limit* has a name and *quotas*. It counts by *keys*: one count for each user, address and so on.
//! A worker *leases* admissions of a key: they are taken off its quotas before the first of them is used,
//! so that no quota is exceeded whatever becomes of the worker. What it has not used it hands back.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::RangeInclusive, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, InvalidText, id::text_type};

/// Most quotas of one limit.
pub const MAX_QUOTAS: usize = 8;
/// Most admissions that a quota has, or that one question asks for.
pub const MAX_REQUESTS: u64 = 1_000_000_000;
/// Longest window, in milliseconds: 31 days.
pub const MAX_WINDOW_MS: u64 = 31 * 24 * 3600 * 1000;
/// Shortest window, in milliseconds.
pub const MIN_WINDOW_MS: u64 = 1000;
/// Most questions in one call of `POST /v1/leases`.
pub const MAX_LEASE_ASKS: usize = 128;
/// Most leases that one question settles.
pub const MAX_SETTLED: usize = 16;
/// No lease lives longer, in milliseconds.
pub const MAX_LEASE_MS: u64 = 60_000;
/// Longest text of a [`LimitKey`], in bytes. What is longer stands in it as its hash.
pub const MAX_LIMIT_KEY_BYTES: usize = 1024;

text_type!(
    /// A limit's name: stands in metrics, headers and keys.
    LimitName,
    "a limit's name",
    "1 to 64 of a-z A-Z 0-9 _ -",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

impl fmt::Debug for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LimitName({})", self.0)
    }
}

text_type!(
    /// What a limit's count for one key is known by: made from the key, see [`LimitKey::counter`].
    CounterId,
    "a counter's id",
    "16 base64url characters",
    |text| text.len() == 16 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);

impl fmt::Debug for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterId({})", self.0)
    }
}

/// Longest value that stands in a key as it is, in bytes.
const MAX_VALUE_BYTES: usize = 100;

/// What is percent-encoded in a key: all that is not unreserved (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a limit counts by: `<limit>:<name>=<value>&<name>=<value>`, names in their order, names and values
/// percent-encoded. A key without parts, that of a limit that counts all requests together, is `<limit>:`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LimitKey {
    /// The limit.
    pub limit: LimitName,
    /// The parts: `user` and `issuer`, `session`, `address`, `header.<name>`, `claim.<name>`.
    pub parts: BTreeMap<String, String>,
}

/// The values may be secrets: a limit may count by an API key's header.
impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, parts } = self;
        f.debug_struct("LimitKey").field("limit", limit).field("parts", &parts.keys()).finish()
    }
}

impl LimitKey {
    /// By what its count is known.
    pub fn counter(&self) -> CounterId {
        Self::counter_of(&self.to_string())
    }

    /// A part's value as it stands in a key: of one that is longer than 100 bytes its first eight characters, `…`, and
    /// its hash.
    pub fn part(value: &str) -> Cow<'_, str> {
        if value.len() <= MAX_VALUE_BYTES {
            return Cow::Borrowed(value);
        }
        // Whoever writes that instead of the long value shares its count, as with the long value itself.
        let start: String = value.chars().take(8).collect();
        Cow::Owned(format!("{start}…{}", Fingerprint::of_credential(value)))
    }

    /// By what the count is known of the key with that text.
    pub fn counter_of(text: &str) -> CounterId {
        CounterId(Fingerprint::of_limit_key(text).to_string())
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.limit)?;
        for (place, (name, value)) in self.parts.iter().enumerate() {
            let between = if place == 0 { "" } else { "&" };
            write!(f, "{between}{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED))?;
        }
        Ok(())
    }
}

impl FromStr for LimitKey {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = InvalidText::new(
            "a limit's key",
            "a limit's name, a colon, and parts such as user=alice&issuer=session-gate, percent-encoded, each once; \
             at most 1024 bytes",
        );
        let read = || {
            let (limit, rest) = text.split_once(':')?;
            let mut parts = BTreeMap::new();
            for part in rest.split('&').filter(|_| !rest.is_empty()) {
                let (name, value) = part.split_once('=')?;
                let [name, value] = [name, value].map(|text| percent_decode_str(text).decode_utf8().ok());
                let (name, value) = (name.filter(|name| !name.is_empty())?, value?);
                let is_new = parts.insert(name.into_owned(), Self::part(&value).into_owned()).is_none();
                is_new.then_some(())?;
            }
            let key = Self { limit: limit.parse().ok()?, parts };
            (key.to_string().len() <= MAX_LIMIT_KEY_BYTES).then_some(key)
        };
        read().ok_or(invalid)
    }
}

/// How a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// At most `requests` in each window; windows begin at whole multiples of their length since 1970, by the
    /// store's clock.
    FixedWindow,
    /// At most `requests` at any one time. No window.
    InFlight,
    /// At most `requests` in any interval that is as long as the window.
    SlidingWindow,
    /// The generic cell rate algorithm: `requests` in a window flow into a bucket of `burst`.
    TokenBucket,
}

impl Algorithm {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FixedWindow => "fixed_window",
            Self::InFlight => "in_flight",
            Self::SlidingWindow => "sliding_window",
            Self::TokenBucket => "token_bucket",
        }
    }
}

/// What a limit allows: so many, in such a time. A limit may have several; each admission takes from all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How it counts. `in_flight` stands alone: a limit with it has no other quota.
    pub algorithm: Algorithm,
    /// How many: 1 to 1,000,000,000.
    pub requests: u64,
    /// The window in milliseconds, 1,000 to 2,678,400,000; 0 with `in_flight`.
    pub window_ms: u64,
    /// `token_bucket` only: the size of the bucket, 1 to 1,000,000,000; none: `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
}

impl Quota {
    /// How many can be admitted at once where nothing was admitted for long.
    pub const fn size(&self) -> u64 {
        match (self.algorithm, self.burst) {
            (Algorithm::TokenBucket, Some(burst)) => burst,
            _ => self.requests,
        }
    }

    /// The first of its fields that is out of its range, and what is allowed there.
    pub fn misfit(&self) -> Option<(&'static str, String)> {
        let is_in_flight = self.algorithm == Algorithm::InFlight;
        let window = if is_in_flight { 0..=0 } else { MIN_WINDOW_MS..=MAX_WINDOW_MS };
        let ranges = [
            ("requests", self.requests, 1..=MAX_REQUESTS),
            ("window_ms", self.window_ms, window),
            ("burst", self.burst.unwrap_or(1), 1..=MAX_REQUESTS),
        ];
        let allowed = |range: &RangeInclusive<u64>| format!("must be {} to {}", range.start(), range.end());
        let misfit = ranges.into_iter().find(|(_, number, range)| !range.contains(number));
        let has_burst = self.burst.is_some() && self.algorithm != Algorithm::TokenBucket;
        misfit
            .map(|(field, _, range)| (field, allowed(&range)))
            .or_else(|| has_burst.then(|| ("burst", "is for token_bucket only".to_owned())))
    }
}

/// Body of `POST /v1/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The asking worker's name, as in `GET /v1/feed`: no two workers have the same.
    pub worker: String,
    /// At most 128, each of another counter. Each is a step of its own.
    pub asks: Vec<LeaseAsk>,
}

/// What a worker asks of one counter: first what it settles is settled, then it is given what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseAsk {
    /// The counter.
    pub counter: CounterId,
    /// What may be admitted: 1 to 8 quotas.
    pub quotas: Vec<Quota>,
    /// Leases that the worker uses no more; at most 16. One that is not known (it has ended, or was settled
    /// before) changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settle: Vec<SettledLease>,
    /// What was used beyond all leases, since it cost more than was known before. Counts in full, even if
    /// there is less left.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub owed: u64,
    /// The worker's number for the new lease: it never gives one number to two.
    pub lease: u64,
    /// `in_flight` only: how many of the settled slots are still in use. They move to the new lease, whatever
    /// there is left.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub kept: u64,
    /// How many the worker needs now: given in full where there are as many, else as many as there are.
    pub need: u64,
    /// How many it would like to have, `need` among them, for what comes: the store gives at most a part of
    /// what is left beyond `need`, so that there is something for others.
    pub want: u64,
}

/// A lease that a worker uses no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettledLease {
    /// Its number.
    pub lease: u64,
    /// How many of its admissions were used. The others can be given again.
    pub used: u64,
}

/// Reply of `POST /v1/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseReply {
    /// How many workers follow the feed, over all replicas, as far as this one knows; at least 1.
    pub workers: u64,
    /// One for each question, in their order.
    pub grants: Vec<LeaseGrant>,
}

/// What came of one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LeaseGrant {
    /// The store has answered.
    Lease(Lease),
    /// The store has not answered: the step may have been done or not.
    Unavailable,
}

/// A lease, and what is left beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// How many admissions, beside those that were kept. 0: there were none left.
    pub granted: u64,
    /// For how long it can be used, in milliseconds from when the worker asked. What is not settled by then
    /// counts as used.
    pub lifetime_ms: u64,
    /// How many of this counter are in other leases: they may come back.
    pub outstanding: u64,
    /// In how many milliseconds there is more even if nothing comes back; 0 where something is left.
    pub retry_ms: u64,
    /// In how many milliseconds it is worth asking again: `retry_ms`, or earlier where something may come
    /// back.
    pub again_ms: u64,
    /// Of each quota, in their order, what is left.
    pub quotas: Vec<QuotaState>,
}

/// What is left of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaState {
    /// How many are neither used nor in a lease.
    pub remaining: u64,
    /// In how many milliseconds there is more: the window's end, or when the oldest use falls out of it, or
    /// when the bucket is full; 0 where nothing is missing.
    pub reset_ms: u64,
}

/// Body of `PUT /v1/limits/overrides/{key}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NewLimitOverride {
    /// How many requests each quota of the limit allows this key, in their order: 1 to 8 numbers, each 1 to
    /// 1,000,000,000. Quotas beyond these stay as they are. A bucket that has its own `burst` keeps it. Required.
    pub requests: Vec<u64>,
    /// For how many seconds; none: until it is removed.
    pub duration: Option<u64>,
    /// Why, for whoever reads the list: at most 256 bytes.
    pub note: Option<String>,
}

/// An override in force, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitOverrideData {
    /// Of which key.
    pub key: String,
    /// How many requests each quota allows it.
    pub requests: Vec<u64>,
    /// Until when; none: until it is removed.
    pub expires_at: Option<crate::UnixSeconds>,
    /// Why.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_text_and_is_read_back() {
        for text in
            ["default:address=192.0.2.1", "all:", "a:address=2001%3Adb8%3A%3A%2F64&header.x-tenant=a%20%26%20b%3D"]
        {
            let key: LimitKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
        }
        let sorted: LimitKey = "u:user=alice&issuer=session-gate".parse().unwrap();
        assert_eq!(sorted.to_string(), "u:issuer=session-gate&user=alice");
        // Stored: a change here makes every count unknown.
        assert_eq!(sorted.counter().as_str(), "Ukr_WW2dmjfltDLS");
        let long: String = (0..20).map(|number| format!("&part{number}={}", "y".repeat(100))).collect();
        let long = format!("a:{}", long.trim_start_matches('&'));
        for bad in ["", "all", ":a=b", "a b:", "a:x", "a:x=1&", "a:x=1&x=2", "a:x=1&%78=2", "a:=1", "a:x=%FF", &long] {
            assert!(bad.parse::<LimitKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_may_be_written_in_several_ways() {
        let canonical = |text: &str| text.parse::<LimitKey>().unwrap().to_string();
        for text in ["u:user=a+b@example.com", "u:user=a%2Bb%40example.com", "u:user=%61+b%40example.com"] {
            assert_eq!(canonical(text), "u:user=a%2Bb%40example.com", "a plus is no blank");
        }
        let long = canonical(&format!("u:header.x-key={}", "k".repeat(2_000)));
        assert_eq!(long, "u:header.x-key=kkkkkkkk%E2%80%A6s6ulnnFZqajzgkb_");
        assert_eq!(canonical(&long), long);
    }

    #[test]
    fn no_two_keys_share_a_counter_by_their_spelling() {
        let key = |parts: &[(&str, &str)]| LimitKey {
            limit: "l".parse().unwrap(),
            parts: parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let keys = [key(&[("a", "1&b=2")]), key(&[("a", "1"), ("b", "2")]), key(&[("a", "1%26b=2")]), key(&[])];
        let counters: std::collections::HashSet<_> = keys.iter().map(LimitKey::counter).collect();
        assert_eq!(counters.len(), keys.len());
    }

    #[test]
    fn a_quota_has_what_its_algorithm_needs_and_no_more() {
        let quota = |algorithm, requests, window_ms, burst| Quota { algorithm, requests, window_ms, burst };
        assert!(quota(Algorithm::FixedWindow, 1, 1000, None).misfit().is_none());
        assert!(quota(Algorithm::SlidingWindow, MAX_REQUESTS, MAX_WINDOW_MS, None).misfit().is_none());
        assert!(quota(Algorithm::TokenBucket, 5, 1000, Some(1)).misfit().is_none());
        assert!(quota(Algorithm::InFlight, 5, 0, None).misfit().is_none());
        for bad in [
            quota(Algorithm::FixedWindow, 0, 1000, None),
            quota(Algorithm::FixedWindow, 1, 999, None),
            quota(Algorithm::FixedWindow, 1, 1000, Some(1)),
            quota(Algorithm::SlidingWindow, MAX_REQUESTS + 1, 1000, None),
            quota(Algorithm::SlidingWindow, 1, MAX_WINDOW_MS + 1, None),
            quota(Algorithm::TokenBucket, 1, 1000, Some(0)),
            quota(Algorithm::InFlight, 1, 1000, None),
        ] {
            assert!(bad.misfit().is_some(), "{bad:?}");
        }
        assert_eq!(quota(Algorithm::TokenBucket, 5, 1000, Some(9)).size(), 9);
    }
}
