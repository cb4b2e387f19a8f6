//! Streams that workers end, and those that they should have ended.

use std::time::Duration;

use session_gate_protocol::{CheckReply, CheckVerdict};

use crate::{
    clocks::Millis,
    history::What,
    mind::News,
    numbers::SessionNumber,
    promise::{Promise, Violation},
    rules::Barred,
    sidecar::Answer,
    under_way::Request,
    worker_host::{Deed, RequestId},
    world::World,
};

/// What a worker was answered about a token, if it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) sent: Millis,
    pub(crate) verdict: Option<CheckVerdict>,
}

impl Answered {
    /// An answer to what was asked then.
    pub(crate) fn new(sent: Millis, answer: Option<&Answer>) -> Self {
        let reply = answer.and_then(|answer| serde_json::from_slice::<CheckReply>(&answer.body).ok());
        Self { sent, verdict: reply.map(|reply| reply.verdict) }
    }

    fn is_expiry(self) -> bool {
        self.verdict == Some(CheckVerdict::SessionExpired)
    }
}

/// How often a worker looks at its streams.
const TICK: Duration = Duration::from_millis(50);

impl World {
    /// These streams were ended: exactly those that the news are about should be.
    pub(crate) fn end_streams(
        &mut self,
        worker: usize,
        ended: &[RequestId],
        news: Option<&News>,
        answered: Option<Answered>,
    ) {
        let Some(place) = self.workers.get(worker) else { return };
        let concerns = |request: &Request| {
            let Some((news, token)) = news.zip(request.token) else { return false };
            let is_users = self.truth.token(token).is_some_and(|token| news.users.contains(&token.user));
            let is_told =
                |sessions: &[SessionNumber]| request.session.is_some_and(|session| sessions.contains(&session));
            let is_meant = is_told(&news.sessions)
                || is_told(&news.scoped)
                || is_users
                || news.rules
                || news.tokens.contains(&token);
            is_meant && self.is_taken_back(worker, request)
        };
        let open = place.requests.iter().filter(|(_, request)| request.open_since.is_some());
        let expected: Vec<RequestId> = open.filter(|(_, request)| concerns(request)).map(|(id, _)| *id).collect();
        // One whose end was heard of before its answer began may be ended later: whenever there is news of its session.
        let is_late = |id: &RequestId| place.requests.get(id).is_some_and(|request| request.is_late);
        let missed = expected.iter().find(|id| !ended.contains(id) && !is_late(id));
        let wrong = missed.map(|id| (*id, "was not ended"));
        let is_over = |id: &RequestId| {
            place.requests.get(id).is_some_and(|request| self.is_rightly_over(worker, request, answered))
        };
        let unexpected = ended.iter().find(|id| !expected.contains(id) && !is_late(id) && !is_over(id));
        let wrong = wrong.or_else(|| unexpected.map(|id| (*id, "was ended")));
        let violation = wrong.map(|(id, text)| Violation {
            promise: Promise::Streams,
            text: format!("a stream {text}: {:?}; news: {news:?}", place.requests.get(&id)),
            session: place.requests.get(&id).and_then(|request| request.session),
            key: None,
            worker,
        });
        let is_scoped = |id: &&RequestId| place.requests.get(id).is_some_and(|request| self.lacks(worker, request));
        let scoped = ended.iter().filter(is_scoped).count() as u64;
        let is_barred = |id: &&RequestId| place.requests.get(id).is_some_and(|request| self.is_barred(worker, request));
        let barred = ended.iter().filter(is_barred).count() as u64;
        let unanswered = place.requests.iter().filter(|(_, request)| request.open_since.is_none());
        let late: Vec<RequestId> = unanswered.filter(|(_, request)| concerns(request)).map(|(id, _)| *id).collect();
        if let Some(place) = self.workers.get_mut(worker) {
            let mut mark = |id| place.requests.get_mut(id).into_iter().for_each(|request| request.is_late = true);
            late.iter().for_each(&mut mark);
        }
        self.counts.add("scopes", "streams ended", scoped);
        self.counts.add("rules", "streams ended", barred);
        if answered.is_some_and(Answered::is_expiry) {
            self.counts.add("streams", "ended as idle", ended.len() as u64);
        }
        self.end_requests(worker, ended);
        self.judge(violation.map_or(Ok(()), Err));
        if news.is_some_and(|news| !news.more) {
            self.look_for_overtime(worker);
            self.look_for_leaks(worker);
        }
    }

    /// The worker has looked at streams of its own accord: it ends those whose time is over, and those whose answers began
    /// when it knew already that they are not served any more.
    pub(crate) fn end_by_time(&mut self, worker: usize, deeds: &[Deed]) {
        let ended = deeds.iter().filter_map(|deed| match deed {
            Deed::EndStream(id) => Some(*id),
            _ => None,
        });
        let ended: Vec<RequestId> = ended.collect();
        let Some(place) = self.workers.get(worker).filter(|_| !ended.is_empty()) else { return };
        let requests = ended.iter().filter_map(|id| place.requests.get(id));
        let wrong = requests
            .copied()
            .find(|request| !self.may_be_over(worker, request) && !self.is_taken_back(worker, request));
        self.end_requests(worker, &ended);
        self.counts.add("streams", "ended by time", ended.len() as u64);
        self.leak_or_loss(worker, wrong, "a stream was ended in its time");
    }

    /// Whether a stream may end: its time is over, its worker knows that it is not served any more, whoever has said so, or has
    /// just been answered so.
    fn is_rightly_over(&self, worker: usize, request: &Request, answered: Option<Answered>) -> bool {
        self.may_be_over(worker, request)
            || self.is_taken_back(worker, request)
            || answered.is_some_and(|answered| self.is_refused(worker, request, answered))
    }

    /// When a stream's time is over, in seconds, at the soonest and at the latest: with its session; without one, or as far
    /// as its worker knows, with its token.
    fn ends(&self, request: &Request) -> Option<(u64, u64)> {
        let token = request.token.and_then(|token| self.truth.token(token))?;
        let by_token = token.accepted_until();
        let by_session = self.truth.session_of(token).map_or(by_token, |session| session.expires);
        let is_own = token.foreign.is_none();
        Some(if is_own { (by_session, by_session) } else { (by_session.min(by_token), by_session.max(by_token)) })
    }

    /// Whether its worker's clock shows that second.
    fn has_come(&self, worker: usize, second: u64) -> bool {
        self.workers.get(worker).is_some_and(|place| place.clock.now(self.now).wall.0 >= second)
    }

    /// Whether the time of a stream may be over.
    fn may_be_over(&self, worker: usize, request: &Request) -> bool {
        self.ends(request).is_some_and(|(soonest, _)| self.has_come(worker, soonest))
    }

    /// Whether it has been over for two seconds, whatever its worker knows.
    fn is_long_over(&self, worker: usize, request: &Request) -> bool {
        self.ends(request).is_some_and(|(_, latest)| self.has_come(worker, latest + 2))
    }

    /// Whether the worker knows that a stream is not served any more.
    pub(crate) fn is_taken_back(&self, worker: usize, request: &Request) -> bool {
        let Some((place, number)) = self.workers.get(worker).zip(request.token) else { return false };
        let takes_back = |token| place.mind.takes_back(number, token, request.version);
        self.truth.token(number).is_some_and(takes_back)
            || self.lacks(worker, request)
            || self.is_barred(worker, request)
    }

    /// Whether the worker knows of a rule against a stream.
    fn is_barred(&self, worker: usize, request: &Request) -> bool {
        let token = request.token.and_then(|token| self.truth.token(token));
        self.workers.get(worker).is_some_and(|place| {
            let wall = place.clock.now(self.now).wall.0;
            Barred::all(token, request.address).any(|barred| place.mind.rules.refuse(barred, wall))
        })
    }

    /// Whether the worker knows that a stream lacks what its route asks for.
    fn lacks(&self, worker: usize, request: &Request) -> bool {
        let token = request.token.and_then(|token| self.truth.token(token));
        let mind = self.workers.get(worker).map(|place| &place.mind);
        mind.zip(token).is_some_and(|(mind, token)| mind.lacks(token, request.route.demand(), request.version))
    }

    fn leak_or_loss(&mut self, worker: usize, wrong: Option<Request>, what: &str) {
        let violation = wrong.map(|request| Violation {
            promise: Promise::Streams,
            text: format!("{what}: {request:?}"),
            session: request.session,
            key: None,
            worker,
        });
        self.judge(violation.map_or(Ok(()), Err));
    }

    fn end_requests(&mut self, worker: usize, ended: &[RequestId]) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker) else { return };
        let over: Vec<(RequestId, Request)> =
            ended.iter().filter_map(|id| Some((*id, place.requests.remove(id)?))).collect();
        ended.iter().for_each(|id| place.host.forget(now, *id));
        for (id, request) in over {
            self.counts.one("streams", "ended by the gate");
            if let Some(key) = request.key {
                self.close((worker, id), key);
            }
            if let Some((script, written)) = self.script.as_mut().zip(request.written) {
                script.note_end(written.name);
            }
            self.history.add(now, What::StreamEnded { worker, session: request.session });
        }
    }

    /// No stream goes on after its time. One whose answer began only when its time was over, or when the worker knew
    /// already that it is not served any more, has as long as the worker believes what it knows.
    fn look_for_overtime(&mut self, worker: usize) {
        let Some(place) = self.workers.get(worker) else { return };
        let bound = self.parameters.settings.max_staleness + 2 * TICK;
        let is_long_open =
            |request: &&Request| request.open_since.is_some_and(|since| place.clock.between(since, self.now) > bound);
        let is_over = |request: &&Request| {
            self.is_long_over(worker, request)
                || self.has_nobody_to_vouch(worker, request)
                || (request.is_late && self.is_taken_back(worker, request))
        };
        let wrong = place.requests.values().filter(is_long_open).find(is_over).copied();
        self.leak_or_loss(worker, wrong, "a stream goes on after its time");
    }

    /// No stream goes on that the worker should have ended long ago.
    fn look_for_leaks(&mut self, worker: usize) {
        let Some(place) = self.workers.get(worker) else { return };
        let bound = self.parameters.settings.max_staleness;
        if !place.mind.is_current(self.now, &place.clock, bound) {
            return;
        }
        let bound = bound + place.clock.excess(bound);
        let lost_at = self.truth.lost_at.unwrap_or_default();
        let leak = place.requests.values().filter(|request| !request.is_late).find(|request| {
            let Some((since, token)) = request.open_since.zip(request.token) else { return false };
            self.truth.refusals_on(token, request.route.demand()).any(|refusal| {
                refusal.begun > lost_at
                    && since <= refusal.acked
                    && place.clock.between(refusal.acked, self.now) > bound
            })
        });
        let violation = leak.map(|request| Violation {
            promise: Promise::Streams,
            text: format!("a stream goes on long after it was taken back: {request:?}"),
            session: request.session,
            key: None,
            worker,
        });
        self.judge(violation.map_or(Ok(()), Err));
    }
}
