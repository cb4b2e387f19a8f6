//! Who tries to log in, what comes of it, and by which rules.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Devices that an account may be known on.
pub const MAX_DEVICES: usize = 20;

/// Tokens that a device may have at once: one and its successors, of which none was shown yet.
pub const MAX_DEVICE_TOKENS: usize = 32;

/// For how long after a token was issued those before it stay known, also where it is shown sooner: requests with them are
/// on their way.
pub const PREDECESSOR_GRACE: Duration = Duration::from_secs(60);

/// A device is forgotten after so many times the failures that it may have in a window.
const VOID_AFTER_WINDOWS: u64 = 10;

/// What a name, an address or a device is stored under: its SHA-256 in base64url.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginHash(String);

impl LoginHash {
    /// That of a text.
    pub fn of(text: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(text)))
    }

    /// Its text: 43 characters of base64url.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LoginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log.
        f.write_str(self.0.get(..10).unwrap_or_default())
    }
}

/// Whose failed logins are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoginCounter {
    /// Those of an account, from devices that are not known.
    Account(LoginHash),
    /// Those from an address.
    Address(LoginHash),
}

/// What has come of a login, as far as its application says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAttempt {
    /// Nothing that counts: whether it is refused is only asked.
    Ask,
    /// It has failed: it counts.
    Failed,
    /// Its user has proved all: nothing counts from before.
    Succeeded,
}

/// When a counter locks, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRules {
    /// Failures within a window until it locks.
    pub max_failures: u32,
    /// For how long a failure counts.
    pub window: Duration,
    /// The longest lock; the first ones are shorter.
    pub longest: Duration,
}

impl LockRules {
    /// How long the lock lasts that follows on so many others.
    pub fn lock(&self, level: u32) -> Duration {
        match level {
            0 => Duration::from_secs(60).min(self.longest),
            1 => Duration::from_secs(300).min(self.longest),
            _ => self.longest,
        }
    }

    /// For how long a lock is remembered after its end: the next one is longer until then. As long as the longest, so that
    /// nobody who waits for it to be forgotten has more guesses than one who goes on.
    pub fn memory(&self) -> Duration {
        self.longest.max(self.window)
    }

    /// After how many failures in all a device is known no more.
    pub fn void_after(&self) -> u64 {
        u64::from(self.max_failures).saturating_mul(VOID_AFTER_WINDOWS)
    }
}

/// What a counter says to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// Whether the attempt may have the outcome that its application says. If not, nothing was counted.
    pub is_admitted: bool,
    /// For how long attempts are refused from now on; zero: they are not.
    pub locked_for: Duration,
    /// How many failures count now.
    pub failures: u64,
    /// Whether a lock has begun with it.
    pub has_locked: bool,
}

/// What a device's own budget says to an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceTallied {
    /// Whether the account knows the device, and it has something left of its budget: then nothing else is asked, and a
    /// failure has been counted here.
    pub is_trusted: bool,
    /// Whether that was the last of its budget.
    pub is_exhausted: bool,
}
