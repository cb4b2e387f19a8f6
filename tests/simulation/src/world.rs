//! One run: its world, and the loop that lets everything in it happen in one order.

use std::{collections::BTreeMap, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use anyhow::{Result, anyhow};
use session_gate_protocol::LeaseRequest;
use store_sidecar::store::{Store as _, StoreSettings};
use tokio::time::{Instant, sleep_until};

use crate::{
    clients::Clients,
    clocks::{Millis, Wall, WorkerClock},
    counts::Counts,
    demands::Mode,
    events::{Event, Job},
    history::History,
    ledgers::Ledgers,
    limits::{Limits, probe::Probe},
    mind::Mind,
    network::Network,
    parameters::{Parameters, Weather},
    promise::{Promise, Violation},
    queue::Queue,
    refusals::Refusals,
    scenario::{Scenario, script::Script},
    sidecar::{Answer, Common, SeededRandom, Sidecar},
    store::{MAX_METADATA_BYTES, SharedStore, StoreLink},
    tasks::Tasks,
    truth::Truth,
    under_way::{CallUnderWay, Request},
    worker_host::{Form, RequestId, Route, WorkerHost},
};

/// When the sidecars begin: by then the feed is so old that it tells of every token.
const SIDECARS_BEGIN: Millis = 8_000;
/// When the first operation comes.
const OPS_BEGIN: Millis = 9_000;
/// For how long the run goes on after its last operation.
const LINGER: Millis = 3_000;

/// Where a worker runs.
#[derive(Debug)]
pub(crate) struct WorkerPlace {
    pub(crate) host: WorkerHost,
    pub(crate) clock: WorkerClock,
    pub(crate) mind: Mind,
    pub(crate) envoy: usize,
    pub(crate) life: u32,
    pub(crate) is_up: bool,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    pub(crate) calls: BTreeMap<u32, CallUnderWay>,
    /// What is asked about limits, by the number of the call.
    pub(crate) lease_calls: BTreeMap<u32, LeaseRequest>,
    /// Opaque tokens that it asks to have read, likewise.
    pub(crate) opaque_calls: BTreeMap<u32, String>,
    /// Tokens that it asks to have renewed, likewise.
    pub(crate) renewal_calls: BTreeMap<u32, String>,
}

/// Where a sidecar runs.
#[derive(Debug)]
pub(crate) struct SidecarPlace {
    /// When its present life began.
    pub(crate) started: Millis,
    pub(crate) sidecar: Option<Sidecar>,
    pub(crate) link: Arc<StoreLink>,
    pub(crate) wall: Wall,
    pub(crate) frozen_until: Millis,
    pub(crate) lives: u32,
}

/// A run.
#[derive(Debug)]
pub struct World {
    pub(crate) parameters: Parameters,
    /// What a scenario has written down, instead of lots.
    pub(crate) script: Option<Script>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) now: Millis,
    start: Instant,
    pub(crate) queue: Queue<Event>,
    pub(crate) tasks: Tasks<Answer>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) ledgers: Ledgers,
    pub(crate) network: Network,
    pub(crate) store: Arc<SharedStore>,
    pub(crate) store_wall: Wall,
    /// The clock of the other issuer.
    pub(crate) issuer_wall: Wall,
    pub(crate) common: Common,
    pub(crate) keys: (u32, Option<u32>),
    pub(crate) keys_since: Millis,
    pub(crate) workers: Vec<WorkerPlace>,
    pub(crate) sidecars: Vec<SidecarPlace>,
    pub(crate) truth: Truth,
    pub(crate) refusals: Refusals,
    pub(crate) limits: Limits,
    pub(crate) probes: Vec<Probe>,
    /// Whether nothing goes wrong any more.
    pub(crate) is_mended: bool,
    pub(crate) clients: Clients,
    pub(crate) history: History,
    pub(crate) counts: Counts,
    pub(crate) ops: u64,
    pub(crate) violation: Option<Violation>,
    problem: Option<anyhow::Error>,
}

/// What has come of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What happened how often.
    pub counts: Counts,
    /// How many client operations there were.
    pub ops: u64,
    /// How long it took, in virtual time.
    pub virtual_time: Duration,
    /// The hash over its history.
    pub hash: u64,
    /// The promise that was broken, and what led to it.
    pub violation: Option<(Violation, Vec<String>)>,
    /// What a scenario wanted and did not get.
    pub(crate) missed: Vec<String>,
}

impl World {
    /// The world of that seed, with so many operations. To be made and run where time is virtual.
    ///
    /// # Errors
    /// Where a part of it cannot be made.
    pub async fn new(seed: u64, ops: u64) -> Result<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let parameters = Parameters::new(&mut rng, ops);
        Self::with(parameters, rng, None).await
    }

    /// The world of a scenario. To be made and run where time is virtual.
    ///
    /// # Errors
    /// Where a part of it cannot be made.
    pub async fn of_scenario(scenario: Scenario) -> Result<Self> {
        let (parameters, script) = scenario.into_parts();
        Self::with(parameters, fastrand::Rng::with_seed(1), Some(script)).await
    }

    async fn with(parameters: Parameters, mut rng: fastrand::Rng, script: Option<Script>) -> Result<Self> {
        let is_rough = parameters.weather == Weather::Rough && script.is_none();
        let start = Instant::now();
        let ahead = |rng: &mut fastrand::Rng| rng.i64(-parameters.wall_millis..=parameters.wall_millis);
        let store_wall = Wall::new(start, ahead(&mut rng));
        let settings = StoreSettings { max_metadata_bytes: MAX_METADATA_BYTES, ..StoreSettings::default() };
        let random = Arc::new(SeededRandom::new(rng.u64(..)));
        // Scenarios say of each kind of question whether the store is there for it.
        let is_cluster = script.is_some();
        let store = SharedStore::new(Arc::new(store_wall), Arc::clone(&random) as _, settings, is_cluster);
        let store = Arc::new(store);
        // The feed begins.
        store.current().read_feed(None, 1).await?;
        let Parameters { pages, idle_timeout, lives, guesses, .. } = parameters;
        let common = Common { store: Arc::clone(&store), settings, pages, idle_timeout, lives, guesses, random };
        let sidecars = (0..parameters.replicas)
            .map(|_| SidecarPlace {
                started: 0,
                sidecar: None,
                link: Arc::new(StoreLink::new(rng.u64(..), !is_rough)),
                wall: Wall::new(start, ahead(&mut rng)),
                frozen_until: 0,
                lives: 0,
            })
            .collect();
        let mut workers = Vec::new();
        for number in 0..parameters.all_workers() {
            let wall = Wall::new(start, ahead(&mut rng));
            let ppm = rng.i64(-parameters.drift_ppm..=parameters.drift_ppm);
            let clock = WorkerClock::new(wall, rng.u64(0..1_000_000_000_000), ppm);
            workers.push(WorkerPlace {
                host: WorkerHost::new(parameters.settings, &format!("w{number}-0"), clock)?,
                clock,
                mind: Mind::default(),
                envoy: number % parameters.envoys,
                life: 0,
                is_up: true,
                requests: BTreeMap::new(),
                calls: BTreeMap::new(),
                lease_calls: BTreeMap::new(),
                opaque_calls: BTreeMap::new(),
                renewal_calls: BTreeMap::new(),
            });
        }
        let is_calm = parameters.weather == Weather::Calm;
        let network =
            Network::new(parameters.envoys, workers.len(), parameters.replicas, parameters.is_exact(), is_calm);
        Ok(Self {
            parameters,
            script,
            rng,
            now: 0,
            start,
            queue: Queue::default(),
            tasks: Tasks::default(),
            jobs: BTreeMap::new(),
            ledgers: Ledgers::default(),
            network,
            store,
            store_wall,
            issuer_wall: Wall::new(start, parameters.issuer_millis),
            common,
            keys: (0, None),
            keys_since: 0,
            workers,
            sidecars,
            truth: Truth::default(),
            refusals: Refusals::default(),
            limits: Limits::new(parameters.settings.limits),
            probes: Vec::new(),
            is_mended: false,
            clients: Clients::default(),
            history: History::default(),
            counts: Counts::default(),
            ops: 0,
            violation: None,
            problem: None,
        })
    }

    /// Lets it all happen.
    ///
    /// # Errors
    /// Where a part of the world cannot be made.
    pub async fn run(mut self, shown: usize) -> Result<Outcome> {
        for sidecar in 0..self.sidecars.len() {
            self.push(SIDECARS_BEGIN, Event::SidecarStarts { sidecar });
        }
        for worker in 0..self.workers.len() {
            let at = SIDECARS_BEGIN + self.script.as_ref().map_or_else(|| self.rng.u64(1..200), |_| 1);
            self.push(at, Event::Tick { worker, life: 0 });
        }
        match self.script.as_mut().map(Script::take_steps) {
            Some(steps) => steps.into_iter().for_each(|(at, step)| self.push(at, Event::Written(step))),
            None => {
                self.push(OPS_BEGIN, Event::NextOp);
                if self.parameters.weather != Weather::Calm || self.parameters.may_refuse {
                    self.push(OPS_BEGIN, Event::NextFault);
                }
            }
        }
        let mut end = None;
        loop {
            self.go_on();
            if let Some(problem) = self.problem.take() {
                return Err(problem);
            }
            if self.is_done() && end.is_none() {
                let probing = if self.parameters.probes { self.begin_probes() } else { 0 };
                end = Some(self.now + LINGER + probing);
            }
            if self.violation.is_some() || end.is_some_and(|end| self.now >= end) {
                return Ok(self.outcome(shown));
            }
            self.wait().await?;
        }
    }

    /// Whether nothing more is to happen.
    fn is_done(&self) -> bool {
        self.script.as_ref().map_or(self.ops >= self.parameters.ops, |script| self.now >= script.ends)
    }

    fn outcome(self, shown: usize) -> Outcome {
        let mut missed = self.script.as_ref().map(Script::missed).unwrap_or_default();
        let violation = self.violation.map(|violation| {
            let user = violation.session.and_then(|session| self.truth.session(session)).map(|session| session.user);
            let mut trace = vec![format!("{:?}", self.parameters)];
            trace.extend(self.history.trace(&violation, user, shown));
            (violation, trace)
        });
        if !missed.is_empty() && violation.is_none() {
            let all = Violation { promise: Promise::Live, text: String::new(), session: Some(0), key: None, worker: 0 };
            missed.extend(self.history.trace(&all, Some(1), shown));
        }
        let virtual_time = Duration::from_millis(self.now);
        Outcome { counts: self.counts, ops: self.ops, virtual_time, hash: self.history.hash(), violation, missed }
    }

    /// Everything that can happen at this moment.
    fn go_on(&mut self) {
        while self.violation.is_none() {
            let now = self.now;
            let sidecars = &self.sidecars;
            let done = self.tasks.run(|owner| stands_still(sidecars, owner, now));
            self.take_notes();
            let has_news = !done.is_empty();
            for (task, answer) in done {
                self.on_answer(task, answer);
            }
            match self.queue.pop(now) {
                Some(event) => self.on_event(event),
                None if has_news => {}
                None => return,
            }
        }
    }

    /// Until a handler goes on, or the next event is due.
    async fn wait(&mut self) -> Result<()> {
        let next = self.queue.next_at().ok_or_else(|| anyhow!("nothing will ever happen again"))?;
        let mut sleep = std::pin::pin!(sleep_until(self.start + Duration::from_millis(next)));
        let (tasks, sidecars, now) = (&self.tasks, &self.sidecars, self.now);
        poll_fn(|context| {
            if tasks.poll_woken(context.waker(), |owner| stands_still(sidecars, owner, now)) {
                return Poll::Ready(());
            }
            Future::poll(sleep.as_mut(), context)
        })
        .await;
        let before = self.now;
        self.now = u64::try_from(self.start.elapsed().as_millis())?;
        if self.now > before && self.script.is_none() && self.rng.bool() {
            // Those who read the feed may come first.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Tick { worker, life } => self.on_tick(worker, life),
            Event::TimeOut { worker, life, number } => self.on_reply(worker, life, number, None),
            Event::Arrive { sidecar, call, from } => self.on_arrival(sidecar, &call, from),
            Event::Reply { worker, life, number, answer } => self.on_reply(worker, life, number, answer.as_ref()),
            Event::NextOp => self.next_op(),
            Event::Aimed { worker, token, demand } => {
                self.counts.one("requests", "at a boundary");
                let is_lenient = self.rng.u8(0..4) == 0;
                let route = match demand {
                    Some(demand) => Route::Asking(demand, if is_lenient { Mode::LastKnown } else { Mode::Deny }),
                    None if is_lenient => Route::LastKnown,
                    None => Route::Deny,
                };
                self.send(worker, Some(token), route, Form::Plain);
            }
            Event::UpstreamAnswers { worker, life, request } => self.on_upstream(worker, life, request),
            Event::Leaves { worker, life, request } => self.on_leave(worker, life, request),
            Event::Flood { route, of, left } => self.go_on_flooding(route, of, left),
            Event::Probe { probe } => self.go_on_probing(probe),
            Event::NextFault => {
                self.draw_fault();
                self.next_fault();
            }
            Event::SidecarStarts { sidecar } => {
                if let Err(problem) = self.start_sidecar(sidecar) {
                    self.problem = Some(problem);
                }
            }
            Event::KeyStep(step) => self.exchange_keys(step),
            Event::WorkerStarts { worker } => {
                if let Err(problem) = self.start_worker(worker) {
                    self.problem = Some(problem);
                }
            }
            Event::Written(step) => self.take_step(step),
            Event::Wake => {}
        }
    }

    /// Lets something happen at that time.
    pub(crate) fn push(&mut self, at: Millis, event: Event) {
        // As written: those of one moment one after the other.
        let lot = if self.script.is_some() { 0 } else { self.rng.u32(..) };
        self.queue.push(at, lot, event);
    }

    /// Notes that a promise was broken, if it was.
    pub(crate) fn judge(&mut self, verdict: Result<(), Violation>) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    /// What went wrong with the world itself.
    pub(crate) fn give_up(&mut self, problem: anyhow::Error) {
        self.problem.get_or_insert(problem);
    }

    /// Whether nothing ever goes wrong here, but that the store may refuse changes.
    pub(crate) fn is_healthy(&self) -> bool {
        self.parameters.weather == Weather::Calm
    }
}

fn stands_still(sidecars: &[SidecarPlace], sidecar: usize, now: Millis) -> bool {
    sidecars.get(sidecar).is_some_and(|place| now < place.frozen_until)
}
