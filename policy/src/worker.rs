//! What one worker knows and does: its requests, its verified tokens, the sidecar's keys.
//!
//! A worker is one VM's share of one plugin. It owns no clock and does no I/O: the host brings events
//! and time, and carries out effects.

use std::{collections::HashMap, fmt, time::Duration};

use session_gate_protocol::UnixSeconds;

use crate::{
    cache::TokenCache,
    call::{Call, CallReply},
    config::Config,
    headers::{HeaderChange, Headers},
    jose::HostCrypto,
    metric::{CallOutcome, Counter},
    request::{Effect, Event, Phase, Surroundings},
    token::FetchedKeys,
};

/// How soon a failed fetch of the keys is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A request, as the host names it.
pub type RequestId = u32;

/// Effects for one request.
pub type RequestEffects = (RequestId, Vec<Effect>);

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
    /// A worker that knows nothing yet.
    pub fn new(config: Config) -> Self {
        let cache = TokenCache::new(config.cache_entries, config.cache_bytes);
        let keys = Keys {
            fetched: None,
            body: Vec::new(),
            in_flight: false,
            due: UnixSeconds(0),
            refetch_from: UnixSeconds(0),
        };
        Self { config, cache, keys, requests: HashMap::new(), waiting: Vec::new(), held: 0 }
    }

    /// Takes one step with one request. A request that is not known is a new one.
    pub fn on_request<H: HostCrypto>(
        &mut self,
        id: RequestId,
        event: Event,
        now: UnixSeconds,
        host: &H,
    ) -> Vec<Effect> {
        let phase = self.requests.remove(&id).unwrap_or(Phase::Start);
        let was_held = is_held(&phase);
        self.held -= usize::from(was_held);
        let mut around = Surroundings {
            config: &self.config,
            keys: self.keys.fetched.as_ref(),
            cache: &mut self.cache,
            host,
            now,
            keys_may_come: self.keys.in_flight || now >= self.keys.refetch_from,
            full: self.held >= self.config.max_held_requests,
            full_of_keyless: self.waiting.len() >= self.config.max_held_requests.div_ceil(2),
        };
        let (phase, effects) = phase.step(event, &mut around);
        self.held += usize::from(is_held(&phase));
        if matches!(phase, Phase::AwaitKeys(_)) && !was_held {
            self.waiting.push(id);
            if !self.keys.in_flight {
                self.keys.due = now;
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

    /// What is due at this moment: a call for the sidecar's keys.
    pub fn on_tick(&mut self, now: UnixSeconds) -> Option<Call> {
        let sidecar = self.config.sidecar.as_ref().filter(|_| self.config.issuers.need_sidecar_keys())?;
        if self.keys.in_flight || now < self.keys.due {
            return None;
        }
        self.keys.in_flight = true;
        Some(sidecar.keys())
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
    pub fn on_keys<H: HostCrypto>(
        &mut self,
        reply: &CallReply,
        now: UnixSeconds,
        host: &H,
    ) -> (Counter, Vec<RequestEffects>) {
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
                self.keys.due = now.after(sidecar.keys_refresh);
                self.keys.refetch_from = now.after(sidecar.keys_refetch);
                CallOutcome::Answered
            }
            _ => {
                self.keys.due = now.after(RETRY);
                self.keys.refetch_from = self.keys.due;
                CallOutcome::Failed
            }
        };
        let waiting = std::mem::take(&mut self.waiting);
        let woken = waiting.into_iter().map(|id| (id, self.on_request(id, Event::Keys, now, host))).collect();
        (Counter::Keys(outcome), woken)
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
