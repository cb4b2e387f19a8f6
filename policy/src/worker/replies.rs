//! Replies for which requests wait, and what follows for each.

use std::{rc::Rc, time::Duration};

use session_gate_protocol::{CheckReply, RenewReply, SessionCommandReply};

use super::{CalloutOutcome, WakeReason, Worker};
use crate::{
    host::Host,
    ids::CallId,
    metric::{CallOutcome, Counter},
    request::{CheckOutcome, CommandOutcome, Event},
    sidecar::client::CallReply,
    time::Now,
    token::FetchedKeys,
};

/// How soon a failed fetch of the keys is tried again.
const RETRY: Duration = Duration::from_secs(1);

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

    /// The sidecar has replied with what takes a token's place, or has not. Wakes every request that waits for it.
    pub(super) fn on_renewal<H: Host>(
        &mut self,
        call: CallId,
        reply: &CallReply,
        now: Now,
        host: &H,
    ) -> CalloutOutcome {
        let reply = reply.json::<RenewReply>();
        let outcome = if reply.is_some() { CallOutcome::Answered } else { CallOutcome::Failed };
        let Some(finished) = self.renewals.finish(call, reply, now.monotonic) else { return CalloutOutcome::default() };
        let waking = WakeReason { sender: finished.sent_for, queued_behind: &[] };
        let event = || Event::Renewal(finished.renewal.clone());
        let requests = finished.waiting.iter().map(|&id| (id, self.step(id, event(), waking, now, host))).collect();
        CalloutOutcome { counters: vec![Counter::Renewal(outcome)], requests, ..CalloutOutcome::default() }
    }

    /// The sidecar has replied whether an account is locked, or has not. Wakes every request that waits for it.
    pub(super) fn on_login_lock<H: Host>(
        &mut self,
        call: CallId,
        reply: &CallReply,
        now: Now,
        host: &H,
    ) -> CalloutOutcome {
        let Some(finished) = self.locks.finish(call) else { return CalloutOutcome::default() };
        let waking = WakeReason { sender: finished.sent_for(), queued_behind: &[] };
        let reply = reply.json::<SessionCommandReply>();
        let outcome = if reply.is_some() { CallOutcome::Answered } else { CallOutcome::Failed };
        let event = || Event::LoginLock(reply.as_ref().and_then(|reply| reply.locked_for));
        let waiting = finished.waiting.into_iter();
        let requests = waiting.map(|(id, ())| (id, self.step(id, event(), waking, now, host))).collect();
        CalloutOutcome { counters: vec![Counter::LoginLock(outcome)], requests, ..CalloutOutcome::default() }
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

    /// The sidecar has answered with its keys, or has not. Wakes every request that is held for them.
    pub(super) fn on_keys<H: Host>(&mut self, reply: &CallReply, now: Now, host: &H) -> CalloutOutcome {
        self.keys.in_flight = false;
        let fetched =
            reply.ok_body().and_then(|body| Some((body, FetchedKeys::read(body, self.config.issuers.iter())?)));
        let outcome = match (fetched, &self.config.sidecar) {
            (Some((body, fetched)), Some(sidecar)) => {
                if self.keys.body != body {
                    // A key may have gone: what it signed must not stay good.
                    self.cache.clear();
                    self.keys.body = body.to_vec();
                    self.keys.fetched = Some(fetched);
                    if let Some(source) = &self.source {
                        source.borrow_mut().keys = body.to_vec();
                    }
                }
                self.keys.due = now.wall.after(sidecar.keys_refresh);
                self.keys.refetch_from = now.wall.after(sidecar.keys_refetch);
                CallOutcome::Answered
            }
            _ => {
                self.keys.due = now.wall.after(RETRY);
                self.keys.refetch_from = self.keys.due;
                CallOutcome::Failed
            }
        };
        let waiting = std::mem::take(&mut self.waiting);
        let waking = WakeReason { sender: None, queued_behind: &[] };
        let requests = waiting.into_iter().map(|id| (id, self.step(id, Event::Keys, waking, now, host))).collect();
        CalloutOutcome { counters: vec![Counter::Keys(outcome)], requests, ..CalloutOutcome::default() }
    }
}
