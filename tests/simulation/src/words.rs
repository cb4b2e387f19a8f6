//! What the store has had in its time, one word after the other, and of which callers were told.

use crate::{clocks::Millis, refusal::Refusal};

/// Words on one thing, the latest last.
#[derive(Debug)]
pub struct Words<S>(Vec<Word<S>>);

#[derive(Debug)]
struct Word<S> {
    says: S,
    /// That a caller was told of it.
    told: Option<Refusal>,
}

impl<S> Words<S> {
    /// The first one.
    pub fn new(says: S) -> Self {
        Self(vec![Word { says, told: None }])
    }

    /// The last one.
    pub fn last(&self) -> Option<&S> {
        self.0.last().map(|word| &word.says)
    }

    /// The store has another one.
    pub fn push(&mut self, says: S) {
        self.0.push(Word { says, told: None });
    }

    /// A caller was told of the last one that is meant.
    pub fn told(&mut self, is_meant: impl Fn(&S) -> bool, call: Refusal) {
        if let Some(word) = self.0.iter_mut().rev().find(|word| is_meant(&word.says)) {
            word.told = Some(Refusal::merge(word.told, call));
        }
    }

    /// Whether any is meant.
    pub fn any(&self, is_meant: impl Fn(&S) -> bool) -> bool {
        self.0.iter().any(|word| is_meant(&word.says))
    }

    /// A caller was told of the first one that is meant.
    pub fn told_first(&mut self, is_meant: impl Fn(&S) -> bool, call: Refusal) {
        if let Some(word) = self.0.iter_mut().find(|word| is_meant(&word.says)) {
            word.told = Some(Refusal::merge(word.told, call));
        }
    }

    /// What callers were told is not promised any more.
    pub fn forget_told(&mut self) {
        self.0.iter_mut().for_each(|word| word.told = None);
    }

    /// What has taken it back: what was told after the last word that permits it.
    pub fn refusal(&self, permits: impl Fn(&S) -> bool) -> Option<Refusal> {
        let since = self.0.iter().rev().take_while(|word| !permits(&word.says));
        since.filter_map(|word| word.told).fold(None, |all, told| Some(Refusal::merge(all, told)))
    }

    /// Whether a worker may refuse it: some word does, and it need not have heard yet of a later one. `is_heard`:
    /// whether it must have heard of what was told at that moment.
    pub fn may_refuse(&self, permits: impl Fn(&S) -> bool, is_heard: impl Fn(Millis) -> bool) -> bool {
        let certain = self.0.iter().rposition(|word| word.told.is_some_and(|told| is_heard(told.acked)));
        self.0.iter().skip(certain.unwrap_or_default()).any(|word| !permits(&word.says))
    }
}
