//! Things break, one after the other.

use std::time::Duration;

use crate::{events::Event, faults::Fault, history::What, store::refusing::Refused, world::World};

impl World {
    /// Draws a fault, and when the next one comes.
    pub(crate) fn next_fault(&mut self) {
        if self.is_mended {
            return;
        }
        let mean = self.parameters.fault_every.as_millis() as f64;
        let gap = -mean * (1.0 - self.rng.f64()).ln();
        let gap = Duration::from_secs_f64((gap / 1_000.0).min(60.0));
        let at = self.now + u64::try_from(gap.as_millis()).unwrap_or(1).max(1);
        self.push(at, Event::NextFault);
    }

    /// Something breaks.
    pub(crate) fn draw_fault(&mut self) {
        if self.is_mended {
            return;
        }
        let envoy = self.rng.usize(0..self.parameters.envoys);
        let worker = self.rng.usize(0..self.parameters.all_workers());
        let sidecar = self.rng.usize(0..self.parameters.replicas);
        let short = self.now + self.rng.u64(1..400);
        let long = self.now + self.rng.u64(1..4_000);
        let until = if self.rng.bool() { short } else { long };
        let (is_calm, is_exact) = (self.is_healthy(), self.parameters.is_exact());
        if is_calm || (self.parameters.may_refuse && self.rng.u8(0..6) == 0) {
            let refused = if self.rng.bool() { Refused::New } else { Refused::All };
            return self.strike(Fault::StoreRefuses { refused, until });
        }
        let is_lasting = self.parameters.is_slow && self.rng.u8(0..8) == 0;
        let fault = match self.rng.u8(0..if is_exact { 8 } else { 22 }) {
            0..4 => Fault::Reset { worker },
            // Longer than any lease lasts.
            4 | 5 if is_lasting => Fault::Deaf { worker, until: self.now + 45_000 },
            4 | 5 => Fault::Deaf { worker, until },
            6 => Fault::Cut { envoy, sidecar, until },
            7 if self.rng.bool() => Fault::WorkerStop { worker },
            7 => Fault::WorkerCrash { worker },
            8..11 => Fault::Cut { envoy, sidecar, until },
            11 | 12 => Fault::SidecarCrash { sidecar, until: short },
            13 | 14 => Fault::Freeze { sidecar, until },
            15 | 16 => Fault::StoreAway { sidecar, until },
            17 | 18 => Fault::StoreSlow { sidecar, until },
            19 => Fault::NetworkSlow { until },
            20 => Fault::Keys { step: 0 },
            _ if self.parameters.may_lose_data => Fault::StoreLoss,
            _ => Fault::WorkerCrash { worker },
        };
        self.strike(fault);
    }

    /// That breaks now.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let now = self.now;
        self.counts.fault(fault);
        self.history.add(now, What::Fault(fault));
        match fault {
            Fault::Cut { envoy, sidecar, until } => self.network.cut(envoy, sidecar, until),
            Fault::Deaf { worker, until } => self.network.deafen(worker, until),
            Fault::Reset { worker } => self.reset(worker),
            Fault::WorkerCrash { worker } => self.crash_worker(worker),
            Fault::WorkerStop { worker } => self.stop_worker(worker),
            Fault::SidecarCrash { sidecar, until } => self.crash_sidecar(sidecar, until),
            Fault::Freeze { sidecar, until } => {
                if let Some(place) = self.sidecars.get_mut(sidecar) {
                    place.frozen_until = until;
                    place.link.freeze(Duration::from_millis(until - now));
                }
                self.push(until, Event::Wake);
            }
            Fault::StoreAway { sidecar, until } => {
                if let Some(place) = self.sidecars.get(sidecar) {
                    place.link.cut(Duration::from_millis(until - now));
                }
            }
            Fault::StoreSlow { sidecar, until } => {
                if let Some(place) = self.sidecars.get(sidecar) {
                    place.link.slow_down(Duration::from_millis(until - now));
                }
            }
            Fault::StoreLoss => {
                self.accept_changes();
                self.store.lose_data();
                self.truth.lost(now);
                self.ledgers.guesses.lost(now);
                self.limits.lost(now);
                self.forget_clients();
            }
            Fault::StoreRefuses { refused, until } => self.refuse_changes(refused, until),
            Fault::NetworkSlow { until } => self.network.slow_down(until),
            Fault::Keys { step } => self.exchange_keys(step),
        }
    }
}
