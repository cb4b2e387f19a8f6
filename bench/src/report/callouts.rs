//! How often the sidecar was asked about a credential.

use anyhow::Result;
use serde::Serialize;

use crate::fleet::Fleet;

/// Calls to `/v1/check`.
#[derive(Debug, Serialize)]
pub struct Callouts {
    /// As the sidecar counts them, from the warm-up's end to the freeze.
    pub(super) check_callouts: u64,
    /// The same, as the gates count them.
    pub(super) check_callouts_of_gates: u64,
    /// As the sidecar counts them, during the warm-up: if there were none, the count would prove nothing.
    pub(super) check_callouts_in_warm_up: u64,
    /// Questions to the feed that brought no answer in time: on a machine that stands still the feed is not
    /// current, and then workers have to ask.
    pub(super) feed_failed: u64,
}

impl Callouts {
    /// Those that were made so far.
    ///
    /// # Errors
    /// Where nobody says.
    pub async fn so_far(fleet: &Fleet, in_warm_up: u64) -> Result<Self> {
        Ok(Self {
            check_callouts: fleet.app.checks().await?,
            check_callouts_of_gates: fleet.counted("check").await?,
            check_callouts_in_warm_up: in_warm_up,
            feed_failed: fleet.counted("feed.failed").await?,
        })
    }

    /// Those that were made since.
    #[must_use]
    pub fn since(self, before: &Self) -> Self {
        Self {
            check_callouts: self.check_callouts - before.check_callouts,
            check_callouts_of_gates: self.check_callouts_of_gates - before.check_callouts_of_gates,
            feed_failed: self.feed_failed - before.feed_failed,
            ..self
        }
    }
}
