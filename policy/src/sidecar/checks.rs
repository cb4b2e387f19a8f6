//! Questions about credentials under way: one for all requests that ask the same.

use std::{collections::HashMap, fmt, rc::Rc, time::Duration};

use super::in_flight::{Asked, InFlight, UnderWay};
use crate::ids::{CallId, RequestId};

/// A question, in the form in which it is sent. A credential.
type Question = Rc<[u8]>;

/// The questions under way.
#[derive(Default)]
pub struct Checks {
    calls: InFlight<Question>,
    by_question: HashMap<Question, CallId>,
}

/// What became of a wish to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Somebody has asked already.
    Joined(CallId),
    /// The question is to be sent.
    Started(CallId),
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.fmt(f)
    }
}

impl Checks {
    /// Has a request wait for the reply to a question. One that was sent under another epoch of the feed is not
    /// shared, nor one that is older than `timeout`. `sender`: in whose context it would be sent; none: the worker's
    /// own.
    pub fn join_or_start(
        &mut self,
        request: RequestId,
        sender: Option<RequestId>,
        question: &[u8],
        asked: Asked,
        timeout: Duration,
    ) -> Asking {
        let can_share = |call: &UnderWay<Question, ()>| {
            call.asked.epoch == asked.epoch && asked.at.saturating_sub(call.asked.at) <= timeout
        };
        let shared = self.by_question.get(question).copied();
        let shared = shared.filter(|call| self.calls.get(*call).is_some_and(can_share));
        if let Some(call) = shared.filter(|call| self.calls.join(*call, request, ())) {
            return Asking::Joined(call);
        }
        Asking::Started(self.start(question.into(), asked, sender, vec![(request, ())]))
    }

    fn start(
        &mut self,
        question: Question,
        asked: Asked,
        sender: Option<RequestId>,
        waiting: Vec<(RequestId, ())>,
    ) -> CallId {
        let call = self.calls.start(Rc::clone(&question), asked, sender, waiting);
        self.by_question.insert(question, call);
        call
    }

    /// The question has been answered, or has failed.
    pub fn finish(&mut self, call: CallId) -> Option<UnderWay<Question, ()>> {
        let finished = self.calls.finish(call)?;
        self.forget(&finished.payload, call);
        Some(finished)
    }

    fn forget(&mut self, question: &Question, call: CallId) {
        if self.by_question.get(question) == Some(&call) {
            self.by_question.remove(question);
        }
    }

    /// The request is over.
    pub fn leave(&mut self, request: RequestId) {
        self.calls.leave(request);
    }

    /// Questions that the worker must send itself: whoever sent them has gone, and others wait.
    pub fn restart_lost(&mut self, asked: &Asked) -> Vec<(CallId, Vec<u8>)> {
        let mut restarted = Vec::new();
        for (call, UnderWay { payload, waiting, .. }) in self.calls.take_lost() {
            self.forget(&payload, call);
            if !waiting.is_empty() {
                let question = payload.to_vec();
                restarted.push((self.start(payload, asked.clone(), None, waiting), question));
            }
        }
        restarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(250);

    fn waiting(finished: Option<UnderWay<Question, ()>>) -> Option<Vec<RequestId>> {
        finished.map(|call| call.waiting.into_iter().map(|(request, ())| request).collect())
    }

    #[test]
    fn requests_that_ask_the_same_share_one_question() {
        let mut checks = Checks::default();
        let now = Asked::default();
        let other_epoch = Asked { epoch: Some("e2".into()), ..Asked::default() };
        let mut ask = |request, question: &[u8], asked: &Asked| {
            checks.join_or_start(request, Some(request), question, asked.clone(), TIMEOUT)
        };
        assert_eq!(ask(1, b"a", &now), Asking::Started(1));
        assert_eq!(ask(2, b"a", &now), Asking::Joined(1));
        assert_eq!(ask(3, b"b", &now), Asking::Started(2));
        assert_eq!(ask(4, b"a", &other_epoch), Asking::Started(3));
        assert_eq!(ask(5, b"a", &other_epoch), Asking::Joined(3));
        let later = Asked { at: Duration::from_millis(251), ..Asked::default() };
        assert_eq!(ask(6, b"b", &later), Asking::Started(4), "the other's time is over");
        assert_eq!(waiting(checks.finish(1)), Some(vec![1, 2]));
        assert_eq!(waiting(checks.finish(1)), None);
        assert_eq!(waiting(checks.finish(3)), Some(vec![4, 5]));
    }

    #[test]
    fn a_question_whose_sender_has_gone_is_sent_again_while_somebody_waits() {
        let mut checks = Checks::default();
        let now = Asked::default();
        for (request, question) in [(1, b"a"), (2, b"a"), (3, b"b")] {
            checks.join_or_start(request, Some(request), question, now.clone(), TIMEOUT);
        }
        checks.leave(3);
        checks.leave(1);
        let again = Asked { at: Duration::from_millis(50), ..Asked::default() };
        assert_eq!(checks.restart_lost(&again), [(3, b"a".to_vec())], "nobody waits for the other");
        assert!(checks.restart_lost(&again).is_empty(), "once is enough");
        assert_eq!(checks.join_or_start(4, Some(4), b"a", again.clone(), TIMEOUT), Asking::Joined(3));
        let finished = checks.finish(3).unwrap();
        assert_eq!((finished.asked.clone(), finished.sent_for()), (again, None));
        assert_eq!(waiting(Some(finished)), Some(vec![2, 4]));
        assert!(checks.by_question.is_empty());
    }
}
