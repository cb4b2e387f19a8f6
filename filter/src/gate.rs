//! Between a worker and its host: events in, effects carried out.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use proxy_wasm::types::Action;
use session_gate_policy::{
    call::{Call, CallReply},
    request::{Effect, Event},
    worker::{RequestId, Worker},
};

use crate::{crypto::EnvoyCrypto, host};

/// A worker in the hands of its host.
#[derive(Clone)]
pub(crate) struct Gate {
    worker: Rc<RefCell<Worker>>,
    /// Calls under way, by the host's token. The SDK brings a reply to the context that was active
    /// when the call was made, which is the root context for a request that a fetch of the keys woke;
    /// so a reply is told by its token alone.
    calls: Rc<RefCell<HashMap<u32, Purpose>>>,
}

/// What a call was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Keys,
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
    pub(crate) fn new(worker: Worker) -> Self {
        Self { worker: Rc::new(RefCell::new(worker)), calls: Rc::default() }
    }

    /// A request's headers have come.
    pub(crate) fn on_request(&self, id: RequestId) -> Action {
        match self.step(id, Event::Request(host::request_headers())) {
            Outcome::Forwarded => Action::Continue,
            Outcome::Stopped => Action::Pause,
        }
    }

    /// The headers of a request's answer have come.
    pub(crate) fn on_answer(&self, id: RequestId) {
        self.step(id, Event::Answer(host::response_headers()));
    }

    /// The request is over. Envoy has cancelled its call, if one was under way.
    pub(crate) fn forget(&self, id: RequestId) {
        self.worker.borrow_mut().forget(id);
        self.calls.borrow_mut().retain(|_, purpose| *purpose != Purpose::Request(id));
    }

    /// Makes the call that is due, if any.
    pub(crate) fn on_tick(&self) {
        let due = self.worker.borrow_mut().on_tick(host::now());
        if let Some(call) = due
            && !self.dispatch(&call, Purpose::Keys)
        {
            self.on_keys(&CallReply::failed());
        }
    }

    /// A call has brought its reply, or has failed.
    pub(crate) fn on_reply(&self, token: u32, body_bytes: usize) {
        let purpose = self.calls.borrow_mut().remove(&token);
        match purpose {
            Some(Purpose::Keys) => self.on_keys(&host::call_reply(body_bytes)),
            // The reply is the request's to read, as what follows is about the request.
            Some(Purpose::Request(id)) if host::act_for(id) => {
                let event = Event::Check(host::call_reply(body_bytes));
                if matches!(self.step(id, event), Outcome::Forwarded) {
                    host::resume_request();
                }
            }
            // Of a request that is gone.
            Some(Purpose::Request(_)) | None => {}
        }
    }

    /// The sidecar's keys have come or not: requests that were held for them go on.
    fn on_keys(&self, reply: &CallReply) {
        let (counter, woken) = self.worker.borrow_mut().on_keys(reply, host::now(), &EnvoyCrypto);
        host::count(counter);
        for (id, effects) in woken {
            if host::act_for(id) && matches!(self.carry_out(id, effects), Outcome::Forwarded) {
                host::resume_request();
            }
        }
    }

    fn dispatch(&self, call: &Call, purpose: Purpose) -> bool {
        let token = host::dispatch(call);
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
                Effect::ChangeAnswer(changes) => host::change_response(&changes),
                Effect::Count(counter) => host::count(counter),
                Effect::Describe(text) => host::describe(&text),
                Effect::Forward(_permit, changes) => {
                    host::change_request(&changes);
                    outcome = Outcome::Forwarded;
                }
                Effect::Reply(reply) => host::reply(&reply),
            }
        }
        outcome
    }
}
