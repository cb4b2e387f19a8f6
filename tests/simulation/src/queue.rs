//! What happens when.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::clocks::Millis;

/// Events by their time. Those of one millisecond come in an order that the caller's lot decides.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    key: (Millis, u32, u64),
    event: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Queue<T> {
    /// Puts an event in; `lot` decides between those of one millisecond.
    pub fn push(&mut self, at: Millis, lot: u32, event: T) {
        self.pushed += 1;
        self.heap.push(Entry { key: (at, lot, self.pushed), event });
    }

    /// The next event that is due.
    pub fn pop(&mut self, now: Millis) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.event)
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Millis> {
        self.heap.peek().map(|entry| entry.key.0)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        other.key.cmp(&self.key)
    }
}
