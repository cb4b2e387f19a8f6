//! What the memory store holds, and the one place that keeps its parts in step.

mod beginnings;
mod takeovers;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use session_gate_protocol::{Claims, SessionData, SessionId, SlotTag, TokenId, UnixSeconds, UserId};

use super::evictions::Evictions;
use crate::store::cut_off::session_at;
use crate::store::renewal::Chain;
use crate::store::{IndexPlace, LoginHash, OperationId, PageAsk, SessionPage};

#[derive(Debug)]
pub(super) struct State {
    retention: Duration,
    sessions: HashMap<SessionId, Entry>,
    /// The sessions of a user that have not ended, as far as cleaning has come. A user without one
    /// has no entry.
    by_user: HashMap<UserId, BTreeSet<IndexPlace>>,
    /// What is known of the generations of a user's sessions. One who was never cut off has no entry.
    cut_offs: HashMap<UserId, CutOffs>,
    /// The generation from which those of all users are counted.
    first_generation: u64,
    /// How many sessions `by_user` holds.
    live: u64,
    /// Until when a token is on the blacklist.
    revoked: HashMap<Revocation, UnixSeconds>,
    /// What opaque tokens say, and until when.
    opaque: HashMap<Opaque, (Claims, UnixSeconds)>,
    /// Logins that were refused for want of room, and until when their handles are good.
    takeovers: HashMap<Opaque, (String, UnixSeconds)>,
    /// What everybody is yet to be told of.
    pub(super) evictions: Evictions,
    /// How many sessions have begun.
    made: u64,
    /// What cleaning has to do when: exactly one step per session, blacklist entry, opaque token and handle.
    due: BTreeSet<(UnixSeconds, Step)>,
}

#[derive(Debug)]
struct Entry {
    session: SessionData,
    /// The operation that changed it last.
    op: OperationId,
    /// How its token has been renewed.
    chain: Chain,
    /// What is kept of its refresh tokens.
    refresh: Option<String>,
    /// Its place among all sessions, as they began.
    made: u64,
    /// The device that it was begun on, where its account knows that.
    device: Option<LoginHash>,
    /// When the session is forgotten.
    forget_at: UnixSeconds,
    /// Its entry in `due`.
    due: (UnixSeconds, Step),
}

/// How far a user's generations of sessions have come.
#[derive(Clone, Debug)]
pub(super) struct CutOffs {
    /// That of the sessions which begin now.
    pub(super) generation: u64,
    /// Sessions of a generation before this have ended.
    pub(super) ended_before: u64,
    /// The latest cut-off that has begun.
    begun: Option<Begun>,
    /// Until when this must be known.
    until: UnixSeconds,
}

/// A cut-off that has begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun {
    /// Sessions of a generation before this are to end.
    pub(super) before: u64,
    /// The one that goes on.
    pub(super) except: Option<SessionId>,
}

impl CutOffs {
    /// Of a user who was never cut off.
    const fn starting_at(generation: u64) -> Self {
        Self { generation, ended_before: 0, begun: None, until: UnixSeconds(0) }
    }
}

/// A token on the blacklist. Its user is part of the key: a token of another issuer may have the
/// same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Revocation {
    pub(super) user: UserId,
    pub(super) token: TokenId,
}

/// An opaque token, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Opaque {
    pub(super) tag: SlotTag,
    pub(super) hash: String,
}

/// What cleaning does once its time has come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The session's time is over: it leaves its user's list.
    End(SessionId),
    /// The session ended long enough ago.
    Forget(SessionId),
    /// No session and no token is left that a cut-off of the user could concern.
    ForgetCutOffs(UserId),
    /// The opaque token has expired.
    ForgetOpaque(Opaque),
    /// The handle has expired.
    ForgetTakeover(Opaque),
    /// The token has expired.
    Unlist(Revocation),
}

/// What one batch of cleaning did.
pub(super) struct Cleaned {
    /// Sessions, opaque tokens and blacklist entries that are gone.
    pub(super) removed: u64,
    /// Whether nothing more is due.
    pub(super) done: bool,
}

impl State {
    /// An empty state that counts the generations of sessions from `first_generation`: later than any before, so that
    /// no session of this one is of a generation which ended before another state was lost.
    pub(super) fn new(retention: Duration, first_generation: u64) -> Self {
        Self {
            retention,
            sessions: HashMap::new(),
            by_user: HashMap::new(),
            cut_offs: HashMap::new(),
            first_generation,
            live: 0,
            revoked: HashMap::new(),
            opaque: HashMap::new(),
            takeovers: HashMap::new(),
            evictions: Evictions::default(),
            made: 0,
            due: BTreeSet::new(),
        }
    }

    /// How many sessions, opaque tokens and blacklist entries there are.
    pub(super) fn entries(&self) -> usize {
        self.sessions.len() + self.cut_offs.len() + self.revoked.len() + self.opaque.len() + self.takeovers.len()
    }

    /// How many sessions have not ended, as far as cleaning has come.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// Whether that operation was the last to change the session.
    pub(super) fn last_operation(&self, id: &SessionId) -> OperationId {
        self.sessions.get(id).map(|entry| entry.op).unwrap_or_default()
    }

    /// Whether that operation changed the session last.
    pub(super) fn was_done(&self, id: &SessionId, op: OperationId) -> bool {
        self.sessions.get(id).is_some_and(|entry| entry.op == op)
    }

    /// Whether the id is taken, be it by a session that only waits to be cleaned away.
    pub(super) fn holds(&self, id: &SessionId) -> bool {
        self.sessions.contains_key(id)
    }

    /// The session with its status at `now`, unless it is to be forgotten by then.
    pub(super) fn session(&self, id: &SessionId, now: UnixSeconds) -> Option<SessionData> {
        let entry = self.sessions.get(id).filter(|entry| now < entry.forget_at)?;
        let ended_before = self.cut_offs(&entry.session.user_id).ended_before;
        Some(session_at(entry.session.clone(), ended_before, now))
    }

    /// What is known of the generations of a user's sessions.
    pub(super) fn cut_offs(&self, user: &UserId) -> CutOffs {
        self.cut_offs.get(user).cloned().unwrap_or(CutOffs::starting_at(self.first_generation))
    }

    /// Notes how far the generations of a user's sessions have come, for at least until then. Nothing goes back.
    pub(super) fn note_cut_offs(&mut self, user: &UserId, generation: u64, ended_before: u64, until: UnixSeconds) {
        let known = self.cut_offs.entry(user.clone()).or_insert(CutOffs::starting_at(self.first_generation));
        self.due.remove(&(known.until, Step::ForgetCutOffs(user.clone())));
        known.ended_before = known.ended_before.max(ended_before);
        known.generation = known.generation.max(generation).max(known.ended_before);
        known.until = known.until.max(until);
        self.due.insert((known.until, Step::ForgetCutOffs(user.clone())));
    }

    /// The latest cut-off of the user that has begun.
    pub(super) fn begun(&self, user: &UserId) -> Option<Begun> {
        self.cut_offs.get(user)?.begun.clone()
    }

    /// Notes that a cut-off of the user has begun, of whom something is known.
    pub(super) fn note_begun(&mut self, user: &UserId, begun: Begun) {
        if let Some(known) = self.cut_offs.get_mut(user) {
            known.begun = Some(begun);
        }
    }

    /// Lets what is known of a user's generations, if anything is, last at least until then.
    pub(super) fn keep_cut_offs(&mut self, user: &UserId, until: UnixSeconds) {
        if self.cut_offs.contains_key(user) {
            self.note_cut_offs(user, 0, 0, until);
        }
    }

    /// Puts a live session into another generation.
    pub(super) fn set_generation(&mut self, id: &SessionId, generation: u64) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.session.generation = entry.session.generation.max(generation);
        }
    }

    /// How many sessions the user's list has, and when the last of them expires.
    pub(super) fn listed(&self, user: &UserId) -> (usize, UnixSeconds) {
        let list = self.by_user.get(user);
        let latest = list.and_then(|list| list.last()).map_or(UnixSeconds(0), |place| place.expires_at);
        (list.map_or(0, BTreeSet::len), latest)
    }

    /// Whether the user's list has that session.
    pub(super) fn is_listed(&self, user: &UserId, id: &SessionId) -> bool {
        let place = self.sessions.get(id);
        let place = place.map(|entry| IndexPlace { expires_at: entry.session.expires_at, id: id.clone() });
        place.is_some_and(|place| self.by_user.get(user).is_some_and(|list| list.contains(&place)))
    }

    /// A part of the user's list, the one that expires last first.
    pub(super) fn page(&self, user: &UserId, ask: &PageAsk, now: UnixSeconds) -> SessionPage {
        let end = ask.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let list = self.by_user.get(user).into_iter();
        let mut places = list.flat_map(|list| list.range((Bound::Unbounded, end))).rev();
        let looked_at: Vec<&IndexPlace> = places.by_ref().take(ask.limit).collect();
        let sessions = looked_at.iter().filter_map(|place| self.session(&place.id, now));
        let sessions = sessions.filter(|session| !session.status.is_final()).collect();
        SessionPage { sessions, next: looked_at.last().filter(|_| places.next().is_some()).map(|last| (*last).clone()) }
    }

    /// At most `limit` places of the user's list after that one, the one that expires first first.
    pub(super) fn places(&self, user: &UserId, after: Option<&IndexPlace>, limit: usize) -> Vec<IndexPlace> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let list = self.by_user.get(user).into_iter();
        list.flat_map(|list| list.range((start, Bound::Unbounded))).take(limit).cloned().collect()
    }

    /// Adds a session that is not there yet.
    pub(super) fn insert(&mut self, session: SessionData, op: OperationId) {
        let id = session.session_id.clone();
        let place = IndexPlace { expires_at: session.expires_at, id: id.clone() };
        if self.by_user.entry(session.user_id.clone()).or_default().insert(place) {
            self.live += 1;
        }
        let due = (session.expires_at, Step::End(id.clone()));
        self.due.insert(due.clone());
        let forget_at = session.expires_at.after(self.retention);
        self.made += 1;
        let (chain, refresh, device, made) = (Chain::default(), None, None, self.made);
        self.sessions.insert(id, Entry { session, op, chain, refresh, made, device, forget_at, due });
    }

    /// Puts `session` in the place of what was stored under its id; where its status is final it
    /// ends at `now`.
    pub(super) fn replace(&mut self, session: SessionData, now: UnixSeconds, op: OperationId) {
        let forget_at = now.after(self.retention);
        let Some(entry) = self.sessions.get_mut(&session.session_id) else { return };
        entry.session = session;
        entry.op = op;
        if entry.session.status.is_final() {
            let id = entry.session.session_id.clone();
            let (user, expires_at) = (entry.session.user_id.clone(), entry.session.expires_at);
            entry.chain = Chain::default();
            entry.refresh = None;
            entry.forget_at = forget_at;
            let due = (forget_at, Step::Forget(id.clone()));
            self.due.remove(&std::mem::replace(&mut entry.due, due.clone()));
            self.due.insert(due);
            self.unlist(&user, IndexPlace { expires_at, id });
        }
    }

    /// How the session's token has been renewed.
    pub(super) fn chain(&mut self, id: &SessionId) -> Option<&mut Chain> {
        self.sessions.get_mut(id).map(|entry| &mut entry.chain)
    }

    /// What is kept of the session's refresh tokens.
    pub(super) fn refresh(&mut self, id: &SessionId) -> Option<&mut Option<String>> {
        self.sessions.get_mut(id).map(|entry| &mut entry.refresh)
    }

    pub(super) fn note_activity(&mut self, id: &SessionId, now: UnixSeconds) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.session.last_activity = now;
        }
    }

    pub(super) fn revoked_until(&self, entry: &Revocation) -> Option<UnixSeconds> {
        self.revoked.get(entry).copied()
    }

    /// Puts `entry` on the blacklist until `until`, whatever was there before.
    pub(super) fn revoke(&mut self, entry: Revocation, until: UnixSeconds) {
        if let Some(before) = self.revoked.insert(entry.clone(), until) {
            self.due.remove(&(before, Step::Unlist(entry.clone())));
        }
        self.due.insert((until, Step::Unlist(entry)));
    }

    /// What an opaque token says that has not expired at `now`.
    pub(super) fn opaque(&self, token: &Opaque, now: UnixSeconds) -> Option<Claims> {
        self.opaque.get(token).filter(|(_, until)| now < *until).map(|(claims, _)| claims.clone())
    }

    /// Stores what an opaque token says.
    pub(super) fn put_opaque(&mut self, token: Opaque, claims: Claims, until: UnixSeconds) {
        if let Some((_, before)) = self.opaque.insert(token.clone(), (claims, until)) {
            self.due.remove(&(before, Step::ForgetOpaque(token.clone())));
        }
        self.due.insert((until, Step::ForgetOpaque(token)));
    }

    /// Does up to `max_steps` of what is due.
    pub(super) fn clean(&mut self, now: UnixSeconds, max_steps: usize) -> Cleaned {
        let mut removed = 0;
        for _ in 0..max_steps {
            if self.due.first().is_none_or(|(at, _)| now < *at) {
                return Cleaned { removed, done: true };
            }
            match self.due.pop_first() {
                None => return Cleaned { removed, done: true },
                Some((_, Step::End(id))) => self.end(&id),
                Some((_, Step::Forget(id))) => removed += u64::from(self.sessions.remove(&id).is_some()),
                Some((_, Step::ForgetCutOffs(user))) => {
                    // Who still remembers the cut-off must not take the user's next session for one of before it.
                    let forgotten = self.cut_offs.remove(&user).map_or(0, |known| known.generation);
                    self.first_generation = self.first_generation.max(forgotten);
                }
                Some((_, Step::ForgetOpaque(token))) => removed += u64::from(self.opaque.remove(&token).is_some()),
                Some((_, Step::ForgetTakeover(handle))) => {
                    removed += u64::from(self.takeovers.remove(&handle).is_some());
                }
                Some((_, Step::Unlist(entry))) => removed += u64::from(self.revoked.remove(&entry).is_some()),
            }
        }
        Cleaned { removed, done: false }
    }

    fn end(&mut self, id: &SessionId) {
        let Some(entry) = self.sessions.get_mut(id) else { return };
        entry.session = entry.session.clone().bare();
        entry.chain = Chain::default();
        entry.refresh = None;
        let (user, expires_at) = (entry.session.user_id.clone(), entry.session.expires_at);
        entry.due = (entry.forget_at, Step::Forget(id.clone()));
        self.due.insert(entry.due.clone());
        self.unlist(&user, IndexPlace { expires_at, id: id.clone() });
    }

    fn unlist(&mut self, user: &UserId, place: IndexPlace) {
        let Some(list) = self.by_user.get_mut(user) else { return };
        if list.remove(&place) {
            self.live -= 1;
        }
        if list.is_empty() {
            self.by_user.remove(user);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            retention: _, first_generation: _, made: _, sessions, by_user, cut_offs, live, revoked, opaque, ..
        } = self;
        let Self { takeovers, evictions, due, .. } = self;
        let is_empty =
            sessions.is_empty() && by_user.is_empty() && cut_offs.is_empty() && revoked.is_empty() && opaque.is_empty();
        is_empty && takeovers.is_empty() && evictions.is_empty() && *live == 0 && due.is_empty()
    }
}
