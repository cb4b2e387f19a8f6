//! A map whose entries are relevant until a moment.

use std::collections::HashMap;

use session_gate_protocol::{Fingerprint, UnixSeconds};

/// How many entries are looked through first for those that have expired.
const CLEAN_AT: usize = 1_000;

/// Values by fingerprint, each until a moment. What has expired goes when the map has doubled, so that
/// putting in costs the same however many there are.
#[derive(Debug)]
pub(super) struct Expiring<V> {
    entries: HashMap<Fingerprint, (V, UnixSeconds)>,
    clean_at: usize,
}

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), clean_at: CLEAN_AT }
    }
}

impl<V> Expiring<V> {
    /// The value; one that has expired may still be there.
    pub(super) fn get(&self, key: Fingerprint) -> Option<&V> {
        self.entries.get(&key).map(|(value, _)| value)
    }

    /// Until when the value is relevant.
    pub(super) fn until(&self, key: Fingerprint) -> Option<UnixSeconds> {
        self.entries.get(&key).map(|(_, until)| *until)
    }

    /// Drops what has expired.
    pub(super) fn prune(&mut self, now: UnixSeconds) {
        self.entries.retain(|_, (_, until)| now < *until);
    }

    pub(super) fn insert(&mut self, key: Fingerprint, value: V, until: UnixSeconds, now: UnixSeconds) {
        if self.entries.len() >= self.clean_at {
            self.entries.retain(|_, (_, until)| now < *until);
            self.clean_at = self.entries.len().saturating_mul(2).max(CLEAN_AT);
        }
        self.entries.insert(key, (value, until));
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(value, _)| value)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Fingerprint, V, UnixSeconds)> {
        self.entries.drain().map(|(key, (value, until))| (key, value, until))
    }

    pub(super) fn remove(&mut self, key: Fingerprint) {
        self.entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_makes_room_and_the_rest_stays() {
        let mut map = Expiring::default();
        let key = |i: u64| Fingerprint::of_session(&i.to_string());
        for i in 0..10_000 {
            // Each is of use for 100 seconds of a clock that goes on by one each time.
            map.insert(key(i), i, UnixSeconds(i + 100), UnixSeconds(i));
        }
        assert!(map.entries.len() <= 1_000, "{}", map.entries.len());
        assert!((9_901..10_000).all(|i| map.get(key(i)) == Some(&i)));
        map.remove(key(9_999));
        assert_eq!(map.get(key(9_999)), None);
    }
}
