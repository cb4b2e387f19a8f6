//! What goes wrong, and for how long.

use std::fmt;

use crate::{clocks::Millis, store::refusing::Refused};

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
    /// The store can be read, and does not accept what takes room, or anything.
    StoreRefuses { refused: Refused, until: Millis },
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
            Self::StoreRefuses { refused: Refused::New, .. } => "store full",
            Self::StoreRefuses { refused: Refused::All, .. } => "store accepts no changes",
            Self::NetworkSlow { .. } => "network slow",
            Self::Keys { .. } => "keys exchanged",
        }
    }

    /// Every kind.
    pub const NAMES: [&str; 14] = [
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
        "store full",
        "store accepts no changes",
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
            | Self::StoreRefuses { until, .. }
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
            Self::NetworkSlow { .. } | Self::StoreLoss | Self::StoreRefuses { .. } => Ok(()),
        }?;
        self.until().map_or(Ok(()), |until| write!(f, ", until {until}"))
    }
}
