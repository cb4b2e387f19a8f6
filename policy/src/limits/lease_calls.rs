//! Questions about limits under way, and which requests wait for them.

use std::{collections::HashMap, fmt, time::Duration};

use session_gate_protocol::LeaseRequest;

use super::{demand::KeyText, question::Question};
use crate::{
    ids::{CallId, RequestId},
    sidecar::{
        client::{Call, Sidecar},
        in_flight::{Asked, InFlight, UnderWay},
    },
};

/// A request that waits, and the key that it waits for.
pub type Waiter = (RequestId, KeyText);

/// The calls under way.
#[derive(Default)]
pub struct LeaseCalls {
    calls: InFlight<Vec<Question>, KeyText>,
    by_key: HashMap<KeyText, CallId>,
}

/// Who is asked, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct Between<'a> {
    /// The sidecar.
    pub sidecar: &'a Sidecar,
    /// What it knows this VM by.
    pub worker: &'a str,
}

/// A call that has come back.
pub type FinishedLeases = UnderWay<Vec<Question>, KeyText>;

impl fmt::Debug for LeaseCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.fmt(f)
    }
}

impl LeaseCalls {
    /// Whether a question about that key is under way.
    pub fn is_asked(&self, key: &KeyText) -> bool {
        self.by_key.contains_key(key)
    }

    /// Has a request wait for the question about that key that is under way.
    pub fn join(&mut self, key: &KeyText, request: RequestId) -> Option<CallId> {
        let call = *self.by_key.get(key)?;
        self.calls.join(call, request, key.clone()).then_some(call)
    }

    /// The call that asks this, for those that wait for it. `sender`: in whose context it is made; none: the
    /// worker's own. `None` if it cannot be written down.
    pub fn start(
        &mut self,
        questions: Vec<Question>,
        waiting: Vec<Waiter>,
        sender: Option<RequestId>,
        at: Duration,
        between: Between<'_>,
    ) -> Option<(CallId, Call)> {
        let asks = questions.iter().map(|question| question.ask.clone()).collect();
        let http = between.sidecar.leases(&LeaseRequest { worker: between.worker.to_owned(), asks })?;
        let keys: Vec<KeyText> = questions.iter().filter_map(|question| question.key.clone()).collect();
        let call = self.calls.start(questions, Asked { at, epoch: None }, sender, waiting);
        self.by_key.extend(keys.into_iter().map(|key| (key, call)));
        Some((call, http))
    }

    /// The call has come back.
    pub fn finish(&mut self, call: CallId) -> Option<FinishedLeases> {
        let finished = self.calls.finish(call)?;
        self.forget(call);
        Some(finished)
    }

    /// The request is over: it waits no more, and a call that was made in its context brings no reply.
    pub fn leave(&mut self, request: RequestId) {
        self.calls.leave(request);
    }

    /// The calls that bring no reply.
    pub fn take_lost(&mut self) -> Vec<FinishedLeases> {
        let lost = self.calls.take_lost();
        lost.into_iter()
            .map(|(call, under_way)| {
                self.forget(call);
                under_way
            })
            .collect()
    }

    fn forget(&mut self, call: CallId) {
        self.by_key.retain(|_, by| *by != call);
    }
}
