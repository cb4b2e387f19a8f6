//! What is true, whatever workers believe: which sessions and tokens there are, what has been
//! acknowledged against them, and what may yet come of calls that nobody has heard the end of.

use std::collections::HashMap;

use session_gate_protocol::{CutOff, Fingerprint, OpaqueToken, SessionId, SessionStatus};

use crate::{
    clocks::Millis,
    demands::Demand,
    foreign::{self, Sid},
    idle::Idle,
    numbers::{SessionNumber, TokenNumber, UserNumber, user_number},
    refusal::{Pending, Refusal},
    rules::{Barred, Rules},
    scopes::{Grants, TokenScopes},
    store::Applied,
};

/// For how long a worker goes on by a token of the sidecar's own whose time is over, in seconds.
pub const LEEWAY: u64 = 5;

/// A session.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Its user.
    pub user: UserNumber,
    /// In which life of the store it began.
    pub generation: u32,
    /// Which of its user's cut-offs it is after, as its tokens say.
    pub cut_off: u64,
    /// The store's last word on it, and the version of that.
    pub status: SessionStatus,
    /// The version of `status`.
    pub version: u64,
    /// When it expires by itself, in seconds by the store's wall.
    pub expires: u64,
    /// Its idle time-out, and its uses.
    pub idle: Option<Idle>,
    /// Its end.
    pub ended: Option<Refusal>,
    /// Its suspension, while it lasts.
    pub suspended: Option<Refusal>,
    /// The version since which it is suspended without a break.
    pub suspended_from: Option<u64>,
    /// Calls that end it.
    pub ending: Pending,
    /// Calls that suspend it.
    pub suspending: Pending,
    /// Whether it has its second factor, or needs none.
    pub has_second_factor: bool,
    /// Since when somebody knows that it is served; none: it is not, or nobody knows yet.
    pub served_since: Option<Millis>,
    /// Its tokens.
    pub tokens: Vec<TokenNumber>,
    /// What it permits, and has permitted.
    pub grants: Grants,
}

/// A token.
#[derive(Debug)]
pub struct Token {
    /// The token itself.
    pub text: String,
    /// Its session.
    pub session: Option<SessionNumber>,
    /// Whose it is, of a token without a session.
    pub user: UserNumber,
    /// In which life of the store it was minted.
    pub generation: u32,
    /// When it was issued, in seconds by its issuer's wall.
    pub issued: u64,
    /// When it expires, in seconds.
    pub expires: u64,
    /// Whether it was minted while its session waited for its second factor.
    pub is_pending: bool,
    /// Whether it may be renewed: then whoever revokes it ends its session.
    pub is_renewed: bool,
    /// What it says of its session, where another issuer has issued it.
    pub foreign: Option<Sid>,
    /// What it says that it permits.
    pub scopes: TokenScopes,
    /// Its revocation.
    pub revoked: Option<Refusal>,
    /// Calls that revoke it.
    pub revoking: Pending,
}

/// All there is.
#[derive(Debug, Default)]
pub struct Truth {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The current life of the store.
    pub generation: u32,
    /// When that began.
    pub lost_at: Option<Millis>,
    /// The rules.
    pub rules: Rules,
    session_numbers: HashMap<String, SessionNumber>,
    /// What can end, by what it is known by in the feed.
    ends: HashMap<Fingerprint, End>,
    by_user: HashMap<UserNumber, Vec<SessionNumber>>,
    /// Of a user: up to which second other issuers' tokens are refused, as callers were told.
    cut_offs: HashMap<UserNumber, Vec<(u64, Refusal)>>,
    /// How many calls are ending all sessions of a user, and when the last one ended.
    ending_users: HashMap<UserNumber, (u32, Millis)>,
}

/// What can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A session.
    Session(SessionNumber),
    /// A token.
    Token(TokenNumber),
}

impl Truth {
    /// The session.
    pub fn session(&self, number: SessionNumber) -> Option<&Session> {
        self.sessions.get(number as usize)
    }

    /// The token.
    pub fn token(&self, number: TokenNumber) -> Option<&Token> {
        self.tokens.get(number as usize)
    }

    /// The session, to change it.
    pub fn session_mut(&mut self, number: SessionNumber) -> Option<&mut Session> {
        self.sessions.get_mut(number as usize)
    }

    /// The token, to change it.
    pub fn token_mut(&mut self, number: TokenNumber) -> Option<&mut Token> {
        self.tokens.get_mut(number as usize)
    }

    /// The session with that id.
    pub fn session_by_id(&self, id: &str) -> Option<SessionNumber> {
        self.session_numbers.get(id).copied()
    }

    /// What is known by that fingerprint.
    pub fn end_of(&self, fingerprint: Fingerprint) -> Option<End> {
        self.ends.get(&fingerprint).copied()
    }

    /// The sessions of a user, in the order of their creation.
    pub fn sessions_of(&self, user: UserNumber) -> &[SessionNumber] {
        self.by_user.get(&user).map_or(&[], Vec::as_slice)
    }

    /// The sessions that a cut-off ends.
    pub fn cut_off_by(&self, cut_off: &CutOff) -> Vec<SessionNumber> {
        let is_before = |number: &SessionNumber| {
            let session = self.session(*number);
            let is_excepted = |id: &str| cut_off.except.as_ref().is_some_and(|except| except.as_str() == id);
            session.is_some_and(|session| session.cut_off < cut_off.before && !is_excepted(&session.id))
        };
        let user = user_number(&cut_off.user_id);
        user.map(|user| self.sessions_of(user).iter().copied().filter(is_before).collect()).unwrap_or_default()
    }

    /// A session was created.
    pub fn add_session(&mut self, session: Session) -> SessionNumber {
        let number = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        self.ends.insert(Fingerprint::of_session(&session.id), End::Session(number));
        self.session_numbers.insert(session.id.clone(), number);
        self.by_user.entry(session.user).or_default().push(number);
        self.sessions.push(session);
        number
    }

    /// A token was minted, under that id.
    pub fn add_token(&mut self, id: String, token: Token) -> TokenNumber {
        let number = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        self.ends.insert(Fingerprint::of_token(&id), End::Token(number));
        if let Some(session) = token.session.and_then(|session| self.sessions.get_mut(session as usize)) {
            session.tokens.push(number);
        }
        self.tokens.push(token);
        number
    }

    /// Other issuers' tokens for that user are refused that were issued up to that second.
    pub fn cut_off(&mut self, user: UserNumber, until: u64, refusal: Refusal) {
        self.cut_offs.entry(user).or_default().push((until, refusal));
    }

    /// Whether a token of another issuer may have been cut off with all of its user's sessions: walls differ.
    pub fn may_be_cut_off(&self, token: &Token, seconds: impl Fn(Millis) -> u64, now: Millis) -> bool {
        let ending = self.ending_users.get(&token.user).filter(|_| token.foreign.is_some());
        ending.is_some_and(|(under_way, last)| token.issued <= seconds(if *under_way > 0 { now } else { *last }) + 3)
    }

    /// All sessions of a user are being ended.
    pub fn begin_user_end(&mut self, user: UserNumber) {
        self.ending_users.entry(user).or_default().0 += 1;
    }

    /// They were, or were not.
    pub fn end_user_end(&mut self, user: UserNumber, now: Millis) {
        let (under_way, last) = self.ending_users.entry(user).or_default();
        *under_way = under_way.saturating_sub(1);
        *last = now;
    }

    /// Whether a session of that user which began no sooner than `since` may have been caught by that.
    pub fn may_be_caught(&self, user: UserNumber, since: Millis) -> bool {
        self.ending_users.get(&user).is_some_and(|(under_way, last)| *under_way > 0 || *last >= since)
    }

    /// The store has changed a session.
    pub fn applied(&mut self, applied: &Applied) {
        let number = self.session_by_id(applied.session.as_str());
        let Some(session) = number.and_then(|number| self.session_mut(number)) else { return };
        if applied.version > session.version {
            if !applied.status.is_final() {
                session.grants.applied(applied.version, applied.may);
            }
            session.status = applied.status;
            session.version = applied.version;
            match applied.status {
                SessionStatus::Active => {
                    session.has_second_factor = true;
                    (session.suspended, session.suspended_from) = (None, None);
                }
                SessionStatus::Suspended => _ = session.suspended_from.get_or_insert(applied.version),
                _ => {}
            }
            if applied.status != SessionStatus::Active {
                session.served_since = None;
            }
        }
    }

    /// The store has noted that a session was used at that second.
    pub fn used(&mut self, session: &SessionId, noted: u64) {
        let number = self.session_by_id(session.as_str());
        if let Some(idle) = number.and_then(|number| self.session_mut(number)?.idle.as_mut()) {
            idle.note(noted);
        }
    }

    /// The store has lost everything.
    pub fn lost(&mut self, now: Millis) {
        self.generation += 1;
        self.lost_at = Some(now);
        // The blacklist is gone, and no session stands for these tokens: nobody promises anything.
        self.cut_offs.clear();
        self.rules.lost(now);
        for token in self.tokens.iter_mut().filter(|token| token.session.is_none()) {
            token.revoked = None;
            token.revoking.in_doubt = true;
        }
    }

    /// What refuses a token: its own revocation, its session's end or suspension.
    pub fn refusals(&self, token: TokenNumber) -> impl Iterator<Item = Refusal> {
        let token = self.token(token);
        let session = token.and_then(|token| self.session_of(token));
        let foreign = token.filter(|token| token.foreign.is_some());
        let revoked = token.and_then(|token| token.revoked);
        let ended = session.and_then(|session| session.ended);
        let suspended = session.and_then(|session| session.suspended);
        let cut_off = foreign.and_then(|token| {
            let cut_offs = self.cut_offs.get(&token.user)?.iter().filter(|(until, _)| token.issued <= *until);
            cut_offs.fold(None, |all, (_, refusal)| Some(Refusal::merge(all, *refusal)))
        });
        // Of other issuers' tokens a store that has lost its data knows nothing any more.
        let is_kept =
            move |refusal: &Refusal| foreign.is_none() || self.lost_at.is_none_or(|lost| refusal.begun > lost);
        [revoked, ended, suspended, cut_off].into_iter().flatten().filter(is_kept)
    }

    /// What refuses a token where that is asked for, too.
    pub fn refusals_on(&self, token: TokenNumber, demand: Option<Demand>) -> impl Iterator<Item = Refusal> {
        let scope = demand.filter(|demand| *demand == Demand::Write).and_then(|_| {
            let token = self.token(token)?;
            self.session_of(token)?.grants.refusal(token.scopes)
        });
        self.refusals(token).chain(scope)
    }

    /// The session of a token.
    pub fn session_of(&self, token: &Token) -> Option<&Session> {
        token.session.and_then(|session| self.session(session))
    }

    /// Whether that token may ever have been let in where that is asked for.
    pub fn ever_meets(&self, token: &Token, demand: Demand) -> bool {
        match demand {
            Demand::NoSecondFactor => true,
            Demand::Session => token.foreign.is_some() || token.session.is_some(),
            Demand::Write => match self.session_of(token) {
                Some(session) => session.grants.ever_permits(token.scopes),
                None => token.scopes.may_write(None),
            },
        }
    }
}

impl Token {
    /// Up to which second a worker accepts it, by its own wall.
    pub const fn accepted_until(&self) -> u64 {
        self.expires + if self.foreign.is_some() { foreign::LEEWAY } else { LEEWAY }
    }

    /// Whether only a sidecar can read it.
    pub fn is_opaque(&self) -> bool {
        OpaqueToken::looks_like_one(&self.text)
    }
}

impl Session {
    /// When it ends by itself if it is used no more, in seconds by the store's wall.
    pub fn ends(&self) -> u64 {
        self.idle.map_or(self.expires, |idle| self.expires.min(idle.ends()))
    }

    /// What refuses it.
    pub fn refusals(&self) -> impl Iterator<Item = Refusal> {
        [self.ended, self.suspended].into_iter().flatten()
    }
}

impl Barred {
    /// By what a request is refused.
    pub fn all(token: Option<&Token>, address: u8) -> impl Iterator<Item = Self> {
        let user = token.map(|token| Self::User(token.user));
        let tokens = token.filter(|token| token.foreign.is_some()).map(|token| Self::Tokens(token.user));
        [Some(Self::Address(address)), user, tokens].into_iter().flatten()
    }
}
