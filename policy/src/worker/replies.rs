//! Replies for which requests wait, and what follows for each.

use std::rc::Rc;

use session_gate_protocol::CheckReply;

use super::{CalloutOutcome, WakeReason, Worker};
use crate::{
    host::Host,
    ids::CallId,
    metric::{CallOutcome, Counter},
    request::{CheckOutcome, CommandOutcome, Event},
    sidecar::client::CallReply,
    time::Now,
};

impl Worker {
    /// The sidecar has answered about a credential, or has not. Wakes every request that waits for it. An
    /// answer that took longer than knowledge is believed says nothing any more.
    pub(super) fn on_check<H: Host>(&mut self, call: CallId, reply: &CallReply, now: Now, host: &H) -> CalloutOutcome {
        let Some(finished) = self.checks.finish(call) else { return CalloutOutcome::default() };
        let waking = WakeReason { sender: finished.sent_for(), queued_behind: &[] };
        let asked = finished.asked;
        let believed = self.source.as_ref().map(|source| source.borrow().feed.max_staleness());
        let is_late = believed.is_some_and(|believed| now.monotonic.saturating_sub(asked.at) > believed);
        let reply = reply.json::<CheckReply>().filter(|_| !is_late);
        let outcome = if reply.is_some() { CallOutcome::Answered } else { CallOutcome::Failed };
        let checked = Rc::new(CheckOutcome { reply, asked });
        let waiting = finished.waiting.into_iter();
        let requests =
            waiting.map(|(id, ())| (id, self.step(id, Event::Check(Rc::clone(&checked)), waking, now, host))).collect();
        CalloutOutcome { counters: vec![Counter::Check(outcome)], requests, ..CalloutOutcome::default() }
    }

    /// The sidecar has done what an answer says of sessions, or has not.
    pub(super) fn on_command<H: Host>(
        &mut self,
        call: CallId,
        reply: &CallReply,
        now: Now,
        host: &H,
    ) -> CalloutOutcome {
        let Some(finished) = self.commands.finish(call) else { return CalloutOutcome::default() };
        let waking = WakeReason { sender: finished.sent_for(), queued_behind: &[] };
        let waiting = finished.waiting.into_iter();
        let outcome = || Event::Command(Box::new(CommandOutcome::of(reply)));
        let requests = waiting.map(|(id, ())| (id, self.step(id, outcome(), waking, now, host))).collect();
        CalloutOutcome { requests, ..CalloutOutcome::default() }
    }
}
