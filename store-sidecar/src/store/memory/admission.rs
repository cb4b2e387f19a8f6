//! How sessions begin, and which others end for that.

use std::time::Duration;

use session_gate_protocol::{SessionData, UnixSeconds, UserId, WhenFull};

use super::cut_off::end;
use super::state::State;
use super::tables::MemoryStore;
use crate::store::admission::{MAX_LOOKED_AT, MAX_TWINS, counts};
use crate::store::{
    Admission, Admitted, CreateSession, EVICTIONS_OVERDUE, EndedSession, MAX_ENDED, OperationId, SessionLimit,
    StoreError, StoreErrorKind, Untold,
};

impl MemoryStore {
    pub(super) fn admit(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        new.check(&self.settings)?;
        let Admission { floor, limit, replaces, is_noted: _, device, known: _ } = admission;
        let (mut state, now) = self.write();
        if state.was_done(&new.id, op)
            && let Some(session) = state.session(&new.id, now)
        {
            return Ok(Admitted::Created { session, ended: state.evictions.of(op), beyond: 0 });
        }
        if state.holds(&new.id) {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the session id exists already"));
        }
        self.check_room(&state)?;
        let user = new.session.user_id.clone();
        // First: what it ends is in nobody's way.
        if *floor > 0 {
            state.note_cut_offs(&user, *floor, *floor, now);
        }
        let mut beyond = 0;
        if let Some(limit) = limit {
            match make_room(&mut state, &user, (admission, *limit), now, op) {
                Ok(over) => beyond = over,
                Err(admitted) => return Ok(*admitted),
            }
        }
        if let Some(replaced) = replaces.as_ref().filter(|id| state.is_listed(&user, id))
            && let Some(session) = state.session(replaced, now)
        {
            end(&mut state, session, now, op);
        }
        let session = new.created_at(now, state.cut_offs(&user).generation);
        state.keep_cut_offs(&user, session.expires_at.after(self.settings.feed_horizon));
        state.insert(session.clone(), op);
        state.set_device(&session.session_id, device.as_ref().map(|device| device.hash.clone()));
        Ok(Admitted::Created { session, ended: state.evictions.of(op), beyond })
    }

    pub(super) fn note_evicting(&self, user: &UserId, op: OperationId) {
        let (mut state, now) = self.write();
        state.evictions.note(user, op, now);
    }

    pub(super) fn forget_evicting(&self, op: OperationId) {
        self.lock().evictions.forget(op);
    }

    pub(super) fn overdue(&self) -> Vec<Untold> {
        let state = self.lock();
        let now = self.clock.now();
        state.evictions.overdue(now, EVICTIONS_OVERDUE)
    }

    pub(super) fn keep_takeover(
        &self,
        user: &UserId,
        hash: &str,
        login: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        self.check_room(&state)?;
        state.put_takeover(user, hash, login, now.after(lifetime));
        Ok(())
    }

    pub(super) fn use_takeover(&self, user: &UserId, hash: &str) -> Option<String> {
        let (mut state, now) = self.write();
        state.take_takeover(user, hash, now)
    }
}

/// Ends what is to end so that the user has no more sessions than allowed. Returns how many there will be beyond the
/// limit, or why the new one does not begin.
fn make_room(
    state: &mut State,
    user: &UserId,
    (admission, limit): (&Admission, SessionLimit),
    now: UnixSeconds,
    op: OperationId,
) -> Result<u64, Box<Admitted>> {
    let SessionLimit { max, when_full } = limit;
    let is_listed = admission.replaces.as_ref().is_some_and(|id| state.is_listed(user, id));
    if state.listed(user).0 - usize::from(is_listed) < max {
        return Ok(0);
    }
    let places = state.places(user, None, MAX_LOOKED_AT);
    let more = state.listed(user).0.saturating_sub(places.len());
    let found = places.iter().filter(|place| admission.replaces.as_ref() != Some(&place.id));
    let found = found.filter_map(|place| state.session(&place.id, now)).collect::<Vec<SessionData>>();
    let (over, live): (Vec<_>, Vec<_>) = found.into_iter().partition(|session| session.status.is_final());
    // They have ended by themselves, or by a cut-off.
    for session in over {
        let last = state.last_operation(&session.session_id);
        end(state, session, now, last);
    }
    let mut twins = 0;
    let mut is_twin = |session: &SessionData| {
        let is_twin = admission.device.as_ref().is_some_and(|device| {
            state.device(&session.session_id) == Some(&device.hash) && now.since(session.created_at) < device.window
        });
        let is_passed_over = is_twin && twins < MAX_TWINS;
        twins += usize::from(is_passed_over);
        is_passed_over
    };
    let others = live.into_iter().filter(|session| !is_twin(session));
    let (mut counting, mut leaving): (Vec<_>, Vec<_>) = others.partition(|session| counts(session, now));
    let over = (counting.len() + more + 1).saturating_sub(max);
    let (mut is_full, mut is_partly, mut beyond) = (false, false, 0);
    match when_full {
        WhenFull::Notify => beyond = u64::try_from(over).unwrap_or(u64::MAX),
        WhenFull::Deny => {
            is_full = over > 0 && counting.len() >= max;
            is_partly = over > 0 && !is_full;
        }
        WhenFull::EvictOldest => {
            is_partly = over > counting.len();
            counting.sort_by_key(|session| (session.last_activity, state.made(&session.session_id)));
            leaving.extend(counting.into_iter().take(over));
        }
    }
    if !leaving.is_empty() && !admission.is_noted {
        return Err(Box::new(Admitted::NotNoted));
    }
    is_partly |= leaving.len() > MAX_ENDED && !is_full;
    for session in leaving.into_iter().take(MAX_ENDED) {
        let ended = EndedSession { id: session.session_id.clone(), expires_at: session.expires_at };
        state.evictions.add(user, op, ended, now);
        end(state, session, now, op);
    }
    match (is_full, is_partly) {
        (true, _) => Err(Box::new(Admitted::Full(state.evictions.of(op)))),
        (_, true) => Err(Box::new(Admitted::Partly(state.evictions.of(op)))),
        _ => Ok(beyond),
    }
}
