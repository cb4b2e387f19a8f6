//! Those who call the API: they log in, refresh, log out, suspend and revoke, and hold the tokens.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
};

use crate::{
    clocks::Millis,
    demands::Demand,
    numbers::{SessionNumber, TokenNumber, UserNumber},
    rules::Barred,
};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A session has another version, and nothing of it is told.
    Annotate,
    /// An address, by its number in the user's place.
    BlockAddress,
    BlockUser,
    /// A session goes on under a new id.
    Elevate,
    /// A login has failed, says its application.
    Guess,
    Login,
    /// With the token of a device that the account knows.
    LoginByDevice,
    Logout,
    Mint,
    /// A token that only the sidecar can read, of a session or of a user.
    MintOpaque,
    Narrow,
    /// A refresh token for the next.
    Refresh,
    /// A session's token for its successor.
    Renew,
    Resume,
    Revoke,
    RevokeForeign,
    Suspend,
    SuspendRefused,
    Terminate,
    TerminateByPatch,
    TerminateUser,
    UnblockAddress,
    UnblockUser,
    /// The lock of an account is lifted.
    Unlock,
    UnrevokeForeign,
    Unscope,
    UserToken,
    Widen,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About {
    /// A session.
    Session(SessionNumber),
    /// All sessions of a user, or none yet.
    User(UserNumber),
}

/// A call of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientCall {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) user: UserNumber,
    pub(crate) session: Option<SessionNumber>,
    pub(crate) token: Option<TokenNumber>,
    /// Which of its session's refresh tokens is shown.
    pub(crate) refresh: Option<usize>,
    pub(crate) wait: bool,
    /// The worker that it is to catch at a moment at which it has just been told everything.
    pub(crate) ambushes: Option<usize>,
    /// What a scenario calls it.
    pub(crate) name: Option<&'static str>,
}

/// A call that a sidecar is at.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) call: ClientCall,
    pub(crate) begun: Millis,
    /// When the sidecar started.
    pub(crate) started: Millis,
    /// The sessions that it must end.
    pub(crate) covers: Vec<SessionNumber>,
}

/// What clients hold.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) tokens: Vec<TokenNumber>,
    pub(crate) stale_tokens: VecDeque<TokenNumber>,
    /// Other issuers' tokens.
    pub(crate) foreign: VecDeque<TokenNumber>,
    /// Opaque tokens that nobody has made.
    pub(crate) made_up: VecDeque<String>,
    pub(crate) sessions: Vec<SessionNumber>,
    pub(crate) suspended: BTreeSet<SessionNumber>,
    pub(crate) calls: u32,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => write!(f, "session {session}"),
            Self::User(user) => write!(f, "user {user}"),
        }
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Annotate => "metadata changed",
            Self::BlockAddress => "address blocked",
            Self::BlockUser => "user blocked",
            Self::Elevate => "elevate",
            Self::Guess => "guess",
            Self::Login => "login",
            Self::LoginByDevice => "login by device",
            Self::Logout => "logout",
            Self::Mint => "mint",
            Self::MintOpaque => "mint, opaque",
            Self::Narrow => "scopes narrowed",
            Self::Refresh => "refresh",
            Self::Renew => "renew",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
            Self::RevokeForeign => "foreign tokens revoked",
            Self::Suspend => "suspend",
            Self::SuspendRefused => "suspend, refused",
            Self::Terminate => "terminate",
            Self::TerminateByPatch => "terminate by patch",
            Self::TerminateUser => "terminate user",
            Self::UnblockAddress => "address unblocked",
            Self::UnblockUser => "user unblocked",
            Self::Unlock => "unlock",
            Self::UnrevokeForeign => "foreign tokens not revoked",
            Self::Unscope => "scopes removed",
            Self::UserToken => "token of a user",
            Self::Widen => "scopes widened",
        }
    }

    /// What routes ask for that it may take from a session, which goes on.
    pub(crate) const fn takes_from(self) -> Option<Demand> {
        match self {
            Self::Narrow | Self::Unscope | Self::Widen => Some(Demand::Write),
            _ => None,
        }
    }

    /// Whom a rule refuses by it, or no more.
    pub(crate) const fn rule(self, number: UserNumber) -> Option<(Barred, bool)> {
        match self {
            Self::BlockAddress => Some((Barred::Address(number as u8), true)),
            Self::BlockUser => Some((Barred::User(number), true)),
            Self::RevokeForeign => Some((Barred::Tokens(number), true)),
            Self::UnblockAddress => Some((Barred::Address(number as u8), false)),
            Self::UnblockUser => Some((Barred::User(number), false)),
            Self::UnrevokeForeign => Some((Barred::Tokens(number), false)),
            _ => None,
        }
    }

    /// Whether it takes something back.
    pub(crate) const fn takes_back(self) -> bool {
        !matches!(
            self,
            Self::Annotate
                | Self::Elevate
                | Self::Guess
                | Self::Login
                | Self::LoginByDevice
                | Self::Mint
                | Self::MintOpaque
                | Self::Refresh
                | Self::Renew
                | Self::Resume
                | Self::Unlock
                | Self::UserToken
        )
    }
}

impl ClientCall {
    pub(crate) fn about(&self) -> About {
        self.session.map_or(About::User(self.user), About::Session)
    }
}
