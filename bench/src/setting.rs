//! On what was measured.

use anyhow::Result;
use serde::Serialize;

use crate::fleet::{ENVOYS, Fleet, WORKERS};

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Envoy's version.
    pub envoy: String,
    /// What the sidecar keeps its data in.
    pub store: &'static str,
    /// Workers, over all Envoys.
    pub workers: usize,
    /// What this machine has.
    pub cores: usize,
}

impl Setting {
    /// That of a fleet.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn of(fleet: &Fleet) -> Result<Self> {
        Ok(Self {
            envoy: fleet.stack.envoy.admin().version().await?,
            store: "redis",
            workers: ENVOYS * WORKERS,
            cores: std::thread::available_parallelism()?.get(),
        })
    }
}
