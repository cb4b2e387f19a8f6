//! Failed logins, and the devices that accounts know, in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::tables::MemoryStore;
use crate::store::StoreError;
use crate::store::lockout::{DeviceTallied, LockRules, LoginAttempt, LoginCounter, LoginCounters, LoginHash, Tallied};

#[async_trait]
impl LoginCounters for MemoryStore {
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let mut tally = logins.tallies.take(counter).unwrap_or_default();
        let tallied = tally.attempt(now, attempt, rules);
        let end = tally.end(rules);
        logins.tallies.put(counter.clone(), tally, end, now);
        Ok(tallied)
    }

    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError> {
        self.logins().tallies.take(&LoginCounter::Account(account.clone()));
        Ok(())
    }

    async fn device_attempt(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let Some(mut devices) = logins.devices.take(account) else { return Ok(DeviceTallied::default()) };
        let tallied = devices.attempt(now, token, is_failed, rules);
        let end = devices.end();
        logins.devices.put(account.clone(), devices, end, now);
        Ok(tallied)
    }

    async fn issue_device(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        predecessor: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let mut devices = logins.devices.take(account).unwrap_or_default();
        devices.issue(now, token, predecessor, lifetime);
        let end = devices.end();
        logins.devices.put(account.clone(), devices, end, now);
        Ok(())
    }
}
