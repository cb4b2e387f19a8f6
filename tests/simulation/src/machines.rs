//! Workers and sidecars that start, die, and get their calls.

use anyhow::Result;

use crate::{
    clocks::Millis,
    events::{Event, From, Job},
    faults::Fault,
    history::What,
    mind::Mind,
    network::{Passage, Way},
    opaque, renewals,
    sidecar::{Answer, ApiCall, Sidecar},
    under_way::CallUnderWay,
    worker_host::{Purpose, WorkerHost},
    world::World,
};

/// How long a worker's VM takes to start at most.
const VM_STARTS: Millis = 100;
/// How long it takes until everybody surely has a new key.
const KEYS_SPREAD: Millis = 2_000;

impl World {
    // === sidecars ===

    pub(crate) fn start_sidecar(&mut self, number: usize) -> Result<()> {
        let Some(place) = self.sidecars.get_mut(number) else { return Ok(()) };
        place.lives += 1;
        place.started = self.now;
        let name = format!("replica-{number}-{}", place.lives);
        place.sidecar = Some(Sidecar::start(&self.common, &place.link, name, place.wall, self.keys)?);
        Ok(())
    }

    pub(crate) fn crash_sidecar(&mut self, sidecar: usize, until: Millis) {
        let Some(place) = self.sidecars.get_mut(sidecar) else { return };
        if place.sidecar.take().is_none() {
            return;
        }
        place.frozen_until = 0;
        for task in self.tasks.kill(sidecar) {
            self.ledgers.questions.remove(&task);
            match self.jobs.remove(&task) {
                Some(Job::Client(delivery)) => self.cut_off(delivery),
                Some(Job::Worker { sidecar, worker, life, number }) => self.reply(sidecar, worker, life, number, None),
                Some(Job::Keys) | None => {}
            }
        }
        self.push(until, Event::SidecarStarts { sidecar });
    }

    /// A call reaches a sidecar.
    pub(crate) fn on_arrival(&mut self, sidecar: usize, call: &ApiCall, from: From) {
        let running = self.sidecars.get(sidecar).and_then(|place| place.sidecar.as_ref());
        let Some(work) = running.map(|running| running.answer(call)) else {
            if let From::Worker { worker, life, number } = from {
                self.reply(sidecar, worker, life, number, None);
            }
            return;
        };
        let job = match from {
            From::Worker { worker, life, number } => Job::Worker { sidecar, worker, life, number },
            From::Client(call) => Job::Client(self.begin(call, sidecar)),
        };
        let task = self.tasks.spawn(sidecar, work);
        self.note_question(task, call);
        self.jobs.insert(task, job);
    }

    /// A sidecar has answered.
    pub(crate) fn on_answer(&mut self, task: u64, answer: Answer) {
        self.note_successor(task, &answer);
        match self.jobs.remove(&task) {
            Some(Job::Worker { sidecar, worker, life, number }) => {
                self.reply(sidecar, worker, life, number, Some(answer));
            }
            Some(Job::Client(delivery)) => self.end(delivery, &answer),
            Some(Job::Keys) | None => {}
        }
    }

    /// A step of an exchange of keys: first all verify with the new one, later it signs.
    pub(crate) fn exchange_keys(&mut self, step: u32) {
        let keys = match (step, self.keys) {
            (0, (0, None)) => (0, 1),
            (1, (0, Some(1))) => (1, 0),
            _ => return,
        };
        self.keys = (keys.0, Some(keys.1));
        self.keys_since = self.now;
        for number in 0..self.sidecars.len() {
            let running = self.sidecars.get(number).and_then(|place| place.sidecar.as_ref());
            match running.map(|running| running.exchange_keys(keys.0, keys.1)) {
                Some(Ok(work)) => {
                    let task = self.tasks.spawn(number, work);
                    self.jobs.insert(task, Job::Keys);
                }
                Some(Err(problem)) => self.give_up(problem),
                None => {}
            }
        }
        if step == 0 {
            self.push(self.now + KEYS_SPREAD, Event::KeyStep(1));
        } else {
            self.counts.fault(Fault::Keys { step });
        }
    }

    // === workers ===

    pub(crate) fn on_tick(&mut self, worker: usize, life: u32) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.life == life) else { return };
        let next = place.host.next_tick(now);
        let due = place.host.look_at_streams(now);
        let deeds = place.host.tick(now);
        self.push(next, Event::Tick { worker, life });
        self.end_by_time(worker, &due);
        self.carry_out(worker, due);
        self.carry_out(worker, deeds);
    }

    /// A worker's VM is lost.
    pub(crate) fn crash_worker(&mut self, worker: usize) {
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.is_up) else { return };
        // Whatever is on its way to the old one finds it gone.
        place.life += 1;
        place.is_up = false;
        place.requests.clear();
        place.calls.clear();
        place.lease_calls.clear();
        place.opaque_calls.clear();
        place.renewal_calls.clear();
        let lost = self.limits.gone(worker);
        self.counts.add("limits", "leases lost with a worker", lost);
        let at = self.now + if self.script.is_some() { 1 } else { self.rng.u64(0..VM_STARTS) };
        self.push(at, Event::WorkerStarts { worker });
    }

    /// A worker's VM goes in good order: first it hands back what it has leased.
    pub(crate) fn stop_worker(&mut self, worker: usize) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker).filter(|place| place.is_up) else { return };
        // Its streams go with it.
        place.requests.clear();
        let deeds = place.host.stop(now);
        self.counts.add("limits", "calls of a worker that stops", deeds.len() as u64);
        self.carry_out(worker, deeds);
        self.crash_worker(worker);
    }

    pub(crate) fn start_worker(&mut self, worker: usize) -> Result<()> {
        let Some(place) = self.workers.get_mut(worker) else { return Ok(()) };
        place.is_up = true;
        place.mind = Mind::default();
        let name = format!("w{worker}-{}", place.life);
        place.host = WorkerHost::new(self.parameters.settings, &name, place.clock)?;
        let life = place.life;
        self.push(self.now, Event::Tick { worker, life });
        Ok(())
    }

    /// Whatever a worker has under way fails.
    pub(crate) fn reset(&mut self, worker: usize) {
        let Some(place) = self.workers.get(worker) else { return };
        let life = place.life;
        let numbers: Vec<u32> = place.calls.keys().copied().collect();
        for number in numbers {
            self.push(self.now, Event::Reply { worker, life, number, answer: None });
        }
    }

    /// A worker calls a sidecar.
    pub(crate) fn call(&mut self, worker: usize, number: u32, purpose: Purpose, call: ApiCall, time_out: Millis) {
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker) else { return };
        let (envoy, life) = (place.envoy, place.life);
        let sidecar = if self.parameters.has_own_sidecar {
            envoy % self.parameters.replicas
        } else {
            self.rng.usize(0..self.parameters.replicas)
        };
        if purpose == Purpose::Check {
            place.opaque_calls.extend(opaque::asked_about(&call).map(|token| (number, token)));
        }
        place.renewal_calls.extend(renewals::asked_about(&call).map(|token| (number, token)));
        place.calls.insert(number, CallUnderWay { purpose, sent: now, epochs: place.mind.epochs() });
        let feed = purpose == Purpose::Feed;
        if feed {
            self.counts.one("feed", "polls");
        }
        if purpose == Purpose::Leases {
            self.ask_for_leases(worker, number, &call);
        }
        self.history.add(now, What::Asked { worker, sidecar, feed });
        self.push(time_out, Event::TimeOut { worker, life, number });
        if self.network.is_cut(envoy, worker, sidecar, now) {
            return;
        }
        let from = From::Worker { worker, life, number };
        match self.passage(Way::There, worker, Some(purpose)) {
            Passage::Arrives(delay, again) => {
                if let Some(again) = again {
                    self.counts.one("network", "calls come twice");
                    if purpose == Purpose::Leases {
                        self.counts.one("limits", "calls come twice");
                    }
                    self.push(now + again, Event::Arrive { sidecar, call: call.clone(), from: from.clone() });
                }
                self.push(now + delay, Event::Arrive { sidecar, call, from });
            }
            Passage::Lost => self.counts.one("network", "messages lost"),
            Passage::Refused => self.push(now, Event::Reply { worker, life, number, answer: None }),
        }
    }

    /// What becomes of a message between a worker and a sidecar, on a link that is whole.
    fn passage(&mut self, way: Way, worker: usize, purpose: Option<Purpose>) -> Passage {
        match &self.script {
            Some(script) => script.passage(way, worker, purpose, self.now),
            None => self.network.passage(self.now, &mut self.rng),
        }
    }

    /// A sidecar's reply sets out to a worker.
    fn reply(&mut self, sidecar: usize, worker: usize, life: u32, number: u32, answer: Option<Answer>) {
        let now = self.now;
        let Some(place) = self.workers.get(worker).filter(|place| place.life == life) else { return };
        if self.network.is_cut(place.envoy, worker, sidecar, now) {
            return;
        }
        let purpose = place.calls.get(&number).map(|call| call.purpose);
        match self.passage(Way::Back, worker, purpose) {
            Passage::Arrives(delay, _) => self.push(now + delay, Event::Reply { worker, life, number, answer }),
            Passage::Lost => self.counts.one("network", "messages lost"),
            Passage::Refused => self.push(now, Event::Reply { worker, life, number, answer: None }),
        }
    }
}
