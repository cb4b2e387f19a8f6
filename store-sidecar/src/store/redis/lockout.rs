//! Failed logins, and the devices that accounts know, in Redis.

use std::time::Duration;

use async_trait::async_trait;

use super::client::RedisStore;
use super::scripts;
use crate::store::StoreError;
use crate::store::lockout::{
    DeviceTallied, LockRules, LoginAttempt, LoginCounter, LoginCounters, LoginHash, MAX_DEVICE_TOKENS, MAX_DEVICES,
    PREDECESSOR_GRACE, Tallied, millis,
};

#[async_trait]
impl LoginCounters for RedisStore {
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError> {
        let attempt = match attempt {
            LoginAttempt::Ask => "ask",
            LoginAttempt::Failed => "failed",
            LoginAttempt::Succeeded => "succeeded",
        };
        let locks = [0, 1, 2].map(|level| millis(rules.lock(level)));
        let numbers = [u64::from(rules.max_failures.max(1)), millis(rules.window), millis(rules.memory())];
        let numbers: Vec<String> = numbers.iter().chain(&locks).map(u64::to_string).collect();
        let arguments: Vec<&str> = [attempt].into_iter().chain(numbers.iter().map(String::as_str)).collect();
        let key = self.keys.login_counter(counter);
        let (is_admitted, locked_for, failures, has_locked): (bool, u64, u64, bool) =
            self.run(&scripts::LOGIN_ATTEMPT, &[&key], &arguments, self.deadline()).await?;
        Ok(Tallied { is_admitted, locked_for: Duration::from_millis(locked_for), failures, has_locked })
    }

    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError> {
        let key = self.keys.login_counter(&LoginCounter::Account(account.clone()));
        self.run(&scripts::UNLOCK, &[&key], &[], self.deadline()).await
    }

    async fn device_attempt(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        let most = u64::from(rules.max_failures.max(1));
        let numbers = [most, millis(rules.window), rules.void_after(), millis(PREDECESSOR_GRACE)];
        let [most, window, void_after, grace] = numbers.map(|number| number.to_string());
        let attempt = if is_failed { "failed" } else { "ask" };
        let arguments = [token.as_str(), attempt, &most, &window, &void_after, &grace];
        let key = self.keys.login_devices(account);
        let (is_trusted, is_exhausted): (bool, bool) =
            self.run(&scripts::DEVICE_ATTEMPT, &[&key], &arguments, self.deadline()).await?;
        Ok(DeviceTallied { is_trusted, is_exhausted })
    }

    async fn issue_device(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        predecessor: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let predecessor = predecessor.map(LoginHash::as_str).unwrap_or_default();
        let [lifetime, most] = [millis(lifetime).to_string(), MAX_DEVICES.to_string()];
        let arguments = [token.as_str(), predecessor, &lifetime, &most, &MAX_DEVICE_TOKENS.to_string()];
        let key = self.keys.login_devices(account);
        self.run(&scripts::ISSUE_DEVICE, &[&key], &arguments, self.deadline()).await
    }
}
