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
    /// Reads the sidecar's reply. An issuer for which it has no good key keeps its `previous` ones, so
    /// that one never blocks the others. `None` where it is no key set, or has no key for anybody.
    pub fn read<'a>(
        body: &[u8],
        issuers: impl IntoIterator<Item = &'a Issuer>,
        previous: Option<&Self>,
    ) -> Option<Self> {
        let set = jose::parse_fetched(body)?;
        let mut by_issuer = previous.map(|keys| keys.by_issuer.clone()).unwrap_or_default();
        let mut found = false;
        for issuer in issuers.into_iter().filter(|issuer| matches!(issuer.keys, KeySource::Sidecar)) {
            if let Some(keys) = KeySet::lenient(&set, &issuer.algorithms) {
                by_issuer.insert(issuer.name.clone(), Rc::new(keys));
                found = true;
            }
        }
        found.then_some(Self { by_issuer })
    }

    pub(super) fn of(&self, issuer: &Issuer) -> Option<&KeySet> {
        self.by_issuer.get(&issuer.name).map(Rc::as_ref)
    }
}
