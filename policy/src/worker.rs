//! What one worker knows and does: its requests, its verified tokens, the sidecar's keys.
//!
//! A worker is one VM's share of one plugin. It owns no clock and does no I/O: the host brings events
//! and time, and carries out effects.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use session_gate_protocol::{Activity, FeedChange, UnixSeconds};

use crate::{
    cache::TokenCache,
    call::{Call, CallReply},
    config::Config,
    feed::{Fingerprint, Follower},
    headers::{HeaderChange, Headers},
    jose::HostCrypto,
    metric::{CallOutcome, Counter},
    now::Now,
    request::{Effect, Event, MAX_USED, Phase, Surroundings},
    token::FetchedKeys,
};

/// How soon a failed fetch of the keys is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A request, as the host names it.
pub type RequestId = u32;

/// Effects for one request.
pub type RequestEffects = (RequestId, Vec<Effect>);

/// How often the use of sessions is reported.
const REPORT_PERIOD: Duration = Duration::from_secs(10);

/// A call that a worker makes on its own behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Reports which sessions were used.
    Activity,
    /// Asks what has changed.
    Feed,
    /// Fetches the sidecar's keys.
    Keys,
}

/// What the reply to an errand leads to.
#[derive(Debug, Default)]
pub struct ErrandOutcome {
    /// What to count.
    pub counters: Vec<Counter>,
    /// What to do to requests.
    pub requests: Vec<RequestEffects>,
}

/// A worker's state.
#[derive(Debug)]
pub struct Worker {
    config: Config,
    cache: TokenCache,
    keys: Keys,
    requests: HashMap<RequestId, Phase>,
    /// Requests that are held for keys, in the order in which they came.
    waiting: Vec<RequestId>,
    /// How many requests are held at all.
    held: usize,
    /// There where some issuer's tokens are in the feed.
    feed: Option<Follower>,
    /// Sessions that were used since the last report.
    used: HashSet<String>,
    report_from: Duration,
}

/// The sidecar's keys, and when they are fetched. The last good ones stay, whatever happens.
struct Keys {
    fetched: Option<FetchedKeys>,
    body: Vec<u8>,
    in_flight: bool,
    /// When they are fetched next.
    due: UnixSeconds,
    /// From when on a token with an unknown key may have them fetched at once.
    refetch_from: UnixSeconds,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may have secrets in it.
        let Self { fetched, body: _, in_flight, due, refetch_from } = self;
        f.debug_struct("Keys")
            .field("fetched", fetched)
            .field("in_flight", in_flight)
            .field("due", due)
            .field("refetch_from", refetch_from)
            .finish()
    }
}

impl Worker {
    /// A worker that knows nothing yet. `name` tells it from all others, for as long as it lives: 1 to 64
    /// visible ASCII characters that need no encoding in a query.
    pub fn new(config: Config, name: &str) -> Self {
        let feed = config
            .sidecar
            .as_ref()
            .filter(|_| config.issuers.need_revocations())
            .map(|sidecar| Follower::new(name.to_owned(), sidecar.max_staleness));
        let cache = TokenCache::new(config.cache_entries, config.cache_bytes);
        let keys = Keys {
            fetched: None,
            body: Vec::new(),
            in_flight: false,
            due: UnixSeconds(0),
            refetch_from: UnixSeconds(0),
        };
        Self {
            config,
            cache,
            keys,
            requests: HashMap::new(),
            waiting: Vec::new(),
            held: 0,
            feed,
            used: HashSet::new(),
            report_from: REPORT_PERIOD,
        }
    }

    /// Takes one step with one request. A request that is not known is a new one.
    pub fn on_request<H: HostCrypto>(&mut self, id: RequestId, event: Event, now: Now, host: &H) -> Vec<Effect> {
        let phase = self.requests.remove(&id).unwrap_or(Phase::Start);
        let was_held = is_held(&phase);
        self.held -= usize::from(was_held);
        let mut around = Surroundings {
            config: &self.config,
            keys: self.keys.fetched.as_ref(),
            cache: &mut self.cache,
            host,
            feed: self.feed.as_mut(),
            used: &mut self.used,
            now,
            keys_may_come: self.keys.in_flight || now.wall >= self.keys.refetch_from,
            full: self.held >= self.config.max_held_requests,
            full_of_keyless: self.waiting.len() >= self.config.max_held_requests.div_ceil(2),
        };
        let (phase, effects) = phase.step(event, &mut around);
        self.held += usize::from(is_held(&phase));
        if matches!(phase, Phase::AwaitKeys(_)) && !was_held {
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

    /// Which sidecar the keys came from, and the keys as they came: for a worker that is to
    /// [adopt](Self::adopt_keys) them.
    pub fn fetched_keys(&self) -> Option<(String, &[u8])> {
        let sidecar = self.config.sidecar.as_ref().filter(|_| self.keys.fetched.is_some())?;
        Some((sidecar.name(), &self.keys.body))
    }

    /// The request is over.
    pub fn forget(&mut self, id: RequestId) {
        if let Some(phase) = self.requests.remove(&id) {
            self.held -= usize::from(is_held(&phase));
            self.waiting.retain(|waiting| *waiting != id);
        }
    }

    /// The calls that are due at this moment.
    pub fn due(&mut self, now: Now) -> Vec<(Errand, Call)> {
        let Some(sidecar) = &self.config.sidecar else { return Vec::new() };
        let mut calls = Vec::new();
        if let Some(call) = self.feed.as_mut().and_then(|feed| feed.next_call(sidecar, now.monotonic)) {
            calls.push((Errand::Feed, call));
        }
        if self.config.issuers.need_sidecar_keys() && !self.keys.in_flight && now.wall >= self.keys.due {
            self.keys.in_flight = true;
            calls.push((Errand::Keys, sidecar.keys()));
        }
        let is_full = self.used.len() >= MAX_USED;
        if !self.used.is_empty() && (is_full || now.monotonic >= self.report_from) {
            self.report_from = now.monotonic.saturating_add(REPORT_PERIOD);
            let sessions = self.used.drain().filter_map(|session| session.parse().ok()).collect();
            calls.extend(sidecar.activity(&Activity { sessions }).map(|call| (Errand::Activity, call)));
        }
        calls
    }

    /// An errand has brought its reply, or has failed.
    pub fn on_errand<H: HostCrypto>(&mut self, errand: Errand, reply: &CallReply, now: Now, host: &H) -> ErrandOutcome {
        match errand {
            // A report that was lost is made good by the next use of the session.
            Errand::Activity => ErrandOutcome::default(),
            Errand::Feed => self.on_feed(reply, now),
            Errand::Keys => self.on_keys(reply, now, host),
        }
    }

    /// What has changed is known from here on; open streams of what has ended are ended.
    fn on_feed(&mut self, reply: &CallReply, now: Now) -> ErrandOutcome {
        let changes = self.feed.as_mut().and_then(|feed| feed.on_reply(reply, now.wall, now.monotonic));
        let Some(changes) = changes else {
            return ErrandOutcome { counters: vec![Counter::Feed(CallOutcome::Failed)], requests: Vec::new() };
        };
        if changes.contains(&FeedChange::KeysChanged) {
            self.keys.due = now.wall;
        }
        let ended: HashSet<Fingerprint> = changes.iter().filter_map(ends).collect();
        let requests = if ended.is_empty() { Vec::new() } else { self.end_streams(&ended) };
        ErrandOutcome { counters: vec![Counter::Feed(CallOutcome::Answered)], requests }
    }

    fn end_streams(&mut self, ended: &HashSet<Fingerprint>) -> Vec<RequestEffects> {
        let mut effects = Vec::new();
        for (id, phase) in &mut self.requests {
            let Phase::Settled(settled) = phase else { continue };
            let has_ended = settled.open_stream().is_some_and(|admitted| {
                [admitted.session, admitted.token].into_iter().flatten().any(|by| ended.contains(&by))
            });
            if has_ended {
                settled.close();
                effects.push((*id, vec![Effect::EndStream]));
            }
        }
        effects
    }

    /// Begins with the keys that an earlier worker was given by the same sidecar, so that a new
    /// configuration need not wait for one that is away. They are fetched anew all the same.
    pub fn adopt_keys(&mut self, by_sidecar: &HashMap<String, Vec<u8>>) {
        let body = self.config.sidecar.as_ref().and_then(|sidecar| by_sidecar.get(&sidecar.name()));
        if let Some(body) = body {
            self.keys.fetched = self.read_keys(body);
            self.keys.body = body.clone();
        }
    }

    fn read_keys(&self, body: &[u8]) -> Option<FetchedKeys> {
        FetchedKeys::read(body, &self.config.issuers, self.keys.fetched.as_ref())
    }

    /// What has to go from a request's trailers: an upstream may take them for headers.
    pub fn trailer_changes(&self, trailers: &Headers) -> Vec<HeaderChange> {
        self.config.trusted.removal(trailers)
    }

    /// The sidecar has answered with its keys, or has not. Wakes every request that is held for them.
    fn on_keys<H: HostCrypto>(&mut self, reply: &CallReply, now: Now, host: &H) -> ErrandOutcome {
        self.keys.in_flight = false;
        let fetched = reply.ok_body().and_then(|body| Some((body, self.read_keys(body)?)));
        let outcome = match (fetched, &self.config.sidecar) {
            (Some((body, fetched)), Some(sidecar)) => {
                if self.keys.body != body {
                    // A key may have gone: what it signed must not stay good.
                    self.cache.clear();
                    self.keys.body = body.to_vec();
                    self.keys.fetched = Some(fetched);
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
        let requests = waiting.into_iter().map(|id| (id, self.on_request(id, Event::Keys, now, host))).collect();
        ErrandOutcome { counters: vec![Counter::Keys(outcome)], requests }
    }
}

/// What a change takes back from those who have it.
fn ends(change: &FeedChange) -> Option<Fingerprint> {
    match change {
        FeedChange::SessionEnded { session_id } | FeedChange::SessionSuspended { session_id, .. } => {
            Some(Fingerprint::of_session(session_id.as_str()))
        }
        FeedChange::TokenRevoked { token_id } => Some(Fingerprint::of_token(token_id.as_str())),
        FeedChange::KeysChanged | FeedChange::SessionResumed { .. } => None,
    }
}

fn is_held(phase: &Phase) -> bool {
    match phase {
        Phase::AwaitKeys(_) | Phase::AwaitCheck(..) => true,
        Phase::Start | Phase::Settled(_) => false,
    }
}

#[cfg(test)]
mod tests;
