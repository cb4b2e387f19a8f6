//! What happens in a world, and who has called whom.

use crate::{
    clients::{ClientCall, Delivery},
    demands::Demand,
    limits::settings::KeyName,
    numbers::TokenNumber,
    scenario::script::Step,
    sidecar::{Answer, ApiCall},
    worker_host::RequestId,
};

/// Something that happens at a certain time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A worker's tick.
    Tick { worker: usize, life: u32 },
    /// A worker's call has taken too long.
    TimeOut { worker: usize, life: u32, number: u32 },
    /// A call reaches a sidecar.
    Arrive { sidecar: usize, call: ApiCall, from: From },
    /// A reply reaches a worker; none: the call has failed.
    Reply { worker: usize, life: u32, number: u32, answer: Option<Answer> },
    /// A client does something.
    NextOp,
    /// A request is aimed at a moment.
    Aimed { worker: usize, token: TokenNumber, demand: Option<Demand> },
    /// An upstream begins to answer.
    UpstreamAnswers { worker: usize, life: u32, request: RequestId },
    /// Another request of a flood.
    Flood { route: usize, of: KeyName, left: u32 },
    /// A step of a probe, by its number.
    Probe { probe: usize },
    /// A client leaves.
    Leaves { worker: usize, life: u32, request: RequestId },
    /// Something breaks.
    NextFault,
    /// A sidecar starts.
    SidecarStarts { sidecar: usize },
    /// The next step of an exchange of keys.
    KeyStep(u32),
    /// A worker's VM starts.
    WorkerStarts { worker: usize },
    /// A step of a scenario.
    Written(Step),
    /// Something that stood still goes on.
    Wake,
}

/// Who has called.
#[derive(Clone, Debug)]
pub(crate) enum From {
    /// A worker.
    Worker { worker: usize, life: u32, number: u32 },
    /// A client of the API.
    Client(ClientCall),
}

/// What a sidecar works at.
#[derive(Debug)]
pub(crate) enum Job {
    /// A worker's call.
    Worker { sidecar: usize, worker: usize, life: u32, number: u32 },
    /// A client's.
    Client(Delivery),
    /// It tells of its keys.
    Keys,
}
