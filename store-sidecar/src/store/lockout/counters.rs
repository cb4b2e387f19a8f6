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

    /// Whether the account knows that device; counts a failure of it.
    async fn device_attempt(
        &self,
        account: &LoginHash,
        device: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError>;

    /// The account knows a new device for `lifetime`, and `replaced` no more.
    async fn issue_device(
        &self,
        account: &LoginHash,
        device: &LoginHash,
        replaced: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError>;
}
