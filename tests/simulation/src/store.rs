//! The one store behind all sidecars: the real memory store, behind a link that may be slow, dead or late,
//! and that may lose all its data. What it has really done is noted.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use session_gate_protocol::{CounterId, SessionData, SessionId, SessionStatus};
use store_sidecar::{
    clock::Clock,
    rng::Random,
    store::{NewFeedEntry, StoreError, StoreErrorKind, StoreSettings, memory::MemoryStore},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::scopes::{May, may_write};

mod asked;
mod asked_idempotency;
mod asked_logins;
mod opaque;
pub mod refusing;
pub mod session_steps;

use opaque::OpaqueTokens;
use refusing::{Does, Refusing};
use session_steps::SessionSteps;

/// How long a sidecar waits for the store: as with Redis.
const PATIENCE: Duration = Duration::from_millis(250);

/// Largest metadata of a session, in bytes.
pub const MAX_METADATA_BYTES: usize = 64;

/// What the store has done, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The session.
    pub session: SessionId,
    /// Its version since.
    pub version: u64,
    /// Its status since.
    pub status: SessionStatus,
    /// What it permits since, if it has not ended.
    pub may: May,
}

/// A step of a limit's counter that the store has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStep {
    /// The counter.
    pub counter: CounterId,
    /// The worker that asked.
    pub worker: String,
    /// Its number for the lease.
    pub lease: u64,
    /// How many were granted.
    pub granted: u64,
    /// For how long.
    pub lifetime_ms: u64,
    /// How many came back.
    pub returned: u64,
    /// How many were in leases that ended without a word: they count as used.
    pub lapsed: u64,
    /// How many are in other leases.
    pub outstanding: u64,
    /// How many are left for anybody.
    pub left: u64,
}

/// The store that all replicas share.
pub struct SharedStore {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: StoreSettings,
    /// Whether the feed is on a node of its own, which may be away alone.
    is_cluster: bool,
    current: Mutex<Arc<MemoryStore>>,
    generation: AtomicU32,
    /// What it does not accept at the moment.
    pub refusing: Refusing,
    /// What opaque tokens say.
    pub opaque: OpaqueTokens,
    /// What it has done about logins and their tokens.
    pub session_steps: SessionSteps,
    /// In which life of the store a session began.
    born: Mutex<HashMap<SessionId, u32>>,
    applied: Mutex<Vec<Applied>>,
    lease_steps: Mutex<Vec<LeaseStep>>,
    /// Uses of sessions that it has noted.
    uses: Mutex<Vec<(SessionId, u64)>>,
    /// What was appended to the feed, and until when it is relevant.
    appended: Mutex<Vec<NewFeedEntry>>,
}

/// One replica's way to the store.
pub struct ReplicaStore {
    shared: Arc<SharedStore>,
    link: Arc<StoreLink>,
}

/// What is wrong between a replica and the store, and how slow they are.
pub struct StoreLink(Mutex<LinkState>);

struct LinkState {
    rng: fastrand::Rng,
    /// What a scenario has written down, the latest last.
    written: Vec<StoreRule>,
    is_exact: bool,
    down_until: Instant,
    slow_until: Instant,
    frozen_until: Instant,
}

/// Kinds of questions to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// To append to the feed.
    Append,
    /// Whether a credential may be used.
    Check,
    /// Who follows other replicas.
    Followers,
    /// For leases.
    Lease,
    /// To tell the others who follows this replica.
    Publish,
    /// To read the feed.
    Read,
    /// To change a session.
    Update,
    /// All else.
    Other,
}

/// What becomes of questions of one kind for a while.
#[derive(Clone, Copy, Debug)]
pub struct StoreRule {
    /// Which.
    pub op: Op,
    /// Until when.
    pub until: Instant,
    /// What.
    pub fate: Fate,
}

/// What becomes of one request to the store.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It takes so long there, and back.
    Pass(Duration, Duration),
    /// It is refused after that.
    Refused(Duration),
    /// The caller gives up; it may be done that much later all the same.
    GivenUp(Option<Duration>),
}

/// What is asked of the store.
type Ask<T> = Box<dyn FnOnce(Arc<SharedStore>) -> Asked<T> + Send>;
type Asked<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl SharedStore ===

impl SharedStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, settings: StoreSettings, is_cluster: bool) -> Self {
        let current = Mutex::new(Self::empty(&clock, &random, settings));
        Self {
            clock,
            random,
            settings,
            is_cluster,
            current,
            generation: AtomicU32::new(0),
            refusing: Refusing::default(),
            opaque: OpaqueTokens::default(),
            session_steps: SessionSteps::default(),
            born: Mutex::default(),
            applied: Mutex::default(),
            lease_steps: Mutex::default(),
            uses: Mutex::default(),
            appended: Mutex::default(),
        }
    }

    fn empty(clock: &Arc<dyn Clock>, random: &Arc<dyn Random>, settings: StoreSettings) -> Arc<MemoryStore> {
        Arc::new(MemoryStore::new(Arc::clone(clock), settings, Arc::clone(random)))
    }

    /// Everything is lost.
    pub fn lose_data(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        *locked(&self.current) = Self::empty(&self.clock, &self.random, self.settings);
    }

    /// What was done since somebody asked.
    pub fn take_applied(&self) -> Vec<Applied> {
        std::mem::take(&mut *locked(&self.applied))
    }

    /// What was done about limits since somebody asked.
    pub fn take_lease_steps(&self) -> Vec<LeaseStep> {
        std::mem::take(&mut *locked(&self.lease_steps))
    }

    /// What was appended to the feed since somebody asked.
    pub fn take_appended(&self) -> Vec<NewFeedEntry> {
        std::mem::take(&mut *locked(&self.appended))
    }

    fn note_appended(&self, entries: Vec<NewFeedEntry>) {
        locked(&self.appended).extend(entries);
    }

    /// What there is now.
    pub fn current(&self) -> Arc<MemoryStore> {
        Arc::clone(&locked(&self.current))
    }

    /// In which life of the store a session began.
    pub fn generation_of(&self, session: &SessionId) -> Option<u32> {
        locked(&self.born).get(session).copied()
    }

    /// Which uses of sessions with an idle time-out it has noted since somebody asked, in seconds.
    pub fn take_uses(&self) -> Vec<(SessionId, u64)> {
        std::mem::take(&mut *locked(&self.uses))
    }

    fn note_use(&self, session: Option<SessionData>) {
        let session = session.filter(|session| session.idle_timeout.is_some());
        locked(&self.uses).extend(session.map(|session| (session.session_id, session.last_activity.0)));
    }

    fn note_birth(&self, session: &SessionId) {
        locked(&self.born).insert(session.clone(), self.generation.load(Ordering::Relaxed));
    }

    fn note_lease(&self, step: LeaseStep) {
        locked(&self.lease_steps).push(step);
    }

    fn note(&self, session: &SessionData) {
        let SessionData { session_id, version, status, scopes, .. } = session;
        let may = may_write(scopes.as_ref());
        let applied = Applied { session: session_id.clone(), version: *version, status: *status, may };
        locked(&self.applied).push(applied);
    }

    fn note_end(&self, session: &SessionId) {
        let (version, status) = (u64::MAX, SessionStatus::Terminated);
        locked(&self.applied).push(Applied { session: session.clone(), version, status, may: None });
    }
}

// === impl StoreLink ===

impl StoreLink {
    /// A link without faults; an exact one takes no time either.
    pub fn new(seed: u64, is_exact: bool) -> Self {
        let now = Instant::now();
        let rng = fastrand::Rng::with_seed(seed);
        let written = Vec::new();
        Self(Mutex::new(LinkState { rng, written, is_exact, down_until: now, slow_until: now, frozen_until: now }))
    }

    /// The store cannot be reached for so long.
    pub fn cut(&self, duration: Duration) {
        locked(&self.0).down_until = Instant::now() + duration;
    }

    /// The store is slow for so long.
    pub fn slow_down(&self, duration: Duration) {
        locked(&self.0).slow_until = Instant::now() + duration;
    }

    /// The replica stands still for so long.
    pub fn freeze(&self, duration: Duration) {
        locked(&self.0).frozen_until = Instant::now() + duration;
    }

    /// Such questions fare like that, from now on.
    pub fn write(&self, rule: StoreRule) {
        locked(&self.0).written.push(rule);
    }

    fn fate(&self, op: Op) -> Fate {
        let mut state = locked(&self.0);
        let now = Instant::now();
        if let Some(rule) = state.written.iter().rev().find(|rule| rule.op == op && now < rule.until) {
            return rule.fate;
        }
        if now < state.down_until {
            return match state.rng.u8(0..4) {
                0 => Fate::GivenUp(None),
                1 => Fate::GivenUp(Some(Duration::from_millis(state.rng.u64(0..2_500)))),
                _ => Fate::Refused(Duration::from_millis(state.rng.u64(0..3))),
            };
        }
        if now < state.slow_until {
            let (there, back) = (state.rng.u64(0..120), state.rng.u64(0..120));
            return match state.rng.u8(0..20) {
                0 => Fate::GivenUp(Some(Duration::from_millis(state.rng.u64(0..2_500)))),
                _ => Fate::Pass(Duration::from_millis(there), Duration::from_millis(back)),
            };
        }
        if state.is_exact || state.rng.u8(0..4) != 0 {
            return Fate::Pass(Duration::ZERO, Duration::ZERO);
        }
        let (there, back) = (state.rng.u64(0..3), state.rng.u64(0..3));
        Fate::Pass(Duration::from_millis(there), Duration::from_millis(back))
    }

    /// Returns when the replica does not stand still.
    async fn thaw(&self) {
        loop {
            let until = locked(&self.0).frozen_until;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

// === impl ReplicaStore ===

impl ReplicaStore {
    /// That replica's way to the store.
    pub fn new(shared: Arc<SharedStore>, link: Arc<StoreLink>) -> Self {
        Self { shared, link }
    }

    async fn ask<T: Send + 'static>(&self, (op, does): (Op, Does), ask: Ask<T>) -> Result<T, StoreError> {
        let ask = move |shared: Arc<SharedStore>| async move {
            shared.refusing.accepts(does)?;
            ask(shared).await
        };
        self.link.thaw().await;
        let fate = self.link.fate(op);
        let answer = match fate {
            Fate::Pass(there, back) => {
                wait(there).await;
                let answer = ask(Arc::clone(&self.shared)).await;
                wait(back).await;
                answer
            }
            Fate::Refused(after) => {
                wait(after).await;
                Err(StoreError::of_kind(StoreErrorKind::Unavailable))
            }
            Fate::GivenUp(done_after) => {
                if let Some(after) = done_after {
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        wait(after).await;
                        drop(ask(shared).await);
                    });
                }
                wait(PATIENCE).await;
                Err(StoreError::of_kind(StoreErrorKind::Timeout))
            }
        };
        self.link.thaw().await;
        answer
    }
}

/// No time is no wait at all, not even for a turn.
async fn wait(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}
