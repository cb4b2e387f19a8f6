//! What every store promises of failed logins.

use std::time::Duration;

use async_trait::async_trait;

use super::attempt::{DeviceTallied, LockRules, LoginAttempt, LoginCounter, LoginHash, Tallied};
use crate::store::error::StoreError;

/// What is counted of failed logins.
///
/// **Done twice**, as a Cluster's client may do what it has no answer to, a failure counts twice, and one that has locked
/// is refused the second time: it errs on the safe side. All others may be repeated.
///
/// # Errors
/// Each method fails as those of [`Store`](crate::store::Store) do.
#[async_trait]
pub trait LoginCounters: Send + Sync + 'static {
    /// Decides about an attempt, and counts it, in one step. While the counter is locked nothing counts, and nothing is
    /// admitted: the lock does not feed itself.
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError>;

    /// Forgets all that an account's counter has counted, and its lock.
    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError>;

    /// Whether the account knows the device that shows that token; counts a failure of it. What it shows it has: the tokens
    /// that it was given before are known no more, but for a grace period.
    async fn device_attempt(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError>;

    /// Gives a token to the device that has shown `predecessor`, or to a new one, which the account knows for `lifetime` from
    /// now on. The predecessor stays known until its successor is shown, as an answer may be lost. Both are one device's, with
    /// one budget, so that whoever has stolen the predecessor has no more guesses by it.
    async fn issue_device(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        predecessor: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError>;
}
