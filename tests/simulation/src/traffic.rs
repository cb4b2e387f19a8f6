//! Requests at workers, from the moment they come until they are over.

use session_gate_protocol::FeedReply;

use crate::{
    clocks::Millis,
    decision::Decision,
    events::Event,
    history::What,
    limits::settings::KeyName,
    mind::{InVersion, News},
    numbers::TokenNumber,
    rules::ADDRESSES,
    scenario::script::Written,
    served::Served,
    sidecar::Answer,
    streams::Answered,
    under_way::Request,
    worker_host::{Deed, Form, Purpose, RequestId, Route},
    world::World,
};

impl World {
    /// A request comes to a worker; none: with a forged token. An operation.
    pub(crate) fn send(&mut self, worker: usize, token: Option<TokenNumber>, route: Route, form: Form) {
        self.ops += 1;
        let text = match token {
            Some(token) => self.truth.token(token).map(|token| token.text.clone()),
            None => self.forged(),
        };
        if let Some(text) = text {
            self.deliver(worker, (token, Some(&text)), None, (route, form, None));
        }
    }

    /// A request with that token comes to a worker. `key`: what the limits of its route count it by.
    pub(crate) fn deliver(
        &mut self,
        worker: usize,
        (token, text): (Option<TokenNumber>, Option<&str>),
        key: Option<(usize, KeyName)>,
        (route, form, written): (Route, Form, Option<Written>),
    ) {
        let now = self.now;
        let found = token.and_then(|token| self.truth.token(token));
        let session = found.and_then(|token| token.session);
        let account = found.and_then(|token| Some((token.user, token.foreign?)));
        // Limits are tried by those whom nobody blocks, and so are logins.
        let is_steady = key.is_some() || self.script.is_some() || route == Route::LogIn;
        let address = if is_steady { 0 } else { self.rng.u8(0..ADDRESSES) };
        let is_renewed = key.is_none() && self.script.is_none() && self.parameters.lives.are_short();
        let is_cookie = is_renewed && form != Form::Upgrade && token.is_some() && self.rng.bool();
        let cost = if key.is_some() && self.script.is_none() { self.rng.u64(0..8) } else { 1 };
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.is_up) else { return };
        let header = key.map(|(_, name)| name).filter(|_| text.is_none());
        let is_unknown = text.is_some_and(|text| place.mind.opaque.is_unknown(text, now, &place.clock));
        let told = account.and_then(|account| place.mind.session_told(account));
        // Admitted alone, it is served in the version that the worker was told of: an older suspension is over.
        let version = told.and_then(|told| told.version);
        let version = version.map(|version| InVersion { epochs: place.mind.epochs(), version });
        let (id, deeds) = place.host.request(now, (text, is_cookie, address), header, route, form);
        let is_over = found.is_some_and(|token| place.clock.now(now).wall.0 >= token.accepted_until());
        let successor =
            token.filter(|_| is_cookie && is_over).and_then(|token| place.mind.successor_of(token, now, &place.clock));
        let request = Request {
            token: successor.or(token),
            is_cookie,
            renewed_from: successor.and(token),
            session,
            account,
            told,
            address,
            key,
            route,
            form,
            written,
            cost,
            arrived: now,
            admitted: None,
            asked: None,
            asked_at: None,
            version,
            live_at: now,
            open_since: None,
            is_late: false,
        };
        place.requests.insert(id, request);
        let life = place.life;
        self.judge_question(worker, &request, is_unknown, &deeds);
        self.carry_out(worker, deeds);
        if self.script.is_some() {
            return;
        }
        let is_held = self.workers.get(worker).is_some_and(|place| {
            place.requests.get(&id).is_some_and(|request| request.open_since.is_none() && request.form == Form::Plain)
        });
        if is_held && self.rng.u8(0..8) == 0 {
            let at = now + self.rng.u64(0..150);
            self.push(at, Event::Leaves { worker, life, request: id });
        }
    }

    /// What a worker wants done.
    pub(crate) fn carry_out(&mut self, worker: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Call { number, purpose, call, timeout } => {
                    let Some(place) = self.workers.get_mut(worker) else { return };
                    let time_out = place.clock.after(self.now, timeout);
                    self.call(worker, number, purpose, call, time_out);
                }
                Deed::Decide(id, decision) => self.on_decision(worker, id, decision),
                // Taken together where the reply that leads to them is taken in.
                Deed::ServedBy(id, token) => self.serve_by(worker, id, &token),
                Deed::EndStream(_) | Deed::Renewed(_) | Deed::Tell(_) | Deed::Told(_) => {}
            }
        }
    }

    fn on_decision(&mut self, worker: usize, id: RequestId, decision: Decision) {
        let now = self.now;
        let Some(place) = self.workers.get(worker) else { return };
        let Some(request) = place.requests.get(&id).copied() else { return };
        let Request { token, session, key, route, form, arrived, asked, .. } = request;
        let case = self.case(worker, place, &request);
        let verdict = match decision {
            Decision::Allow(reason) => case.admitted(reason),
            Decision::Deny(reason) => case.denied(reason),
        };
        let life = place.life;
        self.history.add(now, What::Decided { worker, token, session, key, decision, route, form, arrived, asked });
        self.judge(verdict);
        if let Some((script, written)) = self.script.as_mut().zip(request.written) {
            script.note_decision(written.name, decision);
        }
        self.counts.one("requests", if asked.is_some() { "decided after asking" } else { "decided alone" });
        match decision {
            Decision::Allow(reason) => self.counts.one("admitted", reason.as_str()),
            Decision::Deny(reason) => self.counts.one("refused", reason.as_str()),
        }
        self.note_exercised(token, decision, route, asked);
        self.note_idle(token, decision);
        let logs_in = route == Route::LogIn;
        let goes_on = matches!(decision, Decision::Allow(_)) && (form != Form::Plain || logs_in);
        if let Some(key) = key {
            self.note_limited((worker, id), key, decision, (request.cost, goes_on));
        }
        if !goes_on {
            self.finish(worker, id);
            return;
        }
        if !logs_in {
            self.counts.one("streams", "opened");
        }
        if form == Form::Upgrade
            && let Some(request) = self.workers.get_mut(worker).and_then(|place| place.requests.get_mut(&id))
        {
            request.open_since = Some(now);
        }
        if let Some(request) = self.workers.get_mut(worker).and_then(|place| place.requests.get_mut(&id)) {
            (request.admitted, request.live_at) = (Some(now), now);
        }
        let (answers, leaves) =
            request.written.map_or_else(|| self.drawn_course(key.is_some()), |written| written.course);
        self.push(now + answers, Event::UpstreamAnswers { worker, life, request: id });
        self.push(now + leaves, Event::Leaves { worker, life, request: id });
    }

    /// After what time a stream's answer begins, and its client leaves.
    fn drawn_course(&mut self, is_limited: bool) -> (Millis, Millis) {
        let slow = if is_limited && self.rng.bool() { 4_000 } else { 30 };
        let longest = if self.parameters.is_slow { 50_000 } else { 4_000 };
        (self.rng.u64(0..slow), self.rng.u64(30..longest))
    }

    /// The answer passes, and all is over.
    fn finish(&mut self, worker: usize, id: RequestId) {
        let now = self.now;
        if let Some(place) = self.workers.get_mut(worker) {
            let request = place.requests.remove(&id);
            let deeds = place.host.answered(now, id, request.map_or(1, |request| request.cost));
            place.host.forget(now, id);
            request.into_iter().for_each(|request| self.tell(worker, &request, &deeds));
        }
    }

    pub(crate) fn on_upstream(&mut self, worker: usize, life: u32, id: RequestId) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.life == life) else { return };
        let Some(request) = place.requests.get_mut(&id) else { return };
        if request.route == Route::LogIn {
            let request = *request;
            return self.answer_login(worker, id, &request);
        }
        request.open_since.get_or_insert(now);
        let request = *request;
        let Request { cost, key, admitted, .. } = request;
        let deeds = place.host.answered(now, id, cost);
        self.tell(worker, &request, &deeds);
        if let Some((key, admitted)) = key.zip(admitted) {
            self.limits.corrected(key, cost, admitted);
        }
        self.carry_out(worker, deeds);
    }

    pub(crate) fn on_leave(&mut self, worker: usize, life: u32, id: RequestId) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.life == life) else { return };
        place.host.forget(now, id);
        let Some(request) = place.requests.remove(&id) else { return };
        if request.form == Form::Plain {
            self.counts.one("requests", "held and abandoned");
        }
        if let Some(key) = request.key {
            self.close((worker, id), key);
        }
    }

    /// A worker's call has brought its reply, or has failed.
    pub(crate) fn on_reply(&mut self, worker: usize, life: u32, number: u32, answer: Option<&Answer>) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.life == life) else { return };
        let Some(call) = place.calls.remove(&number) else { return };
        let is_good = answer.is_some_and(|answer| answer.status == 200);
        match call.purpose {
            Purpose::Check => {}
            Purpose::Other if is_good => {
                place.mind.keys = Some(call.sent);
                place.mind.opaque.forget();
            }
            Purpose::Command | Purpose::Feed | Purpose::Leases | Purpose::Renewal | Purpose::Other => {}
        }
        if !is_good {
            let feed = call.purpose == Purpose::Feed;
            if feed {
                self.counts.one("feed", "failed polls");
            }
            self.history.add(now, What::Failed { worker, feed });
        }
        let news = answer
            .filter(|_| is_good && call.purpose == Purpose::Feed)
            .and_then(|answer| self.hear(worker, call.sent, answer));
        let Some(place) = self.workers.get_mut(worker) else { return };
        let request = place.lease_calls.remove(&number);
        let opaque = place.opaque_calls.remove(&number);
        let shown = place.renewal_calls.remove(&number);
        let replied = place.host.replied(now, number, answer);
        let is_heard = replied.is_some();
        let deeds = replied.unwrap_or_default();
        if call.purpose == Purpose::Command {
            self.note_header_logins(&deeds, call.sent);
        }
        if let Some(shown) = shown.filter(|_| is_heard) {
            self.hear_of_successor(worker, &shown, answer.filter(|_| is_good), &deeds);
        }
        let Some(place) = self.workers.get_mut(worker) else { return };
        if call.purpose == Purpose::Check {
            let served = answer.filter(|_| is_good).map(|answer| Served::read(answer, &self.truth));
            place.note_answer(&deeds, call, served, now, self.parameters.settings.max_staleness);
            let answer = answer.filter(|_| is_good);
            place.note_read(&deeds, opaque, answer, now);
        }
        if let (Some(request), Some(answer)) = (request, answer.filter(|_| is_heard)) {
            self.hear_of_leases(worker, call.sent, &request, answer);
        }
        let ended: Vec<RequestId> = deeds
            .iter()
            .filter_map(|deed| match deed {
                Deed::EndStream(id) => Some(*id),
                _ => None,
            })
            .collect();
        let answered = (call.purpose == Purpose::Check).then(|| {
            // One that took too long is none.
            let believed = self.parameters.settings.max_staleness;
            let place = self.workers.get(worker).filter(|place| place.clock.between(call.sent, now) <= believed);
            Answered::new(call.sent, answer.filter(|_| is_good && place.is_some()))
        });
        self.end_streams(worker, &ended, news.as_ref(), answered);
        self.carry_out(worker, deeds);
        let may_ambush = self.parameters.is_exact() && self.script.is_none();
        if news.is_some_and(|news| news.is_sharp) && may_ambush && self.rng.u8(0..3) == 0 {
            self.ambush(worker);
        }
    }

    /// The worker is told what has changed.
    fn hear(&mut self, worker: usize, sent: Millis, answer: &Answer) -> Option<News> {
        let now = self.now;
        let reply: FeedReply = serde_json::from_slice(&answer.body).ok()?;
        let place = self.workers.get_mut(worker)?;
        let news = place.mind.take(&reply, sent, now, &place.clock, &self.truth);
        let (entries, more) = (news.entries, news.more);
        self.history.add(now, What::Heard { worker, sent, age_ms: reply.age_ms, entries, more });
        for session in &news.sessions {
            self.history.add(now, What::HeardOf { worker, session: *session });
        }
        if news.is_first {
            self.counts.one("feed", "first replies");
        }
        if news.rules {
            self.counts.one("rules", "heard of");
        }
        if news.new_epoch {
            self.counts.one("feed", "new epochs");
        }
        if more {
            self.counts.one("feed", "pages with more to come");
        }
        self.counts.add("feed", "entries heard", entries as u64);
        Some(news)
    }
}
