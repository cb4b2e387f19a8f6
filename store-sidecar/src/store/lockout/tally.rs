//! One counter of failed logins.

use std::time::Duration;

use super::attempt::{LockRules, LoginAttempt, Tallied};

/// One counter of failed logins. Moments are in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// When those failed that may still count, the latest last: at most as many as lock.
    failures: Vec<u64>,
    /// How many locks there have been in a row.
    level: u32,
    /// Until when it is locked.
    until: u64,
}

impl Tally {
    /// Decides about an attempt at `now`, and counts it.
    pub fn attempt(&mut self, now: u64, attempt: LoginAttempt, rules: &LockRules) -> Tallied {
        self.forget(now, rules);
        let is_admitted = now >= self.until;
        let mut has_locked = false;
        match attempt {
            _ if !is_admitted => {}
            LoginAttempt::Ask => {}
            LoginAttempt::Succeeded => *self = Self::default(),
            LoginAttempt::Failed => {
                let most = usize::try_from(rules.max_failures.max(1)).unwrap_or(usize::MAX);
                self.failures.push(now);
                let surplus = self.failures.len().saturating_sub(most);
                self.failures.drain(..surplus);
                if self.failures.len() >= most {
                    self.until = now.saturating_add(millis(rules.lock(self.level)));
                    self.level = self.level.saturating_add(1);
                    has_locked = true;
                }
            }
        }
        let locked_for = Duration::from_millis(self.until.saturating_sub(now));
        let failures = u64::try_from(self.failures.len()).unwrap_or(u64::MAX);
        Tallied { is_admitted, locked_for, failures, has_locked }
    }

    /// When it is as if new.
    pub fn end(&self, rules: &LockRules) -> u64 {
        let counts = self.failures.last().map_or(0, |last| last.saturating_add(millis(rules.window)));
        let remembered = if self.level == 0 { 0 } else { self.until.saturating_add(millis(rules.memory())) };
        counts.max(remembered)
    }

    /// Forgets what does not count any more.
    fn forget(&mut self, now: u64, rules: &LockRules) {
        let window = millis(rules.window);
        self.failures.retain(|failed| now < failed.saturating_add(window));
        if now >= self.until.saturating_add(millis(rules.memory())) {
            (self.level, self.until) = (0, 0);
        }
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
