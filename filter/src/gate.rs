//! Between a worker and its host: events in, effects carried out.

use std::{cell::RefCell, rc::Rc};

use proxy_wasm::types::Action;
use session_gate_policy::{
    call::CallReply,
    request::{Effect, Event},
    worker::Worker,
};

use crate::{crypto::EnvoyCrypto, host};

/// A worker in the hands of its host.
#[derive(Clone)]
pub(crate) struct Gate {
    worker: Rc<RefCell<Worker>>,
}

/// What carrying out a request's effects has led to.
enum Outcome {
    /// It was forwarded.
    Forwarded,
    /// It is held, or was answered.
    Stopped,
}

impl Gate {
    pub(crate) fn new(worker: Rc<RefCell<Worker>>) -> Self {
        Self { worker }
    }

    /// A request's headers have come.
    pub(crate) fn on_request(&self, id: u32) -> Action {
        match self.step(id, Event::Request(host::request_headers())) {
            Outcome::Forwarded => Action::Continue,
            Outcome::Stopped => Action::Pause,
        }
    }

    /// Something has come that a held request waited for.
    pub(crate) fn resume(&self, id: u32, event: Event) {
        if matches!(self.step(id, event), Outcome::Forwarded) {
            host::resume_request();
        }
    }

    /// The headers of a request's answer have come.
    pub(crate) fn on_answer(&self, id: u32) {
        self.step(id, Event::Answer(host::response_headers()));
    }

    pub(crate) fn forget(&self, id: u32) {
        self.worker.borrow_mut().forget(id);
    }

    /// Makes the call that is due, if any.
    pub(crate) fn on_tick(&self) {
        let due = self.worker.borrow_mut().on_tick(host::now());
        if let Some(call) = due
            && !host::dispatch(&call)
        {
            self.on_keys(&CallReply::failed());
        }
    }

    /// The sidecar's keys have come or not: requests that were held for them go on.
    pub(crate) fn on_keys(&self, reply: &CallReply) {
        let (counter, woken) = self.worker.borrow_mut().on_keys(reply, host::now(), &EnvoyCrypto);
        host::count(counter);
        for (id, effects) in woken {
            // Host calls below are about that request, not about this root context.
            if host::act_for(id) && matches!(self.carry_out(id, effects), Outcome::Forwarded) {
                host::resume_request();
            }
        }
    }

    fn step(&self, id: u32, event: Event) -> Outcome {
        let effects = self.worker.borrow_mut().on_request(id, event, host::now(), &EnvoyCrypto);
        self.carry_out(id, effects)
    }

    fn carry_out(&self, id: u32, effects: Vec<Effect>) -> Outcome {
        let mut outcome = Outcome::Stopped;
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    if !host::dispatch(&call) {
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
