//! Renewals of session tokens: one question for all requests that bring the same token, and what has come of the last
//! ones.
//!
//! A question may bring its answer when the request is over for which it was asked; the next one gets it.

use std::{collections::HashMap, fmt, rc::Rc, time::Duration};

use session_gate_protocol::{CheckVerdict, RenewReply, SessionToken};

use super::in_flight::{Asked, InFlight};
use crate::ids::{CallId, RequestId};

/// For how long a successor is handed out without a new question: requests with its predecessor come until the client
/// has taken it up.
const KEPT: Duration = Duration::from_secs(60);
/// How soon the sidecar is asked again about a token that it does not renew.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// The same where it could not be asked, or refuses for what may be lifted at any time.
const RETRY: Duration = Duration::from_secs(1);
/// How many tokens something is remembered of at most.
const MAX_REMEMBERED: usize = 2_000;
/// How many questions are under way at most before another is asked ahead.
const MAX_AHEAD: usize = 16;

/// What has come of a question.
#[derive(Clone, Debug)]
pub enum Renewal {
    /// This takes the token's place.
    Successor(Rc<SessionToken>),
    /// Nothing does: what the sidecar says of the token.
    Refused(CheckVerdict),
    /// Nobody knows.
    Failed,
}

/// What is known of renewals, and asked.
#[derive(Default)]
pub struct Renewals {
    calls: InFlight<Rc<str>>,
    by_token: HashMap<Rc<str>, State>,
    /// When what does not count any more is forgotten next.
    forget_from: Duration,
    /// Until when nothing is asked ahead: the sidecar has not answered in time, and others need it more.
    paused_until: Duration,
}

enum State {
    Asked(CallId),
    Known { renewal: Renewal, until: Duration },
}

/// A question that is over.
#[derive(Debug)]
pub struct Finished {
    /// What has come of it.
    pub renewal: Renewal,
    /// In which request's context it was sent; none: the worker's own.
    pub sent_for: Option<RequestId>,
    /// Who waits for it.
    pub waiting: Vec<RequestId>,
}

impl fmt::Debug for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys are tokens.
        f.debug_struct("Renewals").field("remembered", &self.by_token.len()).finish_non_exhaustive()
    }
}

impl Renewals {
    /// What has come of the last question about a token, as long as that counts.
    pub fn known(&self, token: &str, now: Duration) -> Option<&Renewal> {
        match self.by_token.get(token)? {
            State::Known { renewal, until } if *until > now => Some(renewal),
            State::Known { .. } | State::Asked(_) => None,
        }
    }

    /// Asks ahead: nobody waits. None: somebody has asked, the answer is known, or too much is asked already.
    pub fn ask_ahead(&mut self, token: &Rc<str>, sender: Option<RequestId>, now: Duration) -> Option<CallId> {
        let is_asked = matches!(self.by_token.get(token), Some(State::Asked(_)));
        let is_busy = self.calls.count() >= MAX_AHEAD || now < self.paused_until;
        if is_asked || is_busy || self.known(token, now).is_some() {
            return None;
        }
        Some(self.start(Rc::clone(token), sender, Vec::new(), now))
    }

    /// Has a request wait for what the sidecar says. The call is to be sent where it is new.
    pub fn wait(
        &mut self,
        token: &Rc<str>,
        request: RequestId,
        sender: Option<RequestId>,
        now: Duration,
    ) -> (CallId, bool) {
        if let Some(State::Asked(call)) = self.by_token.get(token)
            && self.calls.join(*call, request, ())
        {
            return (*call, false);
        }
        (self.start(Rc::clone(token), sender, vec![(request, ())], now), true)
    }

    fn start(
        &mut self,
        token: Rc<str>,
        sender: Option<RequestId>,
        waiting: Vec<(RequestId, ())>,
        now: Duration,
    ) -> CallId {
        self.make_room(now);
        let asked = Asked { at: now, epoch: None };
        let call = self.calls.start(Rc::clone(&token), asked, sender, waiting);
        self.by_token.insert(token, State::Asked(call));
        call
    }

    /// A reply has come, or none ever will.
    pub fn finish(&mut self, call: CallId, reply: Option<RenewReply>, now: Duration) -> Option<Finished> {
        let under_way = self.calls.finish(call)?;
        let (renewal, kept) = match reply {
            Some(RenewReply { token: Some(successor), .. }) => (Renewal::Successor(Rc::new(successor)), KEPT),
            Some(RenewReply { verdict, token: None }) => {
                (Renewal::Refused(verdict), if may_be_lifted(verdict) { RETRY } else { REFUSED_FOR })
            }
            None => {
                self.paused_until = now.saturating_add(RETRY);
                (Renewal::Failed, RETRY)
            }
        };
        let sent_for = under_way.sent_for();
        let known = State::Known { renewal: renewal.clone(), until: now.saturating_add(kept) };
        self.by_token.insert(under_way.payload, known);
        let waiting = under_way.waiting.into_iter().map(|(request, ())| request).collect();
        Some(Finished { renewal, sent_for, waiting })
    }

    /// The request is over.
    pub fn leave(&mut self, request: RequestId) {
        self.calls.leave(request);
    }

    /// Questions that the worker must send itself: whoever sent them has gone, and the next request wants the answer. What
    /// does not count any more is forgotten now and then: it is credentials.
    pub fn restart_lost(&mut self, now: Duration) -> Vec<(CallId, Rc<str>)> {
        if now >= self.forget_from {
            self.forget_from = now.saturating_add(KEPT);
            self.forget_over(now);
        }
        let lost = self.calls.take_lost();
        lost.into_iter()
            .map(|(_, call)| (self.start(Rc::clone(&call.payload), None, call.waiting, now), call.payload))
            .collect()
    }

    fn forget_over(&mut self, now: Duration) {
        self.by_token.retain(|_, state| !matches!(state, State::Known { until, .. } if *until <= now));
    }

    /// Drops what does not count any more, and if that is not enough, all that has been answered.
    fn make_room(&mut self, now: Duration) {
        if self.by_token.len() < MAX_REMEMBERED {
            return;
        }
        self.forget_over(now);
        if self.by_token.len() >= MAX_REMEMBERED {
            self.by_token.retain(|_, state| matches!(state, State::Asked(_)));
        }
    }
}

/// Whether a token that is refused for that may be good again in a moment.
const fn may_be_lifted(verdict: CheckVerdict) -> bool {
    matches!(verdict, CheckVerdict::Blocked | CheckVerdict::SessionPending2fa | CheckVerdict::SessionSuspended)
}

#[cfg(test)]
mod tests {
    use session_gate_protocol::UnixSeconds;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn successor(token: &str) -> Option<RenewReply> {
        let token = SessionToken { token: token.to_owned(), expires_at: UnixSeconds(1), max_age: None };
        Some(RenewReply { verdict: CheckVerdict::Live, token: Some(token) })
    }

    fn later(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_asks_once_and_all_get_the_same() {
        let mut renewals = Renewals::default();
        let token: Rc<str> = "t".into();
        let call = renewals.ask_ahead(&token, Some(1), NOW).unwrap();
        assert_eq!(renewals.ask_ahead(&token, Some(2), NOW), None);
        assert_eq!(renewals.wait(&token, 3, Some(3), NOW), (call, false));
        let finished = renewals.finish(call, successor("s"), NOW).unwrap();
        assert_eq!((finished.sent_for, finished.waiting), (Some(1), vec![3]));
        assert!(renewals.finish(call, successor("other"), NOW).is_none(), "once");
        assert_eq!(renewals.ask_ahead(&token, Some(4), later(59)), None);
        assert!(matches!(renewals.known("t", later(59)), Some(Renewal::Successor(s)) if s.token == "s"));
        assert!(renewals.known("t", later(60)).is_none() && renewals.ask_ahead(&token, Some(5), later(60)).is_some());
    }

    #[test]
    fn what_was_refused_or_failed_is_asked_about_again_but_not_at_once() {
        let token: Rc<str> = "t".into();
        let refused = |verdict| Some(RenewReply { verdict, token: None });
        for (reply, wait) in [
            (None, 1),
            (refused(CheckVerdict::SessionTerminated), 10),
            (refused(CheckVerdict::SessionSuspended), 1),
            (refused(CheckVerdict::Blocked), 1),
        ] {
            let mut renewals = Renewals::default();
            let call = renewals.ask_ahead(&token, None, NOW).unwrap();
            renewals.finish(call, reply.clone(), NOW).unwrap();
            let asks_of_others = renewals.ask_ahead(&"other".into(), None, NOW);
            assert_eq!(asks_of_others.is_some(), reply.is_some(), "one that did not answer is left alone for a while");
            asks_of_others.and_then(|call| renewals.finish(call, successor("s"), NOW));
            assert_eq!(renewals.ask_ahead(&token, None, later(wait) - Duration::from_millis(1)), None);
            let call = renewals.ask_ahead(&token, None, later(wait)).unwrap();
            // Whoever must wait for it asks all the same.
            renewals.finish(call, None, later(wait)).unwrap();
            let (again, is_new) = renewals.wait(&token, 9, Some(9), later(wait));
            assert!(is_new);
            renewals.finish(again, None, Duration::ZERO).unwrap();
        }
    }

    #[test]
    fn a_question_whose_sender_has_gone_is_sent_again_by_the_worker() {
        let mut renewals = Renewals::default();
        let token: Rc<str> = "t".into();
        let call = renewals.ask_ahead(&token, Some(1), NOW).unwrap();
        renewals.leave(1);
        let restarted = renewals.restart_lost(NOW);
        assert_eq!(restarted, [(call + 1, token)]);
        assert!(renewals.restart_lost(NOW).is_empty());
        let finished = renewals.finish(call + 1, successor("s"), NOW).unwrap();
        assert_eq!((finished.sent_for, finished.waiting.len()), (None, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut renewals = Renewals::default();
        for i in 0..3 * MAX_REMEMBERED {
            let call = renewals.ask_ahead(&Rc::from(i.to_string()), None, NOW).unwrap();
            renewals.finish(call, successor("s"), NOW).unwrap();
        }
        assert!(renewals.by_token.len() <= MAX_REMEMBERED);
        let asked = (0..2 * MAX_AHEAD).filter_map(|i| renewals.ask_ahead(&Rc::from(format!("a{i}")), None, NOW));
        assert_eq!(asked.count(), MAX_AHEAD);
    }
}
