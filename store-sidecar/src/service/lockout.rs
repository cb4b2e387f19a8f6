//! Whether a login is let through, and what counts.
//!
//! 1. A device that the account knows is asked about first. With something left of its budget nothing else is asked: whoever
//!    else guesses cannot lock its owner out.
//! 2. An address that is locked is refused, and counts for no account.
//! 3. The account decides, and counts, in one step.
//! 4. The address counts what the account has counted, and decides once more: many guesses at once are as many as counted
//!    before. What the account has refused it does not count, or the address would tell a right guess from a wrong one.
//!
//! Account and address are in different slots of a Cluster. Whoever stops between two steps has counted too much, and the
//! client gets neither answer.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_gate_protocol::{
    DEVICE_PREFIX, DeviceToken, Lockout, LoginFailure, LoginGuard, MAX_DEVICE_TOKENS, Network, NewLoginFailure,
};

use super::{Service, ServiceError, account_name, input::invalid};
use crate::{
    metrics::LockedBy,
    rng::random_bytes,
    store::{LockRules, LoginAttempt, LoginCounter, LoginDevice, LoginHash, Tallied},
};

/// For how long a device is known: 180 days.
const DEVICE_LIFETIME: Duration = Duration::from_hours(180 * 24);

/// For how long a second login of a device leaves the first alone, as far as the limit of sessions goes.
const TWIN_WINDOW: Duration = Duration::from_secs(10);

/// Who has tried to log in.
#[derive(Clone, Debug)]
pub(super) struct Attempting {
    account: LoginHash,
    address: Option<LoginHash>,
    /// Those that were shown; once the account is known to know one, that comes first.
    devices: Vec<LoginHash>,
    issues_device: bool,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gated {
    /// Its device is one that the account knows: nothing else was asked.
    Known,
    /// It may have the outcome that its application says. For so long others are refused from now on; zero: they are not.
    Admitted(Duration),
    /// It is refused for so long, whatever its application says.
    Locked(Duration),
}

impl Attempting {
    /// The device that logs in, where its account knows it.
    pub(super) fn known_device(&self, gated: Gated) -> Option<LoginDevice> {
        let hash = self.devices.first().cloned().filter(|_| gated == Gated::Known)?;
        Some(LoginDevice { hash, window: TWIN_WINDOW })
    }
}

impl Gated {
    /// # Errors
    /// `LoginLocked` where it is refused.
    pub(super) fn admitted(self) -> Result<(), ServiceError> {
        match self {
            Self::Known | Self::Admitted(_) => Ok(()),
            Self::Locked(remaining) => Err(ServiceError::LoginLocked { retry_after: seconds(remaining) }),
        }
    }
}

impl Service {
    /// Who has tried to log in. None: the name is empty, and nobody's.
    pub(super) fn attempting(&self, name: &str, address: Option<IpAddr>, guard: &LoginGuard) -> Option<Attempting> {
        let shown = guard.device_token.as_deref().unwrap_or_default().split(' ');
        Some(Attempting {
            account: account_name::account(name, self.session.lockout.folds_names)?,
            address: address.map(|address| LoginHash::of(&counted_address(address))),
            devices: shown
                .filter(|token| token.starts_with(DEVICE_PREFIX))
                .take(MAX_DEVICE_TOKENS)
                .map(LoginHash::of)
                .collect(),
            issues_device: guard.issue_device_token,
        })
    }

    /// Decides about an attempt, and counts it.
    ///
    /// # Errors
    /// Those of the store: then it may have been counted, and must not be let through.
    pub(super) async fn gate_login(
        &self,
        attempting: &mut Attempting,
        attempt: LoginAttempt,
    ) -> Result<Gated, ServiceError> {
        let is_failed = attempt == LoginAttempt::Failed;
        if self.is_known_device(attempting, is_failed).await? {
            return Ok(Gated::Known);
        }
        let at_address = attempting.address.clone().zip(self.session.lockout.address);
        let at_address = at_address.map(|(hash, rules)| (LoginCounter::Address(hash), rules));
        if let Some((counter, rules)) = &at_address {
            let tallied = self.tools.store.login_attempt(counter, LoginAttempt::Ask, rules).await?;
            if !tallied.is_admitted {
                return Ok(Gated::Locked(tallied.locked_for));
            }
        }
        let rules = &self.session.lockout.account;
        let by_account = self.count(&LoginCounter::Account(attempting.account.clone()), attempt, rules).await?;
        if !by_account.is_admitted {
            return Ok(Gated::Locked(by_account.locked_for));
        }
        if is_failed {
            self.tools.metrics.login_failed();
        }
        let Some((counter, rules)) = &at_address else { return Ok(Gated::Admitted(by_account.locked_for)) };
        // A success says nothing of an address.
        let attempt = if is_failed { LoginAttempt::Failed } else { LoginAttempt::Ask };
        let by_address = self.count(counter, attempt, rules).await?;
        let remaining = by_address.locked_for.max(by_account.locked_for);
        Ok(if by_address.is_admitted { Gated::Admitted(remaining) } else { Gated::Locked(remaining) })
    }

    /// Whether the account knows one of the devices, with something left of its budget.
    async fn is_known_device(&self, attempting: &mut Attempting, is_failed: bool) -> Result<bool, ServiceError> {
        let (account, rules) = (&attempting.account, &self.session.lockout.account);
        for place in 0..attempting.devices.len() {
            let Some(device) = attempting.devices.get(place) else { break };
            let tallied = self.tools.store.device_attempt(account, device, is_failed, rules).await?;
            if tallied.is_exhausted {
                self.note_lock(LockedBy::Device, account, rules.window);
            }
            if tallied.is_trusted {
                if is_failed {
                    self.tools.metrics.login_failed();
                }
                attempting.devices.swap(0, place);
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn count(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, ServiceError> {
        let tallied = self.tools.store.login_attempt(counter, attempt, rules).await?;
        if tallied.has_locked {
            let (by, hash) = match counter {
                LoginCounter::Account(hash) => (LockedBy::Account, hash),
                LoginCounter::Address(hash) => (LockedBy::Address, hash),
            };
            self.note_lock(by, hash, tallied.locked_for);
        }
        Ok(tallied)
    }

    fn note_lock(&self, by: LockedBy, hash: &LoginHash, length: Duration) {
        self.tools.metrics.login_locked(by);
        tracing::warn!(by = by.as_str(), ?hash, seconds = seconds(length), "too many logins have failed");
    }

    /// A new device token for who has logged in, the successor of the one that was shown. None: none is wanted, or the store
    /// has not said that it took it: the client keeps the one that it has, and who has logged in has.
    pub(super) async fn issue_device(&self, attempting: &Attempting) -> Option<DeviceToken> {
        if !attempting.issues_device {
            return None;
        }
        let random = random_bytes::<32>(&*self.tools.random).ok()?;
        let token = format!("{DEVICE_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let (account, predecessor) = (&attempting.account, attempting.devices.first());
        let issued = self.tools.store.issue_device(account, &LoginHash::of(&token), predecessor, DEVICE_LIFETIME).await;
        issued.ok().map(|()| DeviceToken { token, max_age: DEVICE_LIFETIME.as_secs() })
    }

    /// Counts a login of which an application says that it has failed.
    ///
    /// # Errors
    /// `Invalid`, or those of the store: then refuse the login.
    pub async fn login_failed(&self, failure: &NewLoginFailure) -> Result<LoginFailure, ServiceError> {
        let guard = LoginGuard { device_token: failure.device_token.clone(), issue_device_token: false };
        let attempting = self.attempting(&failure.account, failure.ip_address, &guard);
        let mut attempting =
            attempting.ok_or_else(|| ServiceError::Invalid(vec![invalid("account", "must not be empty")]))?;
        let gated = self.gate_login(&mut attempting, LoginAttempt::Failed).await?;
        let (counted, remaining) = match gated {
            Gated::Known => (true, Duration::ZERO),
            Gated::Admitted(remaining) => (true, remaining),
            Gated::Locked(remaining) => (false, remaining),
        };
        let is_locked = !remaining.is_zero();
        let retry_after = is_locked.then(|| seconds(remaining));
        let locked_until = retry_after.map(|seconds| self.now().after(Duration::from_secs(seconds)));
        Ok(LoginFailure { counted, locked_until, retry_after })
    }

    /// How the lock of an account is.
    ///
    /// # Errors
    /// `Invalid`, or those of the store.
    pub async fn lockout(&self, name: &str) -> Result<Lockout, ServiceError> {
        let counter = LoginCounter::Account(self.named_account(name)?);
        let rules = &self.session.lockout.account;
        let tallied = self.tools.store.login_attempt(&counter, LoginAttempt::Ask, rules).await?;
        let locked = !tallied.is_admitted;
        let locked_until = locked.then(|| self.now().after(Duration::from_secs(seconds(tallied.locked_for))));
        Ok(Lockout { locked, locked_until, failures: tallied.failures })
    }

    /// Lifts the lock of an account, and forgets its failures, everywhere at once.
    ///
    /// # Errors
    /// `Invalid`, or those of the store.
    pub async fn unlock(&self, name: &str) -> Result<(), ServiceError> {
        let account = self.named_account(name)?;
        self.tools.store.unlock_account(&account).await?;
        tracing::info!(hash = ?account, "the failed logins of an account were forgotten");
        Ok(())
    }

    fn named_account(&self, name: &str) -> Result<LoginHash, ServiceError> {
        let account = account_name::account(name, self.session.lockout.folds_names);
        account.ok_or_else(|| ServiceError::Invalid(vec![invalid("account", "must not be empty")]))
    }
}

/// As what an address is counted: of IPv6 a customer has a /64 at least.
fn counted_address(address: IpAddr) -> String {
    match Network::address(address) {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(_) => Network::around(address).to_string(),
    }
}

/// Whole seconds, so that nobody comes too early.
pub(super) fn seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_ipv4_or_64_bits_of_ipv6() {
        let counted = |text: &str| counted_address(text.parse().unwrap());
        assert_eq!(counted("192.0.2.1"), counted("::ffff:192.0.2.1"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
        assert_eq!(counted("2001:db8:1:2::1"), counted("2001:db8:1:2:ffff::9"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!([0, 1, 1000, 1001].map(|millis| seconds(Duration::from_millis(millis))), [0, 1, 1, 2]);
    }
}
