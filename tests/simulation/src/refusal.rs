//! What was taken back, and what may have been.

use crate::clocks::Millis;

/// Something was taken back, and the caller was told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When the first call that did it began.
    pub begun: Millis,
    /// When it was acknowledged first.
    pub acked: Millis,
    /// When a caller was told that every worker knows.
    pub receipt: Option<Millis>,
}

/// A call that takes something back, or gives it back, as seen from what it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many are under way.
    pub under_way: u32,
    /// Whether one had no good end, so that workers may know of what the store does not.
    pub in_doubt: bool,
    /// When that was the last one.
    pub doubted_at: Millis,
}

impl Refusal {
    /// The same, told once more.
    pub fn merge(known: Option<Self>, new: Self) -> Self {
        let Some(known) = known else { return new };
        let receipt = match (known.receipt, new.receipt) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { begun: known.begun.min(new.begun), acked: known.acked.min(new.acked), receipt }
    }
}

impl Pending {
    /// A call begins.
    pub fn begin(&mut self) {
        self.under_way += 1;
    }

    /// A call ends, well or not.
    pub fn end(&mut self, well: bool, now: Millis) {
        self.under_way = self.under_way.saturating_sub(1);
        if !well {
            self.in_doubt = true;
            self.doubted_at = now;
        }
    }

    /// Whether nothing of the kind was ever begun without an end that is known.
    pub fn is_clear(&self) -> bool {
        self.under_way == 0 && !self.in_doubt
    }
}
