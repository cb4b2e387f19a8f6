//! What time it is, as a thing that is handed in.

use std::fmt;

use session_gate_protocol::UnixSeconds;

/// Tells the time. Handed to whatever depends on it, so that a test decides what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now, in milliseconds since 1970.
    fn millis(&self) -> u64;

    /// The time now.
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.millis() / 1_000)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the ambient clock is read")]
    fn millis(&self) -> u64 {
        // A machine whose clock stands before 1970 is taken to be at 1970: nothing has expired then.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        millis(since)
    }
}

/// A clock that stands still until a test moves it.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug)]
pub struct ManualClock(std::sync::atomic::AtomicU64);

#[cfg(any(test, feature = "test-util"))]
impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: UnixSeconds) -> Self {
        Self(std::sync::atomic::AtomicU64::new(now.0 * 1_000))
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: std::time::Duration) {
        self.0.fetch_add(millis(duration), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Clock for ManualClock {
    fn millis(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = ManualClock::new(UnixSeconds(10));
        assert_eq!((clock.now(), clock.now()), (UnixSeconds(10), UnixSeconds(10)));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), UnixSeconds(15));
        clock.advance(Duration::from_millis(1_500));
        assert_eq!((clock.now(), clock.millis()), (UnixSeconds(16), 16_500));
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > UnixSeconds(1_760_000_000));
    }
}
