//! A compact set of what has ended: a million sessions in some 20 MiB.

use session_gate_protocol::{Fingerprint, UnixSeconds};

/// Tables, by the first byte of a fingerprint: each grows by itself, so that growing never needs
/// twice the memory of the whole.
const SHARDS: usize = 256;
/// A table this full, in eighths, grows.
const MAX_EIGHTHS: usize = 7;

/// Fingerprints, each until a moment. What has expired goes when its table grows.
#[derive(Debug, Default)]
pub struct EndedSet {
    shards: Vec<Shard>,
}

/// Open addressing with linear probing. A slot is free where its time is 0.
#[derive(Debug, Default)]
struct Shard {
    slots: Vec<(Fingerprint, u32)>,
    used: usize,
}

impl EndedSet {
    /// Puts a fingerprint in, until `until`; an earlier end is never shortened.
    pub fn insert(&mut self, fingerprint: Fingerprint, until: UnixSeconds, now: UnixSeconds) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Shard::default);
        }
        if let Some(shard) = self.shards.get_mut(shard_of(fingerprint)) {
            shard.insert(fingerprint, short(until), short(now));
        }
    }

    /// Whether it has the fingerprint. One that has expired may still be there: nothing that it
    /// concerns is good any more.
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.shards.get(shard_of(fingerprint)).is_some_and(|shard| shard.contains(fingerprint))
    }

    /// Adds what another set has.
    pub fn absorb(&mut self, earlier: Self, now: UnixSeconds) {
        for (fingerprint, until) in earlier.shards.into_iter().flat_map(|shard| shard.slots) {
            if until > short(now) {
                self.insert(fingerprint, UnixSeconds(until.into()), now);
            }
        }
    }

    /// How many it has, expired ones that have not gone yet among them.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.used).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Its table.
fn shard_of(fingerprint: Fingerprint) -> usize {
    usize::from(fingerprint.bytes().first().copied().unwrap_or_default())
}

/// Where to begin looking in a table.
fn start_of(fingerprint: Fingerprint) -> usize {
    fingerprint.bytes().iter().skip(1).take(4).fold(0, |start, byte| (start << 8) | usize::from(*byte))
}

/// Seconds in 32 bits, enough until 2106; a later end is that one.
fn short(time: UnixSeconds) -> u32 {
    u32::try_from(time.0).unwrap_or(u32::MAX).max(1)
}

impl Shard {
    fn insert(&mut self, fingerprint: Fingerprint, until: u32, now: u32) {
        if (self.used + 1) * 8 > self.slots.len() * MAX_EIGHTHS {
            self.grow(now);
        }
        if let Some(slot) = self.find(fingerprint).and_then(|place| self.slots.get_mut(place)) {
            self.used += usize::from(slot.1 == 0);
            *slot = (fingerprint, slot.1.max(until));
        }
    }

    fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.find(fingerprint).and_then(|place| self.slots.get(place)).is_some_and(|slot| slot.1 != 0)
    }

    /// The slot that has the fingerprint, or the free one where it would go.
    fn find(&self, fingerprint: Fingerprint) -> Option<usize> {
        let slots = self.slots.len();
        let start = start_of(fingerprint).checked_rem(slots)?;
        let mut places = (start..slots).chain(0..start);
        places.find(|place| self.slots.get(*place).is_none_or(|(there, until)| *until == 0 || *there == fingerprint))
    }

    /// Drops what has expired, and makes room for an eighth more.
    fn grow(&mut self, now: u32) {
        let kept: Vec<_> = self.slots.drain(..).filter(|(_, until)| *until > now).collect();
        let size = (kept.len() * 9 / 8 + 1) * 8 / MAX_EIGHTHS + 4;
        self.slots = vec![(Fingerprint::default(), 0); size];
        self.used = 0;
        for (fingerprint, until) in kept {
            if let Some(slot) = self.find(fingerprint).and_then(|place| self.slots.get_mut(place)) {
                *slot = (fingerprint, until);
                self.used += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let mut set = EndedSet::default();
        assert!(set.is_empty() && !set.contains(Fingerprint::of_session("a")));
        for i in 0..20_000 {
            set.insert(Fingerprint::of_session(&format!("s{i}")), UnixSeconds(NOW.0 + 60), NOW);
        }
        assert_eq!(set.len(), 20_000);
        assert!((0..20_000).all(|i| set.contains(Fingerprint::of_session(&format!("s{i}")))));
        assert!(!(20_000..40_000).any(|i| set.contains(Fingerprint::of_session(&format!("s{i}")))));
        assert!(!set.contains(Fingerprint::of_token("s1")), "a token is no session");
    }

    #[test]
    fn putting_in_again_changes_nothing_and_never_shortens() {
        let mut set = EndedSet::default();
        let one = Fingerprint::of_token("t");
        set.insert(one, UnixSeconds(NOW.0 + 60), NOW);
        set.insert(one, UnixSeconds(NOW.0 + 1), NOW);
        assert_eq!(set.len(), 1);
        for i in 0..5_000 {
            set.insert(Fingerprint::of_token(&format!("x{i}")), UnixSeconds(NOW.0 + 90), UnixSeconds(NOW.0 + 30));
        }
        assert!(set.contains(one));
    }

    #[test]
    fn what_has_expired_makes_room() {
        let mut set = EndedSet::default();
        for round in 0..20_u64 {
            let now = UnixSeconds(NOW.0 + round * 100);
            for i in 0..5_000 {
                set.insert(Fingerprint::of_token(&format!("{round}-{i}")), UnixSeconds(now.0 + 50), now);
            }
        }
        assert!(set.len() < 20_000, "{}", set.len());
    }

    #[test]
    fn a_million_fit_into_24_mebibytes() {
        let mut set = EndedSet::default();
        for i in 0..1_000_000 {
            set.insert(Fingerprint::of_session(&i.to_string()), UnixSeconds(NOW.0 + 60), NOW);
        }
        let slots: usize = set.shards.iter().map(|shard| shard.slots.capacity()).sum();
        let bytes = slots * size_of::<(Fingerprint, u32)>();
        assert!(bytes <= 24 << 20, "{bytes}");
    }
}
