//! What is under way in the background.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// The work under way: one of a subject at a time, and no more than a bound in all. What is not begun is done another
/// time.
#[derive(Debug)]
pub(super) struct UnderWay<K: Eq + Hash> {
    subjects: Mutex<HashSet<K>>,
    most: usize,
}

/// One work under way, until it is dropped.
pub(super) struct Turn<K: Eq + Hash> {
    of: Arc<UnderWay<K>>,
    pub(super) subject: K,
}

impl<K: Eq + Hash> UnderWay<K> {
    /// None, of which there may be `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { subjects: Mutex::default(), most }
    }

    /// Begins with that subject, unless it is under way, or there are too many.
    pub(super) fn begin(self: &Arc<Self>, subject: &K) -> Option<Turn<K>>
    where
        K: Clone,
    {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if subjects.len() >= self.most || !subjects.insert(subject.clone()) {
            return None;
        }
        drop(subjects);
        Some(Turn { of: Arc::clone(self), subject: subject.clone() })
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        self.of.subjects.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_turn_at_a_time_and_all_have_a_bound() {
        let under_way = Arc::new(UnderWay::new(3));
        let first = under_way.begin(&0).unwrap();
        assert!(under_way.begin(&0).is_none());
        let _others = [1, 2].map(|subject| under_way.begin(&subject).unwrap());
        assert!(under_way.begin(&3).is_none());
        drop(first);
        assert!(under_way.begin(&0).is_some());
    }
}
