//! What one VM keeps whatever becomes of its configurations: what is known from each sidecar.

use std::{cell::RefCell, collections::HashMap, fmt, rc::Rc};

use crate::{knowledge::Follower, limits::Ledger, sidecar::client::Sidecar};

/// What is known from a sidecar. Configurations that name the same one share it, also the old and the
/// new one while the old one's requests go on.
pub type SharedSource = Rc<RefCell<Source>>;

/// What is known from one sidecar.
pub struct Source {
    /// From its feed.
    pub feed: Follower,
    /// Its keys, as they came.
    pub keys: Vec<u8>,
    /// What is leased of limits.
    pub ledger: Ledger,
    /// What the sidecar knows this VM by.
    pub worker: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys may be secrets.
        let Self { feed, keys: _, ledger, worker } = self;
        f.debug_struct("Source")
            .field("feed", feed)
            .field("ledger", ledger)
            .field("worker", worker)
            .finish_non_exhaustive()
    }
}

/// The sources of one VM, by the sidecar's name.
#[derive(Debug, Default)]
pub struct Vm(HashMap<String, SharedSource>);

impl Vm {
    /// What is known from a sidecar, to be believed for as long as its newest configuration says, with room
    /// for as many keys of limits. `worker` is the name of a follower that is new. What no configuration uses any more is forgotten
    /// when another sidecar is named.
    pub fn source(&mut self, sidecar: &Sidecar, limit_keys: usize, worker: &str) -> SharedSource {
        let name = sidecar.name();
        if let Some(source) = self.0.get(&name) {
            let mut known = source.borrow_mut();
            known.feed.set_max_staleness(sidecar.max_staleness);
            known.ledger.set_max_entries(limit_keys);
            drop(known);
            return Rc::clone(source);
        }
        self.0.retain(|_, source| Rc::strong_count(source) > 1);
        let feed = Follower::new(worker.to_owned(), sidecar.max_staleness);
        let ledger = Ledger::new(limit_keys);
        let source = Source { feed, keys: Vec::new(), ledger, worker: worker.to_owned() };
        let source = Rc::new(RefCell::new(source));
        self.0.insert(name, Rc::clone(&source));
        source
    }
}
