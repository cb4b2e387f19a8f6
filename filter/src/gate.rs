//! Between a worker and its host: events in, effects carried out.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use proxy_wasm::types::{Action, MapType};
use session_gate_policy::{
    call::{Call, CallReply},
    request::{Effect, Event},
    worker::{Errand, RequestId, Worker},
};

use crate::{crypto::EnvoyCrypto, host};

thread_local! {
    /// The last keys that each sidecar gave to any configuration of this VM: a new one begins with
    /// them.
    static LAST_KEYS: RefCell<HashMap<String, Vec<u8>>> = RefCell::new(HashMap::new());
}

/// A worker in the hands of its host.
#[derive(Clone)]
pub(crate) struct Gate {
    worker: Rc<RefCell<Worker>>,
    /// The root context. Every call is its own, so that each brings a reply or a time-out, also where
    /// the request has gone meanwhile: the SDK forgets a call only then.
    root: u32,
    /// Calls under way, by the host's token: the SDK brings a reply to whichever context was active
    /// when the call was made, so it is told by its token alone.
    calls: Rc<RefCell<HashMap<u32, Purpose>>>,
}

/// What a call was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Errand(Errand),
    Request(RequestId),
}

/// What carrying out a request's effects has led to.
enum Outcome {
    /// It was forwarded.
    Forwarded,
    /// It is held, or was answered.
    Stopped,
}

impl Gate {
    pub(crate) fn new(root: u32, mut worker: Worker) -> Self {
        LAST_KEYS.with_borrow(|keys| worker.adopt_keys(keys));
        Self { worker: Rc::new(RefCell::new(worker)), root, calls: Rc::default() }
    }

    /// A request's headers have come.
    pub(crate) fn on_request(&self, id: RequestId) -> Action {
        match self.step(id, Event::Request(host::headers(MapType::HttpRequestHeaders))) {
            Outcome::Forwarded => Action::Continue,
            Outcome::Stopped => Action::Pause,
        }
    }

    /// The headers of a request's answer have come.
    pub(crate) fn on_answer(&self, id: RequestId) {
        self.step(id, Event::Answer(host::headers(MapType::HttpResponseHeaders)));
    }

    /// A request's trailers have come.
    pub(crate) fn on_request_trailers(&self) {
        let changes = self.worker.borrow().trailer_changes(&host::headers(MapType::HttpRequestTrailers));
        host::change(MapType::HttpRequestTrailers, &changes);
    }

    /// The request is over. The reply to its call, if one is under way, will find it gone.
    pub(crate) fn forget(&self, id: RequestId) {
        self.worker.borrow_mut().forget(id);
    }

    /// Makes the calls that are due.
    pub(crate) fn make_due_calls(&self) {
        let due = self.worker.borrow_mut().due(host::now());
        for (errand, call) in due {
            if !self.dispatch(&call, Purpose::Errand(errand)) {
                self.on_errand(errand, &CallReply::failed());
            }
        }
    }

    /// A call has brought its reply, or has failed.
    pub(crate) fn on_reply(&self, token: u32, body_bytes: usize) {
        let purpose = self.calls.borrow_mut().remove(&token);
        if !host::act_for(self.root) {
            return;
        }
        let reply = host::call_reply(body_bytes);
        match purpose {
            Some(Purpose::Errand(errand)) => {
                self.on_errand(errand, &reply);
                // Whoever follows the feed asks again at once.
                self.make_due_calls();
            }
            Some(Purpose::Request(id)) if self.worker.borrow().knows(id) && host::act_for(id) => {
                if matches!(self.step(id, Event::Check(reply)), Outcome::Forwarded) {
                    host::resume_request();
                }
            }
            // Of a request that is gone.
            Some(Purpose::Request(_)) | None => {}
        }
    }

    fn on_errand(&self, errand: Errand, reply: &CallReply) {
        let outcome = self.worker.borrow_mut().on_errand(errand, reply, host::now(), &EnvoyCrypto);
        outcome.counters.into_iter().for_each(host::count);
        if let Some((sidecar, body)) = self.worker.borrow().fetched_keys() {
            LAST_KEYS.with_borrow_mut(|keys| keys.insert(sidecar, body.to_vec()));
        }
        for (id, effects) in outcome.requests {
            if host::act_for(id) && matches!(self.carry_out(id, effects), Outcome::Forwarded) {
                host::resume_request();
            }
        }
    }

    fn dispatch(&self, call: &Call, purpose: Purpose) -> bool {
        let token = if host::act_for(self.root) { host::dispatch(call) } else { None };
        if let Purpose::Request(id) = purpose {
            host::act_for(id);
        }
        self.calls.borrow_mut().extend(token.map(|token| (token, purpose)));
        token.is_some()
    }

    fn step(&self, id: RequestId, event: Event) -> Outcome {
        let effects = self.worker.borrow_mut().on_request(id, event, host::now(), &EnvoyCrypto);
        self.carry_out(id, effects)
    }

    fn carry_out(&self, id: RequestId, effects: Vec<Effect>) -> Outcome {
        let mut outcome = Outcome::Stopped;
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    if !self.dispatch(&call, Purpose::Request(id)) {
                        return self.step(id, Event::Check(CallReply::failed()));
                    }
                }
                Effect::ChangeAnswer(changes) => host::change(MapType::HttpResponseHeaders, &changes),
                Effect::Count(counter) => host::count(counter),
                Effect::Describe(text) => host::describe(&text),
                Effect::EndStream => host::end_stream(),
                Effect::Forward(_permit, changes) => {
                    host::change(MapType::HttpRequestHeaders, &changes);
                    outcome = Outcome::Forwarded;
                }
                Effect::Reply(reply) => host::reply(&reply),
            }
        }
        outcome
    }
}
