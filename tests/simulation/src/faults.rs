//! What goes wrong, and for how long.

use std::{fmt, time::Duration};

use crate::{clocks::Millis, events::Event, history::What, parameters::Weather, world::World};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// An Envoy and a sidecar cannot reach each other; calls bring nothing.
    Cut { envoy: usize, sidecar: usize, until: Millis },
    /// A worker reaches nobody.
    Deaf { worker: usize, until: Millis },
    /// Whatever a worker has under way fails at once.
    Reset { worker: usize },
    /// A worker's VM is lost; a new one takes its place.
    WorkerCrash { worker: usize },
    /// A worker's VM goes in good order; a new one takes its place.
    WorkerStop { worker: usize },
    /// A sidecar dies.
    SidecarCrash { sidecar: usize, until: Millis },
    /// A sidecar stands still.
    Freeze { sidecar: usize, until: Millis },
    /// A sidecar does not reach the store.
    StoreAway { sidecar: usize, until: Millis },
    /// The store is slow, or loses answers.
    StoreSlow { sidecar: usize, until: Millis },
    /// The store loses all its data.
    StoreLoss,
    /// Every link is slow.
    NetworkSlow { until: Millis },
    /// New keys: a step of their exchange.
    Keys { step: u32 },
}

impl Fault {
    /// Its kind, for the summary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut { .. } => "partition",
            Self::Deaf { .. } => "worker cut off",
            Self::Reset { .. } => "connections reset",
            Self::WorkerCrash { .. } => "worker crash",
            Self::WorkerStop { .. } => "worker stopped",
            Self::SidecarCrash { .. } => "sidecar crash",
            Self::Freeze { .. } => "sidecar frozen",
            Self::StoreAway { .. } => "store away",
            Self::StoreSlow { .. } => "store slow",
            Self::StoreLoss => "store data lost",
            Self::NetworkSlow { .. } => "network slow",
            Self::Keys { .. } => "keys exchanged",
        }
    }

    /// Every kind.
    pub const NAMES: [&str; 12] = [
        "partition",
        "worker cut off",
        "connections reset",
        "worker crash",
        "worker stopped",
        "sidecar crash",
        "sidecar frozen",
        "store away",
        "store slow",
        "store data lost",
        "network slow",
        "keys exchanged",
    ];

    /// Whether it has to do with that worker.
    pub fn concerns(self, number: usize) -> bool {
        match self {
            Self::Deaf { worker, .. }
            | Self::Reset { worker }
            | Self::WorkerCrash { worker }
            | Self::WorkerStop { worker } => worker == number,
            _ => true,
        }
    }

    /// Whether the store has lost its data.
    pub fn is_loss(self) -> bool {
        self == Self::StoreLoss
    }

    /// When it is over.
    fn until(self) -> Option<Millis> {
        match self {
            Self::Cut { until, .. }
            | Self::Deaf { until, .. }
            | Self::SidecarCrash { until, .. }
            | Self::Freeze { until, .. }
            | Self::StoreAway { until, .. }
            | Self::StoreSlow { until, .. }
            | Self::NetworkSlow { until } => Some(until),
            Self::Reset { .. }
            | Self::WorkerCrash { .. }
            | Self::WorkerStop { .. }
            | Self::StoreLoss
            | Self::Keys { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault: {}", self.name())?;
        match self {
            Self::Cut { envoy, sidecar, .. } => write!(f, ", envoy {envoy} from sidecar {sidecar}"),
            Self::Deaf { worker, .. }
            | Self::Reset { worker }
            | Self::WorkerCrash { worker }
            | Self::WorkerStop { worker } => {
                write!(f, ", worker {worker}")
            }
            Self::SidecarCrash { sidecar, .. }
            | Self::Freeze { sidecar, .. }
            | Self::StoreAway { sidecar, .. }
            | Self::StoreSlow { sidecar, .. } => write!(f, ", sidecar {sidecar}"),
            Self::Keys { step } => write!(f, ", step {step}"),
            Self::NetworkSlow { .. } | Self::StoreLoss => Ok(()),
        }?;
        self.until().map_or(Ok(()), |until| write!(f, ", until {until}"))
    }
}

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
        let is_exact = self.parameters.weather == Weather::Exact;
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
                self.store.lose_data();
                self.truth.lost(now);
                self.limits.lost(now);
                self.forget_clients();
            }
            Fault::NetworkSlow { until } => self.network.slow_down(until),
            Fault::Keys { step } => self.exchange_keys(step),
        }
    }
}
