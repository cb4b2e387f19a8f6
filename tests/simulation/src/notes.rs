//! What the store has really done, and what is true since.

use crate::{store::session_steps::SessionStep, world::World};

impl World {
    /// Takes in what the store has done since the last time.
    pub(crate) fn take_notes(&mut self) {
        for applied in self.store.take_applied() {
            if applied.status.is_final() {
                self.ledgers.crowd.note_end(&applied.session);
            }
            self.truth.applied(&applied);
        }
        for entry in self.store.take_appended() {
            self.truth.rules.applied(&entry.change, entry.until, self.now);
        }
        for (session, noted) in self.store.take_uses() {
            self.truth.used(&session, noted);
        }
        for step in self.store.take_lease_steps() {
            self.note_lease_step(step);
        }
        for step in self.store.session_steps.take() {
            match step {
                SessionStep::Admitted(step) => self.note_admission(*step),
                SessionStep::Forgotten(account) => self.note_forgotten(&account),
                SessionStep::Renewed { session, shown, replaced, is_new } => {
                    self.note_renewal(&session, shown, (replaced, is_new));
                }
            }
        }
    }
}
