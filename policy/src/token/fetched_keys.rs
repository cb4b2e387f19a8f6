//! The sidecar's keys, and what it publishes with them.

use std::{collections::HashMap, rc::Rc, time::Duration};

use serde_json::Value;
use session_gate_jose::{self as jose, KeySet};

use super::issuer::{Issuer, KeySource};

/// The keys that the sidecar gave, judged for each issuer that uses them.
#[derive(Debug)]
pub struct FetchedKeys {
    by_issuer: HashMap<String, Rc<KeySet>>,
    published: PublishedSettings,
}

/// What of the policy that the sidecar publishes is in force here, unless the configuration says otherwise: a part of
/// `PublishedPolicy`, so that a sidecar of another version, with other members, is understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishedSettings {
    /// Whether clients must come by https.
    pub require_https: bool,
    /// How long before its end a session's token is renewed; zero: never.
    pub token_refresh_threshold: Duration,
}

impl PublishedSettings {
    /// What a reply about keys publishes; an older sidecar's publishes nothing. `None` where it cannot be read.
    fn read(reply: &Value) -> Option<Self> {
        let said = |name| reply.get("policy").and_then(|policy| policy.get(name));
        let require_https = said("require_https").map_or(Some(false), Value::as_bool)?;
        let threshold = said("token_refresh_threshold").map_or(Some(0), Value::as_u64)?;
        Some(Self { require_https, token_refresh_threshold: Duration::from_secs(threshold) })
    }
}

impl FetchedKeys {
    /// Reads the sidecar's reply. An issuer for which it has no good key has none from here on, and does not block the
    /// others: a key that was withdrawn is not good any more, whatever comes in its place. `None` where it is no key set,
    /// has no good key of any algorithm, or what it publishes cannot be read: what is known stays.
    pub fn read<'a>(body: &[u8], issuers: impl IntoIterator<Item = &'a Issuer>) -> Option<Self> {
        let published = PublishedSettings::read(&serde_json::from_slice(body).ok()?)?;
        let set = jose::parse_fetched(body)?;
        KeySet::lenient(&set, &[])?;
        let of_sidecar = issuers.into_iter().filter(|issuer| matches!(issuer.keys, KeySource::Sidecar));
        let fitting =
            |issuer: &Issuer| Some((issuer.name.clone(), Rc::new(KeySet::lenient(&set, &issuer.algorithms)?)));
        Some(Self { by_issuer: of_sidecar.filter_map(fitting).collect(), published })
    }

    /// What is in force unless the configuration says otherwise.
    pub const fn published(&self) -> PublishedSettings {
        self.published
    }

    pub(super) fn of(&self, issuer: &Issuer) -> Option<&KeySet> {
        self.by_issuer.get(&issuer.name).map(Rc::as_ref)
    }
}
