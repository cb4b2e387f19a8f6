//! Sessions that end where they are not used for a while: when the store has noted their last use, and when clients have
//! used them.

use std::time::Duration;

use session_gate_protocol::{AllowReason, DenyReason};

use crate::{clocks::Millis, decision::Decision};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 4] = [
    ("idle sessions", "admitted alone"),
    ("idle sessions", "admitted, said a sidecar"),
    ("idle sessions", "refused"),
    ("streams", "ended as idle"),
];

/// How finely the store counts.
const SECOND: Millis = 1_000;

/// A session's idle time-out, and its uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// After how many seconds without use it ends.
    timeout: u64,
    /// The last use that the store has noted, in seconds by its wall.
    noted: u64,
    /// The last use that was admitted, in milliseconds by the store's wall.
    used: Option<u64>,
}

impl Idle {
    /// That of a session that was used at that second.
    pub const fn new(timeout: u64, noted: u64) -> Self {
        Self { timeout, noted, used: None }
    }

    /// The store has noted a use.
    pub fn note(&mut self, noted: u64) {
        self.noted = self.noted.max(noted);
    }

    /// A request was admitted at that time of the store's wall, in milliseconds.
    pub fn used(&mut self, wall: u64) {
        self.used = Some(wall.max(self.used.unwrap_or_default()));
    }

    /// The second, by the store's wall, at which it ends as far as the store has noted its uses.
    pub const fn ends(self) -> u64 {
        self.noted + self.timeout
    }

    /// A quarter of the time-out: for so long a worker may go on by itself after it has asked.
    pub const fn quarter(self) -> Duration {
        Duration::from_millis(self.timeout * SECOND / 4)
    }

    /// The same by the slowest of clocks, in milliseconds.
    const fn longest_quarter(self) -> Millis {
        self.timeout * SECOND * 255 / 1_000
    }

    /// How old a use that is noted may grow before another is, in milliseconds.
    const fn resolution(self) -> Millis {
        self.timeout / 4 * SECOND
    }

    /// The last millisecond, by the store's wall, at which a worker may still serve it without asking. `is_noted`: whether
    /// the store has noted each use that it was told of.
    pub fn served_until(self, is_noted: bool) -> u64 {
        let ends = self.ends() * SECOND;
        if is_noted {
            // It has asked within a quarter, and that was noted, unless one was that is not older than the resolution.
            ends.max((self.noted + 1) * SECOND + self.resolution() + self.longest_quarter())
        } else {
            ends + self.longest_quarter()
        }
    }

    /// The first millisecond, by the store's wall, at which it may have ended by the uses that were admitted: a worker
    /// has asked no longer before than a quarter or `patience`.
    pub fn may_end(self, patience: Duration) -> Option<u64> {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let asked = self.used?.saturating_sub(self.longest_quarter().max(patience));
        Some((asked + self.timeout * SECOND).saturating_sub(self.resolution() + SECOND))
    }
}

/// What has been shown by a decision about a session with that idle time-out, if anything has.
pub fn exercised(idle: Option<Idle>, decision: Decision, asked: Option<bool>) -> Option<&'static str> {
    idle?;
    match (decision, asked) {
        (Decision::Allow(AllowReason::Token), None) => Some("admitted alone"),
        (Decision::Allow(AllowReason::Token), Some(true)) => Some("admitted, said a sidecar"),
        (Decision::Deny(DenyReason::SessionExpired), _) => Some("refused"),
        _ => None,
    }
}
