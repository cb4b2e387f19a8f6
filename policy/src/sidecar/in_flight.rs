//! Calls under way: what was asked, when, and which requests wait for the reply.
//!
//! The tracker of all calls that requests wait for. What makes two questions the same is their owners' business:
//! credentials in [`super::checks`], limits in `limits::lease_calls`. The feed is followed, and the keys are fetched, by one
//! call at a time: see `knowledge::follower` and the worker.

use std::{collections::BTreeMap, fmt, rc::Rc, time::Duration};

use crate::ids::{CallId, RequestId};

/// When a question was sent, and what was known of the feed by then: the reply is no older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// When, on the worker's clock.
    pub at: Duration,
    /// The epoch that was known.
    pub epoch: Option<Rc<str>>,
}

/// The calls under way. `P` is what a call is about, `W` what each request waits for in it.
pub struct InFlight<P, W = ()> {
    calls: BTreeMap<CallId, UnderWay<P, W>>,
    last: CallId,
}

/// A call under way.
#[derive(Debug)]
pub struct UnderWay<P, W> {
    /// What it is about.
    pub payload: P,
    /// When it was sent.
    pub asked: Asked,
    /// In whose context it was sent.
    sender: Sender,
    /// Who waits for it, in their order.
    pub waiting: Vec<(RequestId, W)>,
}

/// In whose context a call was sent: its reply is lost with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A request's.
    Request(RequestId),
    /// That of a request that has gone: there will be no reply.
    Gone,
    /// The worker's own.
    Worker,
}

impl<P, W> UnderWay<P, W> {
    /// In which request's context it was sent; none: the worker's own.
    pub const fn sent_for(&self) -> Option<RequestId> {
        match self.sender {
            Sender::Request(request) => Some(request),
            Sender::Gone | Sender::Worker => None,
        }
    }
}

impl<P, W> Default for InFlight<P, W> {
    fn default() -> Self {
        Self { calls: BTreeMap::new(), last: 0 }
    }
}

impl<P, W> fmt::Debug for InFlight<P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads have credentials in them.
        f.debug_struct("InFlight").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}

impl<P, W> InFlight<P, W> {
    /// A call is sent. `sender`: in which request's context; none: the worker's own.
    pub fn start(
        &mut self,
        payload: P,
        asked: Asked,
        sender: Option<RequestId>,
        waiting: Vec<(RequestId, W)>,
    ) -> CallId {
        self.last += 1;
        let sender = sender.map_or(Sender::Worker, Sender::Request);
        self.calls.insert(self.last, UnderWay { payload, asked, sender, waiting });
        self.last
    }

    /// How many calls are under way.
    pub fn count(&self) -> usize {
        self.calls.len()
    }

    /// The call, while it is under way.
    pub fn get(&self, call: CallId) -> Option<&UnderWay<P, W>> {
        self.calls.get(&call)
    }

    /// Has a request wait for a call. Returns whether that is under way.
    pub fn join(&mut self, call: CallId, request: RequestId, waits_for: W) -> bool {
        let under_way = self.calls.get_mut(&call);
        under_way.map(|call| call.waiting.push((request, waits_for))).is_some()
    }

    /// The call has brought its reply, or has failed.
    pub fn finish(&mut self, call: CallId) -> Option<UnderWay<P, W>> {
        self.calls.remove(&call)
    }

    /// The request is over: it waits no more, and calls that were sent in its context bring no reply.
    pub fn leave(&mut self, request: RequestId) {
        for call in self.calls.values_mut() {
            call.waiting.retain(|(waiting, _)| *waiting != request);
            if call.sender == Sender::Request(request) {
                call.sender = Sender::Gone;
            }
        }
    }

    /// The calls that bring no reply, in the order in which they were sent.
    pub fn take_lost(&mut self) -> Vec<(CallId, UnderWay<P, W>)> {
        self.calls.extract_if(.., |_, call| call.sender == Sender::Gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_finished_once_and_wakes_whoever_has_not_left() {
        let mut calls = InFlight::default();
        let call = calls.start("a", Asked::default(), Some(1), vec![(1, 'x')]);
        assert!(calls.join(call, 2, 'y') && calls.join(call, 3, 'z') && !calls.join(9, 3, 'z'));
        calls.leave(3);
        let finished = calls.finish(call).unwrap();
        assert_eq!((finished.payload, finished.sent_for(), finished.waiting), ("a", Some(1), vec![(1, 'x'), (2, 'y')]));
        assert!(calls.finish(call).is_none());
    }

    #[test]
    fn a_call_whose_sender_has_gone_is_lost_once() {
        let mut calls = InFlight::default();
        let (one, two) =
            (calls.start(1, Asked::default(), Some(1), vec![]), calls.start(2, Asked::default(), None, vec![]));
        calls.join(one, 2, ());
        calls.leave(1);
        let lost = calls.take_lost();
        assert!(
            matches!(lost.as_slice(), [(call, UnderWay { payload: 1, waiting, .. })] if *call == one && *waiting == [(2, ())])
        );
        assert!(calls.take_lost().is_empty() && calls.get(one).is_none() && calls.get(two).is_some());
    }
}
