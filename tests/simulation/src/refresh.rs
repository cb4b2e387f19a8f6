//! Refresh tokens: each is used once, whoever repeats that gets the same again, and whoever shows an old one ends its
//! session.

use std::collections::HashMap;

use session_gate_protocol::RefreshToken;

use crate::{
    clocks::Millis,
    numbers::{SessionNumber, UserNumber},
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 5] = [
    ("calls", "refresh"),
    ("refresh tokens", "an old one has ended its session"),
    ("refresh tokens", "rotated"),
    ("refresh tokens", "the same again"),
    ("refresh tokens", "turned away"),
];

/// The first of the users who have refresh tokens.
pub(crate) const FIRST: UserNumber = 30_000;
/// How many of them there are.
pub(crate) const USERS: UserNumber = 8;
/// For how long a token is answered after its successor was used, and by how much more where seconds are counted.
pub(crate) const GRACE: Millis = 30_000 + 2_000;
/// How many tokens are answered with their successors at most.
pub(crate) const MOST_PREDECESSORS: usize = 16;

/// A refresh token, as far as anybody was told of it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) token: RefreshToken,
    /// When somebody was told of it.
    pub(crate) told: Millis,
    /// When an answer first said that it was used.
    pub(crate) used: Option<Millis>,
    /// Whether anybody has shown it.
    pub(crate) is_shown: bool,
}

/// The refresh tokens of each session, the first one first.
#[derive(Debug, Default)]
pub(crate) struct Families(pub(crate) HashMap<SessionNumber, Vec<Known>>);

/// Whether logins of that user bring refresh tokens.
pub(crate) fn is_mobile(user: UserNumber) -> bool {
    user.checked_sub(FIRST).is_some_and(|number| number < USERS)
}

impl Families {
    /// The token of that number.
    pub(crate) fn token(&self, session: SessionNumber, number: usize) -> Option<String> {
        self.0.get(&session)?.get(number).map(|known| known.token.expose())
    }

    pub(crate) fn of(&self, session: SessionNumber) -> &[Known] {
        self.0.get(&session).map_or(&[], Vec::as_slice)
    }

    /// Whether the token of that number was replaced so long before that moment that it must not be answered any more.
    pub(crate) fn is_stale(&self, session: SessionNumber, number: usize, begun: Millis) -> bool {
        let all = self.of(session);
        let known = all.iter().filter(|known| known.told < begun).count();
        let is_far = number + 1 + MOST_PREDECESSORS < known;
        let successor = all.get(number + 1).and_then(|known| known.used);
        is_far || successor.is_some_and(|used| begun > used + GRACE)
    }

    /// Whether it is the last that anybody was told of, or the one before that, and nobody has shown the last.
    pub(crate) fn is_good(&self, session: SessionNumber, number: usize) -> bool {
        let all = self.of(session);
        let is_last = number + 1 == all.len();
        is_last || (number + 2 == all.len() && all.last().is_some_and(|last| !last.is_shown))
    }
}
