//! The parts that counters are divided into: all of a part are in one slot of a Redis Cluster, with the index
//! that bounds their number.

use session_gate_protocol::CounterId;
use sha2::{Digest as _, Sha256};

/// How many parts there are.
pub(crate) const PARTS: u16 = 4_096;

/// Counters that a part has at least room for, so that hardly any part is full long before the others.
pub(crate) const SMALLEST_PART: usize = 64;

/// Decides which part a counter is of. Everybody can compute a counter's id; but nobody who does not know the
/// salt can choose keys that share a part with a certain counter, and make the store forget that.
#[derive(Clone)]
pub(crate) struct Parts {
    salt: String,
    count: u16,
}

impl Parts {
    /// `salt` is the same for all who share a store.
    pub(crate) fn new(salt: String, count: u16) -> Self {
        Self { salt, count }
    }

    /// The number of the counter's part.
    pub(crate) fn of(&self, counter: &CounterId) -> u16 {
        let digest = Sha256::new().chain_update(&self.salt).chain_update(counter.as_str()).finalize();
        let number = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        u16::try_from(number % u64::from(self.count.max(1))).unwrap_or_default()
    }

    /// How many counters a part has at most, where there are to be `max_counters` in all.
    pub(crate) fn capacity(&self, max_counters: usize) -> usize {
        (max_counters / usize::from(self.count.max(1))).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_know_the_salt_does_not_know_the_part() {
        let [one, another] = ["a", "b"].map(|salt| Parts::new(salt.to_owned(), PARTS));
        let counters = (0..1_000).map(|number| format!("zz{number:014}").parse::<CounterId>().unwrap());
        let alike = counters.filter(|counter| one.of(counter) == another.of(counter)).count();
        assert!(alike < 10, "{alike} of 1000 are in the same of 4096 parts");
    }

    #[test]
    fn all_parts_together_have_no_more_than_is_allowed() {
        let parts = Parts::new(String::new(), PARTS);
        for max in [usize::from(PARTS) * SMALLEST_PART, 1_000_000, 1_000_001] {
            let all = parts.capacity(max) * usize::from(PARTS);
            assert!(all <= max && max - all < usize::from(PARTS), "{all} of {max}");
        }
        assert_eq!(Parts::new(String::new(), 1).capacity(4), 4);
    }
}
