//! The memory store keeps every promise of `Store`.

use std::sync::Arc;
use std::time::Duration;

use session_gate_protocol::UnixSeconds;
use store_sidecar::clock::ManualClock;
use store_sidecar::rng::OsRandom;
use store_sidecar::store::StoreSettings;
use store_sidecar::store::conformance::Harness;
use store_sidecar::store::memory::MemoryStore;

struct Memory {
    clock: Arc<ManualClock>,
    store: MemoryStore,
}

impl Harness for Memory {
    type Store = MemoryStore;

    async fn start(settings: StoreSettings) -> Self {
        let clock = Arc::new(ManualClock::new(UnixSeconds(1_800_000_000)));
        Self { store: MemoryStore::new(Arc::clone(&clock) as _, settings, Arc::new(OsRandom)), clock }
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

store_sidecar::store_conformance!(Memory);
