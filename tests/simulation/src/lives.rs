//! How long tokens live, and how soon before their end they are renewed.

use std::time::Duration;

/// The lives of tokens, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// How long a token lives.
    pub duration: u64,
    /// How soon before its end it is renewed.
    pub threshold: u64,
}

impl Lives {
    /// So long that no token is renewed in a run.
    pub const LONG: Self = Self { duration: 3_600, threshold: 900 };

    /// In some runs tokens are renewed after seconds, and in some of these they also expire.
    pub fn new(rng: &mut fastrand::Rng) -> Self {
        let all = [(3_600, 3_597), (3_600, 3_598), (8, 6), (5, 3), (3, 2)];
        match rng.u8(0..10) {
            0..4 => Self::LONG,
            _ => rng.choice(all).map_or(Self::LONG, |(duration, threshold)| Self { duration, threshold }),
        }
    }

    /// Whether tokens are renewed in a run.
    pub fn are_short(self) -> bool {
        self != Self::LONG
    }

    /// How long a token lives.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.duration)
    }

    /// How soon before its end it is renewed.
    pub const fn threshold(self) -> Duration {
        Duration::from_secs(self.threshold)
    }
}
