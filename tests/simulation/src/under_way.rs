//! What is under way at a worker: requests, from the moment they come until they are over, and calls.

use crate::{
    clocks::Millis,
    foreign::Sid,
    limits::settings::KeyName,
    mind::{InVersion, Told},
    numbers::{SessionNumber, TokenNumber, UserNumber},
    scenario::script::Written,
    worker_host::{Form, Purpose, Route},
};

/// A request at a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) token: Option<TokenNumber>,
    /// Whether that comes in a cookie.
    pub(crate) is_cookie: bool,
    /// The token that it came with, whose time was over and whose place that has taken.
    pub(crate) renewed_from: Option<TokenNumber>,
    pub(crate) session: Option<SessionNumber>,
    /// Whose token it is, and what it says of its session, where another issuer has issued it.
    pub(crate) account: Option<(UserNumber, Sid)>,
    /// In which session the worker knew by then that it is served: what it learns meanwhile takes that from later ones.
    pub(crate) told: Option<Told>,
    /// Where it comes from.
    pub(crate) address: u8,
    /// What the limits of its route count it by.
    pub(crate) key: Option<(usize, KeyName)>,
    pub(crate) route: Route,
    pub(crate) form: Form,
    /// What a scenario has written down of it.
    pub(crate) written: Option<Written>,
    /// What its answer will say that it has cost.
    pub(crate) cost: u64,
    pub(crate) arrived: Millis,
    /// When it was admitted, if its answer is still to come.
    pub(crate) admitted: Option<Millis>,
    /// Whether the sidecar was asked, and whether it has answered.
    pub(crate) asked: Option<bool>,
    /// When the question was sent, for this request or another with the same token.
    pub(crate) asked_at: Option<Millis>,
    /// In which version the sidecar has said that its session is served.
    pub(crate) version: Option<InVersion>,
    /// When the worker last knew, beyond doubt, that its session is good.
    pub(crate) live_at: Millis,
    /// Since when it goes on for as long as both sides like.
    pub(crate) open_since: Option<Millis>,
    /// Whether its end was heard of before its answer began: such an answer passes, be it the answer to the
    /// very request that has ended the session.
    pub(crate) is_late: bool,
}

/// A worker's call under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallUnderWay {
    pub(crate) purpose: Purpose,
    pub(crate) sent: Millis,
    /// How many epochs of the feed the worker had known by then.
    pub(crate) epochs: u32,
}
