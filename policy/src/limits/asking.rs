//! Questions about limits under way, and which requests wait for them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use session_gate_protocol::LeaseRequest;

use super::ledger::{KeyText, Question};
use crate::{
    call::{Call, Sidecar},
    worker::RequestId,
};

/// Numbers the calls.
pub type CallId = u64;

/// A request that waits, and the key that it waits for.
pub type Waiter = (RequestId, KeyText);

/// The calls under way.
#[derive(Default)]
pub struct Asking {
    calls: BTreeMap<CallId, Landed>,
    by_key: HashMap<KeyText, CallId>,
    /// Calls whose reply is lost with the request in whose context they were made.
    lost: Vec<CallId>,
    last: CallId,
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
#[derive(Debug)]
pub struct Landed {
    /// What was asked.
    pub questions: Vec<Question>,
    /// When.
    pub asked_at: Duration,
    /// Who waits for it, in their order, and for which key.
    pub waiting: Vec<Waiter>,
    /// In whose context it was made; none: the worker's own.
    pub sent_for: Option<RequestId>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}

impl Asking {
    /// Whether a question about that key is under way.
    pub fn is_asked(&self, key: &KeyText) -> bool {
        self.by_key.contains_key(key)
    }

    /// Has a request wait for the question about that key that is under way.
    pub fn board(&mut self, key: &KeyText, request: RequestId) -> Option<CallId> {
        let call = *self.by_key.get(key)?;
        self.calls.get_mut(&call)?.waiting.push((request, key.clone()));
        Some(call)
    }

    /// The call that asks this, for those that wait for it. `sent_for`: in whose context it is made; none: the
    /// worker's own. `None` if it cannot be written down.
    pub fn start(
        &mut self,
        questions: Vec<Question>,
        waiting: Vec<Waiter>,
        sent_for: Option<RequestId>,
        asked_at: Duration,
        between: Between<'_>,
    ) -> Option<(CallId, Call)> {
        let asks = questions.iter().map(|question| question.ask.clone()).collect();
        let call = between.sidecar.leases(&LeaseRequest { worker: between.worker.to_owned(), asks })?;
        self.last += 1;
        for key in questions.iter().filter_map(|question| question.key.as_ref()) {
            self.by_key.insert(key.clone(), self.last);
        }
        self.calls.insert(self.last, Landed { questions, asked_at, waiting, sent_for });
        Some((self.last, call))
    }

    /// The call has come back.
    pub fn land(&mut self, call: CallId) -> Option<Landed> {
        let landed = self.calls.remove(&call)?;
        self.lost.retain(|lost| *lost != call);
        self.by_key.retain(|_, by| *by != call);
        Some(landed)
    }

    /// The request is over: it waits no more, and a call that was made in its context brings no reply.
    pub fn leave(&mut self, request: RequestId) {
        for (call, under_way) in &mut self.calls {
            under_way.waiting.retain(|(waiting, _)| *waiting != request);
            if under_way.sent_for == Some(request) {
                under_way.sent_for = None;
                self.lost.push(*call);
            }
        }
    }

    /// The calls that are lost.
    pub fn take_lost(&mut self) -> Vec<Landed> {
        let lost = std::mem::take(&mut self.lost);
        lost.into_iter().filter_map(|call| self.land(call)).collect()
    }
}
