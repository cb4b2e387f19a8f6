//! Streams that workers end, and those that they should have ended.

use crate::{
    check::{Promise, Violation},
    history::What,
    mind::News,
    traffic::Request,
    worker_host::RequestId,
    world::World,
};

impl World {
    /// These streams were ended: exactly those that the news are about should be.
    pub(crate) fn end_streams(&mut self, worker: usize, ended: &[RequestId], news: Option<&News>) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker) else { return };
        let mind = &place.mind;
        let concerns = |request: &Request| {
            let Some((news, token)) = news.zip(request.token) else { return false };
            let is_meant =
                request.session.is_some_and(|session| news.sessions.contains(&session)) || news.tokens.contains(&token);
            is_meant && mind.takes_back(token, request.session, request.version)
        };
        let open = place.requests.iter().filter(|(_, request)| request.open_since.is_some());
        let expected: Vec<RequestId> = open.filter(|(_, request)| concerns(request)).map(|(id, _)| *id).collect();
        let wrong = expected.iter().find(|id| !ended.contains(id)).map(|id| (*id, "was not ended"));
        // One whose end was heard of before its answer began may be ended later: whenever there is news of its session.
        let is_late = |id: &RequestId| place.requests.get(id).is_some_and(|request| request.is_late);
        let unexpected = ended.iter().find(|id| !expected.contains(id) && !is_late(id));
        let wrong = wrong.or_else(|| unexpected.map(|id| (*id, "was ended")));
        let violation = wrong.map(|(id, text)| Violation {
            promise: Promise::Streams,
            text: format!("a stream {text}"),
            session: place.requests.get(&id).and_then(|request| request.session),
            key: None,
            worker,
        });
        let unanswered = place.requests.values_mut().filter(|request| request.open_since.is_none());
        unanswered.filter(|request| concerns(request)).for_each(|request| request.is_late = true);
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
        self.judge(violation.map_or(Ok(()), Err));
        if news.is_some_and(|news| !news.more) {
            self.look_for_leaks(worker);
        }
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
            self.truth.refusals(token).any(|refusal| {
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
