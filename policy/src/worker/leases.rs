//! A worker's questions about limits, and their answers.

use std::time::Duration;

use session_gate_protocol::{LeaseReply, MAX_LEASE_ASKS};

use super::{CalloutOutcome, WakeReason, Worker};
use crate::{
    host::Host,
    ids::{CallId, Callout},
    limits::{Between, FinishedLeases, Question, Waiter},
    metric::{CallOutcome, Counter},
    request::Event,
    sidecar::client::{Call, CallReply},
    time::Now,
};

impl Worker {
    /// The sidecar has answered about limits, or has not. Wakes every request that waits for it.
    pub(super) fn on_leases<H: Host>(&mut self, call: CallId, reply: &CallReply, now: Now, host: &H) -> CalloutOutcome {
        let (Some(finished), Some(source)) = (self.lease_calls.finish(call), &self.source) else {
            return CalloutOutcome::default();
        };
        let sender = finished.sent_for();
        let FinishedLeases { payload: questions, asked, waiting, .. } = finished;
        let asked_at = asked.at;
        let reply = reply.json::<LeaseReply>();
        let outcome = if reply.is_some() { CallOutcome::Answered } else { CallOutcome::Failed };
        let limits = source.borrow_mut().ledger.on_reply(questions, reply, asked_at, now.monotonic);
        let mut requests = Vec::new();
        let mut waiting = waiting.as_slice();
        while let Some(((id, _), queued_behind)) = waiting.split_first() {
            requests.push((*id, self.step(*id, Event::Limits, WakeReason { sender, queued_behind }, now, host)));
            waiting = queued_behind;
        }
        CalloutOutcome { counters: vec![Counter::Leases(outcome)], requests, changes: None, limits }
    }

    /// What is due about limits.
    pub(super) fn due_leases(&mut self, now: Duration) -> Vec<(Callout, Call)> {
        let Some(source) = self.source.clone() else { return Vec::new() };
        let mut calls = Vec::new();
        for FinishedLeases { payload: questions, asked, waiting, .. } in self.lease_calls.take_lost() {
            // Its reply went with a request that is over. Whoever waited too needs it asked again: word for word,
            // so that the store knows it for the same.
            if waiting.is_empty() {
                source.borrow_mut().ledger.on_lost(questions, asked.at, now);
            } else {
                calls.extend(self.ask_leases(questions, waiting, now));
            }
        }
        // After these, so that nothing is asked twice.
        let due = source.borrow_mut().ledger.due(|key| self.lease_calls.is_asked(key), now);
        if !due.is_empty() {
            calls.extend(self.ask_leases(due, Vec::new(), now));
        }
        calls
    }

    /// Everything that is leased is handed back: this VM goes. The replies concern nobody.
    pub fn hand_back(&mut self, now: Now) -> Vec<(Callout, Call)> {
        let Some(source) = &self.source else { return Vec::new() };
        let questions = source.borrow_mut().ledger.hand_all_back(now.monotonic);
        let calls = questions.chunks(MAX_LEASE_ASKS).map(<[Question]>::to_vec);
        calls.filter_map(|questions| self.ask_leases(questions, Vec::new(), now.monotonic)).collect()
    }

    fn ask_leases(&mut self, questions: Vec<Question>, waiting: Vec<Waiter>, now: Duration) -> Option<(Callout, Call)> {
        let (sidecar, source) = (self.config.sidecar.as_ref()?, self.source.as_ref()?.borrow());
        let between = Between { sidecar, worker: &source.worker };
        let (call, http) = self.lease_calls.start(questions, waiting, None, now, between)?;
        Some((Callout::Leases(call), http))
    }

    /// How many keys of limits were forgotten for want of room since somebody asked.
    pub fn take_forgotten_keys(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.borrow_mut().ledger.take_evicted())
    }
}
