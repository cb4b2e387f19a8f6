//! What a scenario has written down, and what has come of it.

use std::collections::BTreeMap;

use session_gate_protocol::{AllowReason, DenyReason};

use super::{Call, Request};
use crate::{
    clocks::Millis,
    decision::Decision,
    faults::Fault,
    network::{Passage, Way},
    numbers::TokenNumber,
    store::{Fate, Op},
    worker_host::Purpose,
};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A client calls a sidecar.
    Call(Call),
    /// Something breaks.
    Fault(Fault),
    /// Messages fare like that from now on.
    Link(Link),
    /// A request comes to a worker.
    Request(Request),
    /// A sidecar's questions to the store fare like that from now on.
    Store(StoreLine),
}

/// Messages of one kind between a worker and the sidecars, until a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) worker: usize,
    pub(crate) purpose: Purpose,
    pub(crate) way: Way,
    pub(crate) until: Millis,
    pub(crate) passage: Passage,
}

/// Questions of one kind of a sidecar to the store, until a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreLine {
    pub(crate) sidecar: usize,
    pub(crate) op: Op,
    pub(crate) until: Millis,
    pub(crate) fate: Fate,
}

/// What a request has from the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) name: &'static str,
    pub(crate) course: (Millis, Millis),
}

/// What must have happened at the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    Admitted(&'static str, AllowReason),
    Answered(&'static str, u16, Option<bool>),
    Ended(&'static str),
    Refused(&'static str, DenyReason),
}

/// A scenario on its way.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) ends: Millis,
    pub(super) links_take: Millis,
    pub(super) steps: Vec<(Millis, Step)>,
    pub(super) expected: Vec<Expected>,
    links: Vec<Link>,
    tokens: BTreeMap<&'static str, TokenNumber>,
    decisions: BTreeMap<&'static str, Decision>,
    answers: BTreeMap<&'static str, (u16, Option<bool>)>,
    ended: Vec<&'static str>,
}

impl From<Call> for Step {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

impl From<Fault> for Step {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Link> for Step {
    fn from(link: Link) -> Self {
        Self::Link(link)
    }
}

impl From<Request> for Step {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<StoreLine> for Step {
    fn from(line: StoreLine) -> Self {
        Self::Store(line)
    }
}

impl Script {
    pub(super) fn new(ends: Millis) -> Self {
        Self {
            ends,
            links_take: 0,
            steps: Vec::new(),
            expected: Vec::new(),
            links: Vec::new(),
            tokens: BTreeMap::new(),
            decisions: BTreeMap::new(),
            answers: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// All steps, each with its time.
    pub(crate) fn take_steps(&mut self) -> Vec<(Millis, Step)> {
        std::mem::take(&mut self.steps)
    }

    /// What becomes of a message: what was written last counts.
    pub(crate) fn passage(&self, way: Way, worker: usize, purpose: Option<Purpose>, now: Millis) -> Passage {
        let is_meant = |link: &&Link| {
            link.way == way && link.worker == worker && Some(link.purpose) == purpose && now < link.until
        };
        self.links.iter().rev().find(is_meant).map_or(Passage::Arrives(self.links_take, None), |link| link.passage)
    }

    /// Messages fare like that from now on.
    pub(crate) fn add_link(&mut self, link: Link) {
        self.links.push(link);
    }

    /// The token that a login or minting of that name has given.
    pub(crate) fn token(&self, name: &'static str) -> Option<TokenNumber> {
        self.tokens.get(name).copied()
    }

    pub(crate) fn note_token(&mut self, name: &'static str, token: TokenNumber) {
        self.tokens.insert(name, token);
    }

    pub(crate) fn note_answer(&mut self, name: &'static str, status: u16, applied: Option<bool>) {
        self.answers.insert(name, (status, applied));
    }

    pub(crate) fn note_decision(&mut self, name: &'static str, decision: Decision) {
        self.decisions.insert(name, decision);
    }

    pub(crate) fn note_end(&mut self, name: &'static str) {
        self.ended.push(name);
    }

    /// What should have happened and has not.
    pub(crate) fn missed(&self) -> Vec<String> {
        self.expected.iter().filter_map(|expected| self.miss(*expected)).collect()
    }

    fn miss(&self, expected: Expected) -> Option<String> {
        let decided = |name, wanted| {
            let decision = self.decisions.get(name).copied();
            (decision != Some(wanted))
                .then(|| format!("the request {name:?} was to be {wanted:?}, and was {decision:?}"))
        };
        match expected {
            Expected::Admitted(name, reason) => decided(name, Decision::Allow(reason)),
            Expected::Refused(name, reason) => decided(name, Decision::Deny(reason)),
            Expected::Answered(name, status, applied) => {
                let (wanted, answer) = ((status, applied), self.answers.get(name).copied());
                let text = || format!("the call {name:?} was to be answered {wanted:?}, and was answered {answer:?}");
                (answer != Some(wanted)).then(text)
            }
            Expected::Ended(name) => {
                (!self.ended.contains(&name)).then(|| format!("the stream {name:?} was to be ended, and was not"))
            }
        }
    }
}
