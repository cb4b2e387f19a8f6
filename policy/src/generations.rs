//! A bounded map that forgets gradually.

use std::{collections::HashMap, hash::Hash};

/// A map of at most so many entries in two generations: when the younger is full it becomes the older, and the older
/// one's entries that were not put in again go. So half of all that was put in last is always there, and no entry
/// costs more than its own insertion.
#[derive(Debug)]
pub struct Generations<K, V> {
    younger: HashMap<K, V>,
    older: HashMap<K, V>,
    /// Entries of one generation at most.
    half: usize,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// An empty map of at most `most` entries, at least 2.
    pub fn new(most: usize) -> Self {
        Self { younger: HashMap::new(), older: HashMap::new(), half: (most / 2).max(1) }
    }

    /// The value.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.younger.get(key).or_else(|| self.older.get(key))
    }

    /// Puts a value in.
    pub fn insert(&mut self, key: K, value: V) {
        self.older.remove(&key);
        if self.younger.len() >= self.half && !self.younger.contains_key(&key) {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, value);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets_what_was_put_in_first() {
        let mut map = Generations::new(1_000);
        for i in 0..50_000_u32 {
            map.insert(i, i);
            assert!(map.len() <= 1_000);
            assert!((i.saturating_sub(499)..=i).all(|last| map.get(&last) == Some(&last)), "{i}");
        }
        assert_eq!(map.get(&0), None);
    }

    #[test]
    fn putting_in_again_keeps_an_entry_and_changes_its_value() {
        let mut map = Generations::new(4);
        for i in 0..100 {
            map.insert("kept", i);
            map.insert(["a", "b", "c", "d", "e"][i % 5], i);
            assert_eq!(map.get(&"kept"), Some(&i));
        }
    }
}
