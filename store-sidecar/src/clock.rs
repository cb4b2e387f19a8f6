//! What time it is, as a thing that is handed in.

use std::fmt;

use session_gate_protocol::UnixSeconds;

/// Tells the time. Handed to whatever depends on it, so that a test decides what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> UnixSeconds;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the ambient clock is read")]
    fn now(&self) -> UnixSeconds {
        // A machine whose clock stands before 1970 is taken to be at 1970: nothing has expired then.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixSeconds(since.as_secs())
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
        Self(std::sync::atomic::AtomicU64::new(now.0))
    }

    /// Lets `duration` pass; its fraction of a second is dropped.
    pub fn advance(&self, duration: std::time::Duration) {
        self.0.fetch_add(duration.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
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
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > UnixSeconds(1_760_000_000));
    }
}
