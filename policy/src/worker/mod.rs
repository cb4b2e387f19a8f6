//! What one worker knows and does: its requests, its verified tokens, the sidecar's keys.
//!
//! A worker is one VM's share of one plugin. It owns no clock and does no I/O: the host brings events
//! and time, and carries out effects.

mod keys;
mod leases;
mod replies;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
    time::Duration,
};

use session_gate_protocol::{Activity, SessionId};

use self::keys::Keys;
use crate::{
    config::Config,
    host::Host,
    http::{
        headers::{HeaderChange, Headers},
        proof::ProofCache,
        session_headers,
    },
    ids::{Callout, QuestionId, RequestId},
    knowledge::Changes,
    limits::{LeaseCalls, Reachable, Waiter},
    metric::{CallOutcome, Counter},
    request::{Effect, Event, MAX_USED, Phase, Room, StepContext},
    sidecar::{
        checks::Checks,
        client::{Call, CallReply},
        in_flight::{Asked, InFlight},
        renewals::Renewals,
    },
    time::Now,
    token::cache::TokenCache,
    vm::{SharedSource, Vm},
};

/// Effects for one request.
pub type RequestEffects = (RequestId, Vec<Effect>);

/// How often the use of sessions is reported.
const REPORT_PERIOD: Duration = Duration::from_secs(10);

/// What the reply to an callout leads to.
#[derive(Debug, Default)]
pub struct CalloutOutcome {
    /// What to count.
    pub counters: Vec<Counter>,
    /// What to do to requests.
    pub requests: Vec<RequestEffects>,
    /// What has changed, for the other workers that share what is known: see [`Worker::on_changes`].
    pub changes: Option<Changes>,
    /// The sidecar cannot be asked about limits from here on, or can again.
    pub limits: Option<Reachable>,
}

/// How many open streams are looked at in one turn at most.
const MAX_ALARMS: usize = 1000;

/// A worker's state.
#[derive(Debug)]
pub struct Worker {
    config: Config,
    cache: TokenCache,
    /// Proofs to upstreams.
    proofs: ProofCache,
    keys: Keys,
    requests: HashMap<RequestId, Phase>,
    /// Requests that are held for keys, in the order in which they came.
    waiting: Vec<RequestId>,
    /// How many requests are held, and may be.
    room: Room,
    /// What is known from the sidecar, where there is one.
    source: Option<SharedSource>,
    /// Questions about credentials under way.
    checks: Checks,
    /// Questions about limits under way.
    lease_calls: LeaseCalls,
    /// Questions about locked accounts under way.
    locks: Checks,
    /// What answers say of sessions, under way.
    commands: InFlight<()>,
    /// Renewals of tokens under way, and what has come of them.
    renewals: Renewals,
    /// When to look at which open stream.
    alarms: BTreeSet<(Duration, RequestId)>,
    /// Sessions that were used since the last report.
    used: HashSet<SessionId>,
    report_from: Duration,
}

impl Worker {
    /// A worker that begins with what its VM knows. `name` tells the VM from all others, for as long as it
    /// lives: 1 to 64 visible ASCII characters that need no encoding in a query.
    pub fn new(config: Config, name: &str, vm: &mut Vm) -> Self {
        let source = config.sidecar.as_ref().map(|sidecar| vm.source(sidecar, config.limit_keys, name));
        let cache = TokenCache::new(config.cache_entries, config.cache_bytes);
        let keys = Keys::of(source.as_ref(), &config);
        let room = Room::new(config.max_held_requests);
        Self {
            config,
            cache,
            proofs: ProofCache::default(),
            keys,
            requests: HashMap::new(),
            waiting: Vec::new(),
            room,
            source,
            checks: Checks::default(),
            lease_calls: LeaseCalls::default(),
            locks: Checks::default(),
            commands: InFlight::default(),
            renewals: Renewals::default(),
            alarms: BTreeSet::new(),
            used: HashSet::new(),
            report_from: REPORT_PERIOD,
        }
    }

    /// Takes one step with one request, in that request's own context. A request that is not known is a new
    /// one.
    pub fn on_request<H: Host>(&mut self, id: RequestId, event: Event, now: Now, host: &H) -> Vec<Effect> {
        self.step(id, event, WakeReason { sender: Some(id), queued_behind: &[] }, now, host)
    }

    /// Takes one step with one request. `waking`: why now.
    fn step<H: Host>(
        &mut self,
        id: RequestId,
        event: Event,
        waking: WakeReason<'_>,
        now: Now,
        host: &H,
    ) -> Vec<Effect> {
        let phase = self.requests.remove(&id).unwrap_or(Phase::Start);
        let was_waiting_for_keys = matches!(phase, Phase::AwaitKeys(_));
        self.room.leave(phase.place());
        if let Some(alarm) = alarm_of(&phase) {
            self.alarms.remove(&(alarm, id));
        }
        let mut source = self.source.as_ref().map(|source| source.borrow_mut());
        let (feed, ledger, worker) = match source.as_deref_mut() {
            Some(source) => (Some(&mut source.feed), Some(&mut source.ledger), source.worker.as_str()),
            None => (None, None, ""),
        };
        let mut cx = StepContext {
            id,
            sender: waking.sender,
            config: &self.config,
            keys: self.keys.fetched.as_ref(),
            cache: &mut self.cache,
            proofs: &mut self.proofs,
            host,
            feed,
            checks: &mut self.checks,
            ledger,
            lease_calls: &mut self.lease_calls,
            locks: &mut self.locks,
            commands: &mut self.commands,
            renewals: &mut self.renewals,
            queued_behind: waking.queued_behind,
            worker,
            used: &mut self.used,
            now,
            keys_may_come: self.keys.in_flight || now.wall >= self.keys.refetch_from,
            room: &self.room,
        };
        let (phase, effects) = phase.step(event, &mut cx);
        self.room.enter(phase.place());
        self.alarms.extend(alarm_of(&phase).map(|alarm| (alarm, id)));
        if matches!(phase, Phase::AwaitKeys(_)) && !was_waiting_for_keys {
            self.waiting.push(id);
            if !self.keys.in_flight {
                self.keys.due = now.wall;
            }
        }
        self.requests.insert(id, phase);
        effects
    }

    /// Whether the request is known and not over.
    pub fn knows(&self, id: RequestId) -> bool {
        self.requests.contains_key(&id)
    }

    /// The request is over. The reply to a call that was made for it need not be brought any more.
    pub fn forget(&mut self, id: RequestId, now: Now) {
        let Some(phase) = self.requests.remove(&id) else { return };
        self.room.leave(phase.place());
        if let Some(alarm) = alarm_of(&phase) {
            self.alarms.remove(&(alarm, id));
        }
        self.waiting.retain(|waiting| *waiting != id);
        self.checks.leave(id);
        self.lease_calls.leave(id);
        self.locks.leave(id);
        self.renewals.leave(id);
        // What it has asked for is done all the same; nobody waits for the reply.
        self.commands.leave(id);
        drop(self.commands.take_lost());
        if let (Some(decided), Some(source)) = (phase.decided(), &self.source) {
            decided.release(&mut source.borrow_mut().ledger, now.monotonic);
        }
    }

    /// The calls that are due at this moment. They are the worker's own: the host must see to it that
    /// their replies reach it whatever requests come and go.
    pub fn due(&mut self, now: Now) -> Vec<(Callout, Call)> {
        let Some(sidecar) = &self.config.sidecar else { return Vec::new() };
        let mut calls = Vec::new();
        let feed = self.source.as_ref().and_then(|source| source.borrow_mut().feed.next_call(sidecar, now.monotonic));
        calls.extend(feed.map(|(question, call)| (Callout::Feed(question), call)));
        let epoch = self.source.as_ref().and_then(|source| source.borrow().feed.epoch().map(Rc::from));
        let lost = self.checks.restart_lost(&Asked { at: now.monotonic, epoch });
        calls.extend(lost.into_iter().map(|(call, question)| (Callout::Check(call), sidecar.check(question))));
        let lost = self.locks.restart_lost(&Asked { at: now.monotonic, epoch: None });
        calls.extend(lost.into_iter().map(|(call, question)| (Callout::LoginLock(call), sidecar.login_lock(question))));
        let lost = self.renewals.restart_lost(now.monotonic).into_iter();
        calls.extend(lost.filter_map(|(call, token)| Some((Callout::Renewal(call), sidecar.renewal(&token, true)?))));
        if !self.keys.in_flight && now.wall >= self.keys.due {
            self.keys.in_flight = true;
            calls.push((Callout::Keys, sidecar.keys()));
        }
        let is_full = self.used.len() >= MAX_USED;
        if !self.used.is_empty() && (is_full || now.monotonic >= self.report_from) {
            self.report_from = now.monotonic.saturating_add(REPORT_PERIOD);
            let sessions = self.used.drain().collect();
            calls.extend(sidecar.activity(&Activity { sessions }).map(|call| (Callout::Activity, call)));
        }
        calls.extend(self.due_leases(now.monotonic));
        calls
    }

    /// An callout has brought its reply, or has failed.
    pub fn on_reply_to<H: Host>(&mut self, callout: Callout, reply: &CallReply, now: Now, host: &H) -> CalloutOutcome {
        match callout {
            // A report that was lost is made good by the next use of the session.
            Callout::Activity => CalloutOutcome::default(),
            Callout::Check(call) => self.on_check(call, reply, now, host),
            Callout::Feed(question) => self.on_feed(question, reply, now, host),
            Callout::Keys => self.on_keys(reply, now, host),
            Callout::Leases(call) => self.on_leases(call, reply, now, host),
            Callout::LoginLock(call) => self.on_login_lock(call, reply, now, host),
            Callout::Renewal(call) => self.on_renewal(call, reply, now, host),
            Callout::SessionCommand(call) => self.on_command(call, reply, now, host),
        }
    }

    /// What has changed is known from here on.
    fn on_feed<H: Host>(&mut self, question: QuestionId, reply: &CallReply, now: Now, host: &H) -> CalloutOutcome {
        let changes = self.source.as_ref().and_then(|source| source.borrow_mut().feed.on_reply(question, reply, now));
        let outcome = if changes.is_some() { CallOutcome::Answered } else { CallOutcome::Failed };
        let requests = changes.as_ref().map(|changes| self.on_changes(changes, now, host)).unwrap_or_default();
        CalloutOutcome { counters: vec![Counter::Feed(outcome)], requests, changes, limits: None }
    }

    /// Something has changed, and this worker or another that shares what is known has taken it in: open
    /// streams of what is not served any more are ended.
    pub fn on_changes<H: Host>(&mut self, changes: &Changes, now: Now, host: &H) -> Vec<RequestEffects> {
        if changes.keys {
            self.keys.due = now.wall;
        }
        let Some(source) = self.source.as_ref().filter(|_| !changes.affect_no_stream()) else { return Vec::new() };
        let feed = &source.borrow().feed;
        let mut ended = Vec::new();
        for (id, phase) in &mut self.requests {
            let Phase::Decided(decided) = phase else { continue };
            let alarm = decided.alarm();
            if decided.must_end(*id, changes, feed, host, now) {
                ended.push((*id, vec![Effect::EndStream]));
            }
            if decided.alarm() != alarm {
                alarm.map(|alarm| self.alarms.remove(&(alarm, *id)));
                self.alarms.extend(decided.alarm().map(|alarm| (alarm, *id)));
            }
        }
        ended
    }

    /// Looks at the open streams of which that is due: whether their time is over.
    pub fn on_alarms<H: Host>(&mut self, now: Now, host: &H) -> Vec<RequestEffects> {
        let due = self.alarms.iter().take_while(|(at, _)| *at <= now.monotonic).take(MAX_ALARMS);
        let due: Vec<RequestId> = due.map(|(_, request)| *request).collect();
        let waking = WakeReason { sender: None, queued_behind: &[] };
        due.into_iter().map(|id| (id, self.step(id, Event::Alarm, waking, now, host))).collect()
    }

    /// Whether this worker shares what is known with `other`.
    pub fn shares_source(&self, other: &Self) -> bool {
        self.source.as_ref().zip(other.source.as_ref()).is_some_and(|(ours, theirs)| Rc::ptr_eq(ours, theirs))
    }

    /// What has to go from an answer's trailers: what is for the gate alone.
    pub fn answer_trailer_changes(trailers: &Headers) -> Vec<HeaderChange> {
        session_headers::removal(trailers)
    }

    /// What has to go from a request's trailers: an upstream may take them for headers.
    pub fn trailer_changes(&self, trailers: &Headers) -> Vec<HeaderChange> {
        self.config.trusted.removal(trailers)
    }
}

/// Why a request takes a step.
#[derive(Clone, Copy, Debug)]
struct WakeReason<'a> {
    /// In whose context the host has called; none: the worker's own. Calls that are made now belong to it.
    sender: Option<RequestId>,
    /// Which requests are woken behind it, and for which keys of limits they have waited.
    queued_behind: &'a [Waiter],
}

fn alarm_of(phase: &Phase) -> Option<Duration> {
    match phase {
        Phase::Decided(decided) => decided.alarm(),
        Phase::Start
        | Phase::AwaitTurn(..)
        | Phase::AwaitKeys(_)
        | Phase::AwaitCheck(..)
        | Phase::AwaitRenewal(..)
        | Phase::AwaitLimits(..)
        | Phase::AwaitLock(..)
        | Phase::AwaitCommand(_) => None,
    }
}

#[cfg(test)]
impl Worker {
    /// The feed's question that was asked last.
    pub(crate) fn last_question(&self) -> Callout {
        Callout::Feed(self.source.as_ref().unwrap().borrow().feed.last_question())
    }
}

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod endpoint_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod lockout_tests;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod proof_tests;
#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream_tests;
