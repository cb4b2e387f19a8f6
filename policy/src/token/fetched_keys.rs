//! The sidecar's keys.

use std::{collections::HashMap, rc::Rc};

use session_gate_jose::{self as jose, KeySet};

use super::issuer::{Issuer, KeySource};

/// The keys that the sidecar gave, judged for each issuer that uses them.
#[derive(Debug)]
pub struct FetchedKeys {
    by_issuer: HashMap<String, Rc<KeySet>>,
}

impl FetchedKeys {
    /// Reads the sidecar's reply. An issuer for which it has no good key has none from here on, and does not block the
    /// others: a key that was withdrawn is not good any more, whatever comes in its place. `None` where it is no key set,
    /// or has no good key of any algorithm: what is known stays.
    pub fn read<'a>(body: &[u8], issuers: impl IntoIterator<Item = &'a Issuer>) -> Option<Self> {
        let set = jose::parse_fetched(body)?;
        KeySet::lenient(&set, &[])?;
        let of_sidecar = issuers.into_iter().filter(|issuer| matches!(issuer.keys, KeySource::Sidecar));
        let fitting =
            |issuer: &Issuer| Some((issuer.name.clone(), Rc::new(KeySet::lenient(&set, &issuer.algorithms)?)));
        Some(Self { by_issuer: of_sidecar.filter_map(fitting).collect() })
    }

    pub(super) fn of(&self, issuer: &Issuer) -> Option<&KeySet> {
        self.by_issuer.get(&issuer.name).map(Rc::as_ref)
    }
}
