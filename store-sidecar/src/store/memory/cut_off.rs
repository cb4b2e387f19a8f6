//! How sessions go on under a new id, and end all at once.

use session_gate_protocol::{SessionData, SessionId, SessionStatus, UnixSeconds, UserId};

use super::state::{Begun, State};
use super::tables::MemoryStore;
use crate::store::{
    Beginning, BegunCutOff, IndexPlace, OperationId, Rotated, Rotation, SWEEP_BATCH, StoreError, StoreErrorKind, Swept,
    patch,
};

impl MemoryStore {
    pub(super) fn rotate(&self, old: &SessionId, rotation: &Rotation, op: OperationId) -> Result<Rotated, StoreError> {
        rotation.check()?;
        let (mut state, now) = self.write();
        if state.was_done(&rotation.id, op)
            && let Some(session) = state.session(&rotation.id, now)
        {
            return Ok(Rotated::Done(session));
        }
        if state.holds(&rotation.id) {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the session id exists already"));
        }
        let session = state.session(old, now).filter(|session| session.user_id == rotation.user_id);
        let Some(session) = session else { return Ok(Rotated::NotFound) };
        if !session.status.may_mint() {
            return Ok(Rotated::Refused(session.status));
        }
        self.check_room(&state)?;
        let rotated = rotation.of(session.clone(), now);
        let made = state.made(old);
        end(&mut state, session, now, op);
        state.insert(rotated.clone(), op);
        state.set_made(&rotation.id, made);
        Ok(Rotated::Done(rotated))
    }

    pub(super) fn begin(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        let (mut state, now) = self.write();
        let (listed, latest_expiry) = state.listed(user);
        let listed = u64::try_from(listed).unwrap_or(u64::MAX);
        let reply =
            |beginning, Begun { before, except }| BegunCutOff { beginning, before, except, listed, latest_expiry, now };
        if let Some(id) = except {
            let spared = state.session(id, now).filter(|one| one.user_id == *user && !one.status.is_final());
            let Some(spared) = spared else { return Ok(reply(Beginning::None, Begun::default())) };
            if let Some(earlier) = state.begun(user).filter(|earlier| spared.generation < earlier.before) {
                return Ok(reply(Beginning::Earlier, earlier));
            }
        }
        let before = state.cut_offs(user).generation.max(floor).saturating_add(1);
        state.note_cut_offs(user, before, floor, latest_expiry.max(now).after(self.settings.feed_horizon));
        let begun = Begun { before, except: except.cloned() };
        state.note_begun(user, begun.clone());
        if let Some(id) = except {
            state.set_generation(id, before);
        }
        Ok(reply(Beginning::New, begun))
    }

    pub(super) fn finish(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        if let Some(session) = except.and_then(|id| state.session(id, now))
            && session.user_id == *user
            && !session.status.is_final()
        {
            state.set_generation(&session.session_id, before);
        }
        let (_, latest_expiry) = state.listed(user);
        state.note_cut_offs(user, before, before, latest_expiry.max(now).after(self.settings.feed_horizon));
        Ok(())
    }

    pub(super) fn sweep(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        let (mut state, now) = self.write();
        let places = state.places(user, after, SWEEP_BATCH);
        let mut removed = 0;
        for place in &places {
            if let Some(session) = state.session(&place.id, now).filter(|session| session.status.is_final()) {
                let op = state.last_operation(&place.id);
                end(&mut state, session, now, op);
                removed += 1;
            }
        }
        Ok(Swept { removed, next: places.last().filter(|_| places.len() == SWEEP_BATCH).cloned() })
    }
}

/// Ends a session that is still listed, or notes that it has ended.
pub(super) fn end(state: &mut State, session: SessionData, now: UnixSeconds, op: OperationId) {
    let session = if session.status == SessionStatus::Expired { session } else { patch::terminated(session) };
    state.replace(session, now, op);
}
