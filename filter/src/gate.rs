//! Between a worker and its host: events in, effects carried out.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
};

use proxy_wasm::types::{Action, MapType};
use session_gate_policy::{
    config::Config,
    ids::{Callout, RequestId},
    knowledge::Changes,
    metric::Counter,
    request::{Effect, Event},
    sidecar::client::{Call, CallReply},
    vm::Vm,
    worker::{RequestEffects, Worker},
};

use crate::{crypto::Envoy, host, reach::Reach};

thread_local! {
    /// What this VM knows, whatever becomes of its configurations.
    static VM: RefCell<Vm> = RefCell::default();
    /// The workers of this VM: one for each configuration that some request still uses.
    static WORKERS: RefCell<Vec<Weak<RefCell<Worker>>>> = const { RefCell::new(Vec::new()) };
}

/// A worker in the hands of its host.
#[derive(Clone)]
pub(crate) struct Gate {
    worker: Rc<RefCell<Worker>>,
    /// The root context. To Envoy every call is its own, so that each brings a reply or a time-out, also
    /// where the request has gone meanwhile: the SDK forgets a call only then.
    root: u32,
    /// Calls under way, by the host's token.
    calls: Rc<RefCell<HashMap<u32, UnderWay>>>,
    reach: Rc<Reach>,
}

/// A call under way. The SDK brings its reply to the context that was active when it was made, and to
/// nobody once that is gone. So the worker's own calls are made while the root context is active.
struct UnderWay {
    callout: Callout,
    /// In whose context it was made; none: the root's.
    made_by: Option<RequestId>,
}

/// What carrying out a request's effects has led to.
#[derive(Clone, Copy)]
enum Outcome {
    /// The answer that was held goes on.
    AnswerReleased,
    /// It was forwarded.
    Forwarded,
    /// Nothing: what goes on goes on.
    GoesOn,
    /// It, or its answer, is held, or was replaced by ours.
    Stopped,
}

impl Gate {
    pub(crate) fn new(root: u32, config: Config) -> Self {
        let worker = VM.with_borrow_mut(|vm| Worker::new(config, &host::random_name(), vm));
        let worker = Rc::new(RefCell::new(worker));
        WORKERS.with_borrow_mut(|workers| {
            workers.retain(|worker| worker.strong_count() > 0);
            workers.push(Rc::downgrade(&worker));
        });
        Self { worker, root, calls: Rc::default(), reach: Rc::default() }
    }

    /// A request's headers have come.
    pub(crate) fn on_request(&self, id: RequestId) -> Action {
        match self.step(id, Event::Request(host::headers(MapType::HttpRequestHeaders))) {
            Outcome::Forwarded => Action::Continue,
            // A request that is neither forwarded nor answered waits.
            Outcome::GoesOn | Outcome::Stopped | Outcome::AnswerReleased => Action::Pause,
        }
    }

    /// The headers of a request's answer have come.
    pub(crate) fn on_answer(&self, id: RequestId) -> Action {
        match self.step(id, Event::Answer(host::headers(MapType::HttpResponseHeaders))) {
            Outcome::Stopped => Action::Pause,
            Outcome::GoesOn | Outcome::AnswerReleased | Outcome::Forwarded => Action::Continue,
        }
    }

    /// An answer's trailers have come.
    pub(crate) fn on_answer_trailers() {
        let changes = Worker::answer_trailer_changes(&host::headers(MapType::HttpResponseTrailers));
        host::change(MapType::HttpResponseTrailers, &changes);
    }

    /// A request's trailers have come.
    pub(crate) fn on_request_trailers(&self) {
        let changes = self.worker.borrow().trailer_changes(&host::headers(MapType::HttpRequestTrailers));
        host::change(MapType::HttpRequestTrailers, &changes);
    }

    /// The request is over, and no reply to a call made in its context will come.
    pub(crate) fn forget(&self, id: RequestId) {
        self.calls.borrow_mut().retain(|_, call| call.made_by != Some(id));
        self.worker.borrow_mut().forget(id, host::now());
    }

    /// Makes the calls that are due. For the root context alone.
    pub(crate) fn make_due_calls(&self) {
        let due = self.worker.borrow_mut().due(host::now());
        self.make_calls(due);
    }

    /// This is the last configuration of its VM, and Envoy stops it: what is leased of limits is handed back,
    /// and nobody waits for a reply.
    pub(crate) fn hand_back(&self) {
        let is_last = WORKERS.with_borrow_mut(|workers| {
            // From here on it is nobody's reason to go on.
            workers.retain(|other| other.as_ptr() != Rc::as_ptr(&self.worker));
            let mut others = workers.iter().filter_map(Weak::upgrade);
            !others.any(|other| other.borrow().shares_source(&self.worker.borrow()))
        });
        if is_last {
            let calls = self.worker.borrow_mut().hand_back(host::now());
            self.make_calls(calls);
        }
    }

    /// Looks at the open streams of which that is due.
    pub(crate) fn look_at_streams(&self) {
        let requests = self.worker.borrow_mut().on_alarms(host::now(), &Envoy);
        self.act(requests, None);
        host::act_for(self.root);
    }

    /// How many keys of limits were forgotten since the last time.
    pub(crate) fn count_forgotten_keys(&self) {
        host::count_by(Counter::LimitKeyForgotten, self.worker.borrow().take_forgotten_keys());
    }

    fn make_calls(&self, calls: Vec<(Callout, Call)>) {
        for (callout, call) in calls {
            if !self.dispatch(&call, callout, None) {
                self.on_reply_to(callout, &CallReply::failed(), None);
            }
        }
    }

    /// A call has brought its reply, or has failed.
    pub(crate) fn on_reply(&self, token: u32, body_bytes: usize) {
        let call = self.calls.borrow_mut().remove(&token);
        if let Some(UnderWay { callout, made_by }) = call
            && host::act_for(self.root)
        {
            let reply = host::call_reply(body_bytes);
            self.reach.on_reply(reply.status, host::now().monotonic);
            self.on_reply_to(callout, &reply, made_by);
            if made_by.is_none() {
                // Whoever follows the feed asks again at once.
                self.make_due_calls();
            }
        }
    }

    /// `active`: in whose context Envoy has called; none: the root's.
    fn on_reply_to(&self, callout: Callout, reply: &CallReply, active: Option<RequestId>) {
        let outcome = self.worker.borrow_mut().on_reply_to(callout, reply, host::now(), &Envoy);
        outcome.counters.into_iter().for_each(host::count);
        self.act(outcome.requests, active);
        outcome.limits.into_iter().for_each(host::tell_of_limits);
        if let Some(changes) = outcome.changes {
            self.tell_others(&changes);
        }
        host::act_for(self.root);
    }

    /// What this worker has taken in concerns the requests of all that share what is known.
    fn tell_others(&self, changes: &Changes) {
        let others = WORKERS.with_borrow(|workers| workers.iter().filter_map(Weak::upgrade).collect::<Vec<_>>());
        for other in others {
            if !Rc::ptr_eq(&other, &self.worker) && other.borrow().shares_source(&self.worker.borrow()) {
                let requests = other.borrow_mut().on_changes(changes, host::now(), &Envoy);
                self.act(requests, None);
            }
        }
    }

    /// Carries out effects on requests that are not the one at hand.
    fn act(&self, requests: Vec<RequestEffects>, active: Option<RequestId>) {
        for (id, effects) in requests {
            if !host::act_for(id) {
                continue;
            }
            match self.carry_out(id, effects, active) {
                Outcome::AnswerReleased => host::resume_answer(),
                Outcome::Forwarded => host::resume_request(),
                Outcome::GoesOn | Outcome::Stopped => {}
            }
        }
    }

    fn dispatch(&self, call: &Call, callout: Callout, made_by: Option<RequestId>) -> bool {
        let token = if host::act_for(self.root) { host::dispatch(call) } else { None };
        self.reach.on_call(&call.cluster, token.is_some(), host::now().monotonic);
        self.calls.borrow_mut().extend(token.map(|token| (token, UnderWay { callout, made_by })));
        token.is_some()
    }

    fn step(&self, id: RequestId, event: Event) -> Outcome {
        let effects = self.worker.borrow_mut().on_request(id, event, host::now(), &Envoy);
        self.carry_out(id, effects, Some(id))
    }

    fn carry_out(&self, id: RequestId, effects: Vec<Effect>, active: Option<RequestId>) -> Outcome {
        let mut outcome = Outcome::GoesOn;
        for effect in effects {
            match effect {
                Effect::Call(callout, call) => {
                    let sent = self.dispatch(&call, callout, active);
                    host::act_for(id);
                    if !sent {
                        match self.fail(id, callout, active) {
                            // It did not wait for it.
                            Outcome::GoesOn => {}
                            settled => return settled,
                        }
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
                Effect::HoldAnswer => outcome = Outcome::Stopped,
                Effect::ReleaseAnswer => outcome = Outcome::AnswerReleased,
                Effect::Reply(reply) => {
                    host::reply(&reply);
                    outcome = Outcome::Stopped;
                }
            }
        }
        outcome
    }

    /// The call that a request has just asked for cannot be made. Others may wait for it already: those that were
    /// woken together with this one.
    fn fail(&self, id: RequestId, callout: Callout, active: Option<RequestId>) -> Outcome {
        let failed = self.worker.borrow_mut().on_reply_to(callout, &CallReply::failed(), host::now(), &Envoy);
        failed.counters.into_iter().for_each(host::count);
        failed.limits.into_iter().for_each(host::tell_of_limits);
        let (own, others): (Vec<_>, Vec<_>) = failed.requests.into_iter().partition(|(waiting, _)| *waiting == id);
        self.act(others, active);
        host::act_for(id);
        self.carry_out(id, own.into_iter().flat_map(|(_, effects)| effects).collect(), active)
    }
}
