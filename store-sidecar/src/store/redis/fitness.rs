//! Whether Redis may be used: whether it keeps what it must, and whose sessions it has.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;

use super::client::RedisStore;
use super::nodes::Nodes;
use super::options::RedisOptions;
use super::report::{Eviction, Report};
use super::scripts;
use crate::rng::Random;
use crate::store::{StoreError, StoreSettings};

/// Why the store cannot be used with this Redis.
#[derive(Debug, Error)]
pub enum RedisStartError {
    /// The options cannot be used: the certificate, for one.
    #[error("the Redis client cannot be set up")]
    Client(#[source] redis::RedisError),
    /// It has the sessions of another issuer.
    #[error(
        "Redis has the sessions of the issuer {found:?}, and this sidecar issues tokens as {issuer:?}: two services that share \
         a Redis need a key prefix each (redis.key_prefix); to give this one another issuer on purpose, delete the key {key}"
    )]
    OtherIssuer {
        /// Whose they are.
        found: String,
        /// Whose tokens this sidecar issues.
        issuer: String,
        /// What says so.
        key: String,
    },
    /// It may evict what must not be lost.
    #[error("Redis evicts keys when its memory is full (maxmemory-policy is {policy}): it must be noeviction")]
    Evicts {
        /// Its policy.
        policy: String,
    },
}

/// Why a look at Redis found nothing good.
pub(super) enum Look {
    /// It did not answer, or a node of the Cluster did not.
    Failed(StoreError),
    /// It must not be used.
    Unfit(RedisStartError),
}

impl From<StoreError> for Look {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl RedisStore {
    /// A store in the Redis that `options` name. Redis need not be there yet: then it is looked at by
    /// each [`Store::health`](crate::store::Store::health) that reaches it, and while that finds it unfit, no step is done. `random` makes the ids of
    /// the feed's epochs.
    ///
    /// # Errors
    /// [`RedisStartError`] where the options cannot be used, or where Redis is there and must not be used.
    pub async fn connect(
        options: RedisOptions,
        settings: StoreSettings,
        random: Arc<dyn Random>,
    ) -> Result<Self, RedisStartError> {
        let nodes = Nodes::start(&options).map_err(RedisStartError::Client)?;
        let store = Self::new(nodes, options, settings, random);
        match store.look().await {
            Ok(_) => {}
            Err(Look::Unfit(unfit)) => return Err(unfit),
            Err(Look::Failed(error)) => {
                tracing::warn!(error = error.kind().as_str(), "Redis could not be looked at yet");
            }
        }
        Ok(store)
    }

    /// Asks Redis what it is set to do.
    ///
    /// # Errors
    /// [`StoreError`] where Redis cannot be reached. What it refuses to tell is unknown in the report.
    pub async fn inspect(&self) -> Result<Report, StoreError> {
        match Report::ask(&self.bulk, self.deadline()).await? {
            (_, Some(silent)) => Err(silent),
            (report, None) => Ok(report),
        }
    }

    /// Looks whether Redis is fit: while it is not, no step is done.
    pub(super) async fn look(&self) -> Result<Report, Look> {
        let looked = self.look_once().await;
        match &looked {
            Err(Look::Unfit(unfit)) => {
                self.fit.store(false, Ordering::Relaxed);
                if !self.unfit.swap(true, Ordering::Relaxed) {
                    tracing::error!(error = %unfit, "Redis is not used");
                }
            }
            Err(Look::Failed(_)) => {}
            Ok(report) => {
                self.unfit.store(false, Ordering::Relaxed);
                if !self.fit.swap(true, Ordering::Relaxed) {
                    report.log();
                }
            }
        }
        looked
    }

    async fn look_once(&self) -> Result<Report, Look> {
        let is_known = self.fit.load(Ordering::Relaxed);
        let (report, silent) = if is_known {
            Report::ask_briefly(&self.bulk, self.deadline()).await?
        } else {
            Report::ask(&self.bulk, self.deadline()).await?
        };
        if let Eviction::Policy(policy) = &report.eviction
            && !self.allow_eviction
        {
            return Err(Look::Unfit(RedisStartError::Evicts { policy: policy.clone() }));
        }
        // Each time: whoever comes after Redis has lost its data must find the issuer again.
        if let Some(issuer) = &self.issuer {
            let script = &scripts::ISSUER;
            let found: Option<String> = self.send(script, &[&self.keys.issuer], &[issuer], self.deadline()).await?;
            if let Some(found) = found.filter(|found| found != issuer) {
                let (issuer, key) = (issuer.clone(), self.keys.issuer.clone());
                return Err(Look::Unfit(RedisStartError::OtherIssuer { found, issuer, key }));
            }
        }
        match silent {
            Some(error) => Err(Look::Failed(error)),
            None => Ok(report),
        }
    }
}
