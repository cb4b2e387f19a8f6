//! What a worker can know: its polls and their replies, seen from outside. Says in other words what
//! `policy/src/feed/` says, so that the two can be compared.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use session_gate_protocol::{FeedChange, FeedReply};

use crate::{
    clocks::{Millis, WorkerClock},
    demands::Demand,
    foreign::Sid,
    numbers::{SessionNumber, TokenNumber, UserNumber, user_number},
    opaque::KnownOpaque,
    rules::KnownRules,
    scopes::{May, may_write},
    truth::{End, Token, Truth},
};

/// How soon after the beginning of the feed a token is only asked about.
const CLOCK_SKEW_SECONDS: u64 = 5;
/// For how long it goes by what it was told takes the place of a token.
const SUCCESSOR_KEPT: Duration = Duration::from_secs(60);

/// What a worker was told.
#[derive(Debug, Default)]
pub struct Mind {
    epoch: Option<(String, u64)>,
    /// How many epochs it has known.
    epochs: u32,
    complete: bool,
    /// The moment of the last proof and how old the sidecar's knowledge was then.
    proof: Option<Proof>,
    ended: HashSet<SessionNumber>,
    /// Up to which second other issuers' tokens are refused, by their user.
    cut_offs: HashMap<UserNumber, u64>,
    /// In which sessions they are served where a route asks for one, in this epoch.
    told: HashMap<(UserNumber, Sid), Told>,
    revoked: HashSet<TokenNumber>,
    suspended: HashMap<SessionNumber, Said>,
    /// What it was told last of what sessions permit, and of which version.
    permits: HashMap<SessionNumber, (u64, May)>,
    /// Sessions with an idle time-out, and when it has last asked about them, in this epoch.
    busy: HashMap<SessionNumber, Millis>,
    /// Tokens that it was told are good, in this epoch.
    vouched: HashSet<TokenNumber>,
    /// What it was told of opaque tokens.
    pub opaque: KnownOpaque,
    /// What it was told takes the place of tokens, and when.
    pub successors: HashMap<TokenNumber, (TokenNumber, Millis)>,
    /// What it was told of rules.
    pub rules: KnownRules,
    /// When it was given keys last.
    pub keys: Option<Millis>,
}

/// A proof that all was known up to `age` before `sent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proof {
    sent: Millis,
    age: Duration,
}

/// A session that another issuer's tokens are served in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which; none: one of a login whose answer was lost, or is yet to come.
    pub session: Option<SessionNumber>,
    /// In which version.
    pub version: Option<u64>,
}

/// What was said last of whether a session is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    version: u64,
    suspended: bool,
}

/// In which version an answer has said that a session is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InVersion {
    /// How many epochs the worker had known when it asked.
    pub epochs: u32,
    /// The version.
    pub version: u64,
}

/// What a reply has told.
#[derive(Debug, Default)]
pub struct News {
    /// Sessions that have ended or are suspended.
    pub sessions: Vec<SessionNumber>,
    /// Users of whom other issuers' tokens are refused.
    pub users: Vec<UserNumber>,
    /// Tokens that are revoked.
    pub tokens: Vec<TokenNumber>,
    /// Sessions that permit something else, or did before what is known of them: that has ended no stream.
    pub scoped: Vec<SessionNumber>,
    /// Whether more is refused by rules.
    pub rules: bool,
    /// How many entries there were.
    pub entries: usize,
    /// Whether there is more.
    pub more: bool,
    /// Whether it is the first of all.
    pub is_first: bool,
    /// Whether it is of another epoch than all before.
    pub new_epoch: bool,
    /// Whether it proves that nothing at all was missing at this very moment.
    pub is_sharp: bool,
}

impl Mind {
    /// Takes in a reply to a question that was sent at `sent`.
    pub fn take(&mut self, reply: &FeedReply, sent: Millis, now: Millis, clock: &WorkerClock, truth: &Truth) -> News {
        let entries = reply.entries.len().saturating_add(reply.ended.0.len());
        let mut news = News { entries, more: reply.more, ..News::default() };
        if self.epoch.as_ref().is_none_or(|(id, _)| *id != reply.epoch.id) {
            news.is_first = self.epoch.is_none();
            news.new_epoch = !news.is_first;
            self.epoch = Some((reply.epoch.id.clone(), reply.epoch.since.0));
            self.complete = false;
            self.proof = None;
            self.epochs += 1;
            self.vouched.clear();
            self.busy.clear();
            self.told.clear();
            // Versions begin anew.
            self.suspended.values_mut().for_each(|said| said.version = 0);
            self.permits.values_mut().for_each(|(version, _)| *version = 0);
        }
        for end in reply.ended.0.iter().filter_map(|(ended, _)| truth.end_of(*ended)) {
            match end {
                End::Session(session) => {
                    self.ended.insert(session);
                    self.suspended.remove(&session);
                    news.sessions.push(session);
                }
                End::Token(token) => {
                    self.revoked.insert(token);
                    news.tokens.push(token);
                }
            }
        }
        for entry in &reply.entries {
            news.rules |= self.rules.learn(&entry.change, entry.until, &truth.rules);
            self.learn(&entry.change, truth, &mut news);
        }
        // A later word of the same reply may say otherwise.
        news.sessions.retain(|session| self.ended.contains(session) || self.knows_suspended(*session));
        if !reply.more {
            self.complete = true;
            let proof = Proof { sent, age: Duration::from_millis(reply.age_ms) };
            if self.proof.is_none_or(|known| known.age_at(now, clock) >= proof.age_at(now, clock)) {
                self.proof = Some(proof);
            }
            news.is_sharp = sent == now && reply.age_ms == 0;
        }
        news
    }

    fn learn(&mut self, change: &FeedChange, truth: &Truth, news: &mut News) {
        match change {
            FeedChange::KeysChanged => {}
            FeedChange::SessionResumed { session_id, version } => {
                if let Some(session) = truth.session_by_id(session_id.as_str()) {
                    self.say(session, Said { version: *version, suspended: false });
                }
            }
            FeedChange::SessionSuspended { session_id, version } => {
                if let Some(session) = truth.session_by_id(session_id.as_str())
                    && self.say(session, Said { version: *version, suspended: true })
                {
                    news.sessions.push(session);
                }
            }
            FeedChange::SessionScopes { session_id, version, scopes } => {
                if let Some(session) = truth.session_by_id(session_id.as_str()) {
                    self.permits(session, *version, may_write(scopes.as_ref()));
                    news.scoped.push(session);
                }
            }
            // What ends comes packed; rules are learnt elsewhere.
            FeedChange::RuleAdded { .. }
            | FeedChange::RuleRemoved { .. }
            | FeedChange::SessionEnded { .. }
            | FeedChange::TokenRevoked { .. }
            | FeedChange::Unknown(_) => {}
            FeedChange::UserSessionsEnded(cut_off) => {
                if let Some(user) = user_number(&cut_off.user_id) {
                    let until = self.cut_offs.entry(user).or_default();
                    *until = cut_off.issued_until.0.max(*until);
                    news.users.push(user);
                }
                for session in truth.cut_off_by(cut_off) {
                    self.ended.insert(session);
                    news.sessions.push(session);
                }
            }
        }
    }

    /// Notes the word, unless a later one is known. Answers whether it was noted.
    fn say(&mut self, session: SessionNumber, said: Said) -> bool {
        let known = self.suspended.entry(session).or_insert(said);
        let counts = said.version >= known.version;
        if counts {
            *known = said;
        }
        counts
    }

    /// Notes what a session permits, unless a later version is known.
    pub fn permits(&mut self, session: SessionNumber, version: u64, may: May) {
        let known = self.permits.entry(session).or_insert((version, may));
        if version >= known.0 {
            *known = (version, may);
        }
    }

    /// Whether it knows that the token does not permit what is asked for, whose session it was told is served in that
    /// version, by an answer that says what that permits.
    pub fn lacks(&self, token: &Token, demand: Option<Demand>, served: Option<InVersion>) -> bool {
        let served = self.said_in_this_epoch(served);
        let known = token.session.and_then(|session| self.permits.get(&session));
        let known = known.filter(|(version, _)| served.is_none_or(|served| served <= *version));
        demand == Some(Demand::Write) && known.is_some_and(|(_, may)| !token.scopes.may_write(*may))
    }

    /// It was answered, to a question of this epoch, that the session is served in that version: an older suspension that
    /// it knows is over. One that it hears of later still ends streams that were admitted before.
    pub fn served(&mut self, session: SessionNumber, version: u64) {
        if let Some(said) = self.suspended.get_mut(&session).filter(|said| said.suspended && said.version < version) {
            *said = Said { version, suspended: false };
        }
    }

    /// Whether it was told that the session is suspended, and of no later version than that.
    pub fn knows_suspended_since(&self, session: SessionNumber, version: u64) -> bool {
        self.suspended.get(&session).is_some_and(|said| said.suspended && said.version >= version)
    }

    /// Whether it was told that the token, or its session, is no good any more.
    pub fn knows_end_of(&self, number: TokenNumber, token: &Token) -> bool {
        self.revoked.contains(&number)
            || token.session.is_some_and(|session| self.ended.contains(&session))
            || token.foreign.is_some() && self.cut_offs.get(&token.user).is_some_and(|until| token.issued <= *until)
    }

    /// Whether it was told that the session has ended.
    pub fn knows_session_ended(&self, session: SessionNumber) -> bool {
        self.ended.contains(&session)
    }

    /// It was answered, to a question of this epoch, that tokens of another issuer are served in that session.
    pub fn tell_session(&mut self, account: (UserNumber, Sid), told: Option<(SessionNumber, u64)>) {
        let (session, version) = told.unzip();
        self.told.insert(account, Told { session, version });
    }

    /// In which session it was told that they are served.
    pub fn session_told(&self, account: (UserNumber, Sid)) -> Option<Told> {
        self.told.get(&account).copied()
    }

    /// The version that an answer has spoken of, if it was of the epoch that is known now.
    pub fn said_in_this_epoch(&self, served: Option<InVersion>) -> Option<u64> {
        served.filter(|served| served.epochs == self.epochs).map(|served| served.version)
    }

    /// Whether it knows that a stream by that token is not served any more, whose session it was told is served in that
    /// version. What was said in an earlier epoch outweighs nothing.
    pub fn takes_back(&self, number: TokenNumber, token: &Token, served: Option<InVersion>) -> bool {
        let is_suspended = |session| match self.said_in_this_epoch(served) {
            Some(version) => self.knows_suspended_since(session, version),
            None => self.knows_suspended(session),
        };
        self.knows_end_of(number, token) || token.session.is_some_and(is_suspended)
    }

    /// Whether the last that it was told of the session is that it is suspended.
    pub fn knows_suspended(&self, session: SessionNumber) -> bool {
        self.suspended.get(&session).is_some_and(|said| said.suspended)
    }

    /// How old its last proof is, by its own clock.
    pub fn age(&self, now: Millis, clock: &WorkerClock) -> Option<Duration> {
        self.proof.map(|proof| proof.age_at(now, clock))
    }

    /// Whether it may take what it does not know for what does not exist.
    pub fn is_current(&self, now: Millis, clock: &WorkerClock, max_staleness: Duration) -> bool {
        self.complete && self.age(now, clock).is_some_and(|age| age <= max_staleness)
    }

    /// How many epochs it has known.
    pub const fn epochs(&self) -> u32 {
        self.epochs
    }

    /// It was told that the token is good, by an answer to a question of this epoch.
    pub fn vouch(&mut self, token: TokenNumber) {
        self.vouched.insert(token);
    }

    /// Whether it was told so.
    pub fn has_vouched(&self, token: TokenNumber) -> bool {
        self.vouched.contains(&token)
    }

    /// It was answered, to a question of this epoch, that the session is good.
    pub fn note_use(&mut self, session: SessionNumber, sent: Millis) {
        self.busy.insert(session, sent);
    }

    /// Whether it has asked about the session within that time, by its own clock.
    pub fn is_busy(&self, session: SessionNumber, within: Duration, now: Millis, clock: &WorkerClock) -> bool {
        self.busy.get(&session).is_some_and(|sent| clock.between(*sent, now) < within)
    }

    /// What takes the place of a token, as it was told lately.
    pub fn successor_of(&self, token: TokenNumber, now: Millis, clock: &WorkerClock) -> Option<TokenNumber> {
        let known = self.successors.get(&token).filter(|(_, told)| clock.between(*told, now) < SUCCESSOR_KEPT);
        known.map(|(successor, _)| *successor)
    }

    /// Whether the feed would know of all that happened to a token that was issued at that second.
    pub fn covers(&self, token: TokenNumber, issued: u64) -> bool {
        self.has_vouched(token) || self.epoch.as_ref().is_some_and(|(_, since)| issued >= since + CLOCK_SKEW_SECONDS)
    }
}

impl Proof {
    fn age_at(self, now: Millis, clock: &WorkerClock) -> Duration {
        clock.between(self.sent, now).saturating_add(self.age)
    }
}
