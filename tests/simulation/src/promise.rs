//! The promises of `docs/guarantees.md`, by the names that a report gives them.

use std::fmt;

use crate::{limits::key::Key, numbers::SessionNumber};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What happened.
    pub text: String,
    /// The session that it is about.
    pub session: Option<SessionNumber>,
    /// What a limit counts by, where it is about that.
    pub key: Option<Key>,
    /// The worker that did it.
    pub worker: usize,
}

/// The promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// Nobody is asked about what a worker can tell by itself.
    Alone,
    /// What a store accepts that is full is done.
    Accepted,
    /// What a cache has kept logs nobody in.
    Cached,
    /// Users have no more sessions than they may, and the latest used are kept.
    Crowd,
    /// Workers stay current while the store can be read.
    Current,
    /// Routes get what they ask for.
    Demands,
    /// A key that is used up costs no calls.
    DeniedKeys,
    /// Nothing passes but by its route's failure mode, and by that only as long as it may.
    FailureMode,
    /// Nothing passes that nobody has signed, or whose time is over.
    Forged,
    /// Sessions that are not used end, and no others.
    Idle,
    /// No account has more failed logins than lock it.
    Guesses,
    /// What a worker knows against a token holds.
    Known,
    /// No window admits more than its limit.
    Limit,
    /// No live session is refused.
    Live,
    /// What was leased and not used is admitted later.
    NothingLost,
    /// Nothing passes after a receipt.
    Receipt,
    /// A refresh token has one successor, and an old one ends its session.
    Refresh,
    /// A token has one successor, and none once it was taken back.
    Renewed,
    /// No second factor that is asked for is missing.
    SecondFactor,
    /// Nothing passes for longer than `max_staleness` after it was taken back.
    Staleness,
    /// What the store knew before it lost its data is not trusted blindly.
    StoreLoss,
    /// Streams end with their session, and no others.
    Streams,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "no call about what a worker can tell",
            Self::Accepted => "what the store accepts is done",
            Self::Cached => "what a cache has kept logs nobody in",
            Self::Crowd => "no more sessions than allowed, and the latest used are kept",
            Self::Current => "workers stay current while the store can be read",
            Self::Demands => "routes get what they ask for",
            Self::DeniedKeys => "a key that is used up costs no calls",
            Self::FailureMode => "failure modes",
            Self::Forged => "forged and expired tokens",
            Self::Idle => "sessions end when they are not used, and not before",
            Self::Guesses => "failed logins count before they are answered",
            Self::Known => "what is known holds",
            Self::Limit => "no window admits more than its limit",
            Self::Live => "live sessions are served",
            Self::NothingLost => "what is handed back is admitted again",
            Self::Receipt => "nothing passes after applied: true",
            Self::Refresh => "a refresh token has one successor, and an old one ends its session",
            Self::Renewed => "a good token has one successor, and no other has any",
            Self::SecondFactor => "no second factor is missing",
            Self::Staleness => "nothing passes after max_staleness",
            Self::StoreLoss => "a store that has lost its data",
            Self::Streams => "streams end with their session",
        })
    }
}
