//! Envoys and workers that are killed by chance.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use session_gate_tests::envoy::Envoy;
use session_gate_tests::poll::until;
use session_gate_tests::{Call, Http, trap};

use super::targets::FREE;
use crate::app::Credential;
use crate::fleet::Fleet;

/// What was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Victim {
    /// An Envoy, by SIGKILL; it is started again on its port.
    Envoy,
    /// The VM of one worker, by a trap; Envoy gives the worker another one.
    Worker,
}

/// Numbers that look like chance, and are the same for the same seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below that.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// How long nothing happens.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_millis(100 + self.below(500))
    }
}

/// Kills an Envoy or a worker.
pub(super) async fn strike(fleet: &mut Fleet, chance: &mut Chance, credential: &Credential) -> Result<Victim> {
    let is_first = chance.below(2) == 0;
    if chance.below(2) == 0 {
        fleet.kill_and_restart(is_first).await?;
        return Ok(Victim::Envoy);
    }
    let [first, second] = fleet.envoys();
    trap_a_worker(if is_first { first } else { second }, &credential.token).await?;
    Ok(Victim::Worker)
}

/// Brings down the VM of a worker, whichever accepts a connection.
async fn trap_a_worker(envoy: &Envoy, token: &str) -> Result<()> {
    let before = crashes(envoy).await?;
    until("a VM to crash, and to be started anew", async || {
        // Its answer may be there before its trailers are: then they are not looked at.
        trap::send_trailers(envoy.address(), FREE, token).await;
        // The next request that comes to the worker makes the new VM.
        Call::get(FREE).bearer(token).send(envoy.address(), Http::V1).await?;
        ensure!(crashes(envoy).await? > before, "none has crashed");
        Ok(())
    })
    .await
}

async fn crashes(envoy: &Envoy) -> Result<u64> {
    Ok(envoy.admin().crash_counters().await?.values().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_for_the_same_seed_and_leaves_nothing_out() {
        let draw = |seed| -> Vec<u64> {
            let mut chance = Chance::of(seed);
            (0..100).map(|_| chance.below(4)).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0..4).all(|number| draw(1).contains(&number)));
    }
}
