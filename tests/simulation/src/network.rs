//! The network: delays, losses, repetitions and partitions.

use crate::clocks::Millis;

/// The links between Envoys and sidecars, and between clients and sidecars.
#[derive(Debug)]
pub struct Network {
    /// Whether a link takes no time unless something is wrong.
    is_exact: bool,
    /// Whether anything may be lost or come twice.
    is_calm: bool,
    cut_until: Vec<Vec<Millis>>,
    deaf_until: Vec<Millis>,
    slow_until: Millis,
}

/// Which way a message goes between a worker and a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the worker.
    Back,
    /// To the sidecar.
    There,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives so much later; and perhaps once more.
    Arrives(Millis, Option<Millis>),
    /// It is lost, and nobody says so.
    Lost,
    /// It is refused at once.
    Refused,
}

impl Network {
    /// Links between that many.
    pub fn new(envoys: usize, workers: usize, sidecars: usize, is_exact: bool, is_calm: bool) -> Self {
        Self {
            is_exact,
            is_calm,
            cut_until: vec![vec![0; sidecars]; envoys],
            deaf_until: vec![0; workers],
            slow_until: 0,
        }
    }

    /// From now on nothing is lost and nothing comes twice.
    pub fn calm_down(&mut self) {
        self.is_calm = true;
    }

    /// Cuts an Envoy from a sidecar.
    pub fn cut(&mut self, envoy: usize, sidecar: usize, until: Millis) {
        if let Some(link) = self.cut_until.get_mut(envoy).and_then(|links| links.get_mut(sidecar)) {
            *link = until;
        }
    }

    /// Cuts a worker from everybody.
    pub fn deafen(&mut self, worker: usize, until: Millis) {
        if let Some(deaf) = self.deaf_until.get_mut(worker) {
            *deaf = until;
        }
    }

    /// Makes all links slow.
    pub fn slow_down(&mut self, until: Millis) {
        self.slow_until = until;
    }

    /// Whether nothing gets through between a worker and a sidecar.
    pub fn is_cut(&self, envoy: usize, worker: usize, sidecar: usize, now: Millis) -> bool {
        let cut = self.cut_until.get(envoy).and_then(|links| links.get(sidecar)).copied().unwrap_or_default();
        now < cut || self.is_deaf(worker, now)
    }

    /// Whether a worker reaches nobody.
    pub fn is_deaf(&self, worker: usize, now: Millis) -> bool {
        now < self.deaf_until.get(worker).copied().unwrap_or_default()
    }

    /// What becomes of a message on a link that is whole.
    pub fn passage(&self, now: Millis, rng: &mut fastrand::Rng) -> Passage {
        let delay = self.delay(now, rng);
        if self.is_calm {
            return Passage::Arrives(delay, None);
        }
        match rng.u16(0..1_000) {
            0..4 => Passage::Lost,
            4..6 => Passage::Refused,
            6..12 => Passage::Arrives(delay, Some(delay + rng.u64(0..2_000))),
            _ => Passage::Arrives(delay, None),
        }
    }

    fn delay(&self, now: Millis, rng: &mut fastrand::Rng) -> Millis {
        if now < self.slow_until {
            return rng.u64(0..400);
        }
        if self.is_exact {
            return 0;
        }
        match rng.u8(0..100) {
            0 if !self.is_calm => rng.u64(0..300),
            0..40 => 0,
            _ => rng.u64(0..4),
        }
    }
}
