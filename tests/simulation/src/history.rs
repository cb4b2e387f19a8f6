//! What has happened, one line each, and a hash over all of it: two runs of one seed are alike where
//! their hashes are.

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hash, Hasher as _},
};

use crate::{
    clients::{About, Kind},
    clocks::Millis,
    decision::Decision,
    faults::Fault,
    limits::{
        key::Key,
        settings::{KeyName, LIMITS},
    },
    numbers::{SessionNumber, TokenNumber, UserNumber},
    promise::Violation,
    worker_host::{Form, Route},
};

/// Events that are kept to be shown.
const KEPT: usize = 30_000;
/// Lines of a trace, unless more are asked for.
pub const SHOWN: usize = 40;
/// Requests among them.
const DECISIONS_SHOWN: usize = 6;
/// Polls and what became of them among them.
const POLLS_SHOWN: usize = 10;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A call of the API reached a sidecar.
    Begin { call: u32, kind: Kind, sidecar: usize, about: About, wait: bool },
    /// It was answered.
    End { call: u32, kind: Kind, status: u16, applied: Option<bool>, about: About },
    /// A sidecar died while it was at it.
    Cut { call: u32, kind: Kind, about: About },
    /// A request was decided.
    Decided {
        worker: usize,
        token: Option<TokenNumber>,
        session: Option<SessionNumber>,
        key: Option<(usize, KeyName)>,
        decision: Decision,
        route: Route,
        form: Form,
        arrived: Millis,
        asked: Option<bool>,
    },
    /// A worker took in a reply of the feed.
    Heard { worker: usize, sent: Millis, age_ms: u64, entries: usize, more: bool },
    /// It was about this session.
    HeardOf { worker: usize, session: SessionNumber },
    /// A worker asked a sidecar.
    Asked { worker: usize, sidecar: usize, feed: bool },
    /// A call of a worker failed.
    Failed { worker: usize, feed: bool },
    /// A worker asked for a lease, or settled leases with so many used.
    AskedForLease { worker: usize, key: Key, lease: u64, need: u64, want: u64, kept: u64, settled: Vec<(u64, u64)> },
    /// A worker took in what came of that.
    HeardOfLease { worker: usize, key: Key, lease: u64, sent: Millis },
    /// The store has done it.
    LeaseStep {
        worker: String,
        key: Key,
        lease: u64,
        granted: u64,
        lifetime_ms: u64,
        returned: u64,
        lapsed: u64,
        outstanding: u64,
    },
    /// A stream was ended by the gate.
    StreamEnded { worker: usize, session: Option<SessionNumber> },
    /// Something broke, or was mended.
    Fault(Fault),
}

/// The history of one run.
#[derive(Debug, Default)]
pub struct History {
    hasher: DefaultHasher,
    recent: VecDeque<(Millis, What)>,
}

impl History {
    /// Adds an event.
    pub fn add(&mut self, now: Millis, what: What) {
        (now, &what).hash(&mut self.hasher);
        if self.recent.len() >= KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, what));
    }

    /// The hash over everything so far.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The last lines that have to do with that session, its user or that worker's knowledge, or with that key of a
    /// limit.
    pub fn trace(&self, violation: &Violation, user: Option<UserNumber>, shown: usize) -> Vec<String> {
        let Violation { session, key, worker, .. } = *violation;
        let (mut decisions, mut polls) = (0, 0);
        let mut lines: Vec<String> = self
            .recent
            .iter()
            .rev()
            .filter(|(_, what)| match key {
                Some(key) => what.concerns_key(key),
                None => what.concerns(session, user, worker),
            })
            .filter(|(_, what)| {
                let (of_kind, most) = match what {
                    // Each counts.
                    What::Decided { decision: Decision::Allow(_), .. } if key.is_some() => return true,
                    What::Decided { .. } => (&mut decisions, DECISIONS_SHOWN),
                    What::Asked { .. } | What::Failed { .. } | What::Heard { .. } => (&mut polls, POLLS_SHOWN),
                    _ => return true,
                };
                *of_kind += 1;
                *of_kind <= most || shown > SHOWN
            })
            .take(shown)
            .map(|(at, what)| format!("{at:>7} ms  {what}"))
            .collect();
        lines.reverse();
        lines
    }
}

impl What {
    fn concerns_key(&self, wanted: Key) -> bool {
        match self {
            Self::Decided { key: Some((route, of)), .. } => {
                *of == wanted.of && (*route == wanted.limit || *route == LIMITS)
            }
            Self::AskedForLease { key, .. } | Self::HeardOfLease { key, .. } | Self::LeaseStep { key, .. } => {
                *key == wanted
            }
            Self::Fault(fault) => fault.is_loss(),
            _ => false,
        }
    }

    fn concerns(&self, session: Option<SessionNumber>, user: Option<UserNumber>, number: usize) -> bool {
        match self {
            Self::Begin { about, .. } | Self::End { about, .. } | Self::Cut { about, .. } => match about {
                About::Session(other) => Some(*other) == session,
                About::User(other) => Some(*other) == user,
            },
            Self::Decided { session: other, worker, .. } => session.is_some() && *other == session && *worker == number,
            Self::StreamEnded { worker, session: other } => *worker == number && *other == session,
            Self::Heard { worker, more, .. } => *worker == number && !more,
            Self::HeardOf { worker, session: other } => *worker == number && Some(*other) == session,
            Self::Failed { worker, feed } => *worker == number && *feed,
            Self::Asked { worker, feed, .. } => *worker == number && *feed,
            Self::AskedForLease { .. } | Self::HeardOfLease { .. } | Self::LeaseStep { .. } => false,
            Self::Fault(fault) => fault.concerns(number),
        }
    }
}

/// A session, or none.
struct Of(Option<SessionNumber>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |session| write!(f, " session {session}"))
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { call, kind, sidecar, about, wait } => {
                let wait = if *wait { ", wait=applied" } else { "" };
                write!(f, "call {call}: {kind} {about} reaches sidecar {sidecar}{wait}")
            }
            Self::End { call, kind, status, applied, about } => {
                write!(f, "call {call}: {kind} {about} is answered {status}")?;
                applied.map_or(Ok(()), |applied| write!(f, ", applied: {applied}"))
            }
            Self::Cut { call, kind, about } => write!(f, "call {call}: {kind} {about} is cut off"),
            Self::Decided { worker, token, session, key, decision, route, form, arrived, asked } => {
                let token = match (token, key) {
                    (Some(token), _) => format!("token {token}"),
                    (None, Some((_, of))) => format!("key {of}"),
                    (None, None) => "a forged token".to_owned(),
                };
                let asked = match asked {
                    None => "alone",
                    Some(true) => "as answered",
                    Some(false) => "without an answer",
                };
                write!(f, "worker {worker}: {token}{} on {route:?} ({form:?}), {asked}: ", Of(*session))?;
                match decision {
                    Decision::Allow(reason) => write!(f, "admitted, {}", reason.as_str()),
                    Decision::Deny(reason) => write!(f, "refused, {}", reason.as_str()),
                }?;
                write!(f, " (came at {arrived})")
            }
            Self::Heard { worker, sent, age_ms, entries, more } => {
                let more = if *more { ", more to come" } else { "" };
                write!(f, "worker {worker}: hears {entries} entries, asked at {sent}, age {age_ms} ms{more}")
            }
            Self::HeardOf { worker, session } => write!(f, "worker {worker}: hears of session {session}"),
            Self::Asked { worker, sidecar, feed } => {
                write!(f, "worker {worker}: asks sidecar {sidecar}{}", if *feed { " what is new" } else { "" })
            }
            Self::Failed { worker, feed } => {
                write!(f, "worker {worker}: gets no answer{}", if *feed { " of the feed" } else { "" })
            }
            Self::AskedForLease { worker, key, lease, need, want, kept, settled } => {
                write!(f, "worker {worker}: asks as lease {lease} of {key}, needs {need}, wants {want}, keeps {kept}")?;
                settled.iter().try_for_each(|(lease, used)| write!(f, "; of lease {lease} {used} were used"))
            }
            Self::HeardOfLease { worker, key, lease, sent } => {
                write!(f, "worker {worker}: hears of lease {lease} of {key}, asked at {sent}")
            }
            Self::LeaseStep { worker, key, lease, granted, lifetime_ms, returned, lapsed, outstanding } => {
                write!(f, "store: lease {lease} of {worker}, {key}: {granted} for {lifetime_ms} ms; ")?;
                write!(f, "{returned} come back, {lapsed} have lapsed, {outstanding} in other leases")
            }
            Self::StreamEnded { worker, session } => write!(f, "worker {worker}: ends a stream{}", Of(*session)),
            Self::Fault(fault) => write!(f, "{fault}"),
        }
    }
}
