//! The questions to the store about failed logins.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use store_sidecar::store::{
    DeviceTallied, LockRules, LoginAttempt, LoginCounter, LoginCounters, LoginHash, StoreError, Tallied,
};

use super::{Op, ReplicaStore, SharedStore, refusing::Does::Add, session_steps::SessionStep};

#[async_trait]
impl LoginCounters for ReplicaStore {
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError> {
        let (counter, rules) = (counter.clone(), *rules);
        let count = move |shared: Arc<SharedStore>| async move {
            let tallied = shared.current().login_attempt(&counter, attempt, &rules).await?;
            if let (LoginCounter::Account(account), LoginAttempt::Succeeded) = (counter, attempt)
                && tallied.is_admitted
            {
                shared.session_steps.note(SessionStep::Forgotten(account));
            }
            Ok(tallied)
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(count(shared)))).await
    }

    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError> {
        let account = account.clone();
        let unlock = move |shared: Arc<SharedStore>| async move {
            shared.current().unlock_account(&account).await?;
            shared.session_steps.note(SessionStep::Forgotten(account));
            Ok(())
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(unlock(shared)))).await
    }

    async fn device_attempt(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        let (account, token, rules) = (account.clone(), token.clone(), *rules);
        let count = move |shared: Arc<SharedStore>| async move {
            shared.current().device_attempt(&account, &token, is_failed, &rules).await
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(count(shared)))).await
    }

    async fn issue_device(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        predecessor: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let (account, token, predecessor) = (account.clone(), token.clone(), predecessor.cloned());
        let issue = move |shared: Arc<SharedStore>| async move {
            shared.current().issue_device(&account, &token, predecessor.as_ref(), lifetime).await
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(issue(shared)))).await
    }
}
