//! What clients do in a scenario.

use crate::{
    clients::Kind,
    clocks::Millis,
    numbers::UserNumber,
    worker_host::{Form, Route},
};

/// How long a stream's client stays.
const STAYS: Millis = 60_000;

/// Of the varieties of a call, the one with nothing special in it, and that of a login whose session is short.
const PLAINEST: u32 = u32::MAX;
const SHORT: u32 = 90;

/// A call of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) user: UserNumber,
    /// The login or minting of the token, or of the session's first one, that it is about.
    pub(crate) of: Option<&'static str>,
    pub(crate) sidecar: usize,
    pub(crate) waits: bool,
    /// Which of its kind: see [`crate::requests`].
    pub(crate) variety: u32,
}

/// A request to a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) worker: usize,
    /// Which login or minting has given its token.
    pub(crate) token: &'static str,
    pub(crate) route: Route,
    pub(crate) form: Form,
    /// After what time a stream's answer begins, and its client leaves.
    pub(crate) course: (Millis, Millis),
}

impl Call {
    /// A user logs in. The session and its first token go by that name.
    pub(crate) fn login(name: &'static str, user: UserNumber) -> Self {
        Self { name, kind: Kind::Login, user, of: None, sidecar: 0, waits: false, variety: PLAINEST }
    }

    /// That is done to what a login or minting has given.
    pub(crate) fn about(name: &'static str, kind: Kind, of: &'static str) -> Self {
        Self { name, kind, user: 0, of: Some(of), sidecar: 0, waits: false, variety: PLAINEST }
    }

    /// A token for a user, without a session.
    pub(crate) fn user_token(name: &'static str, user: UserNumber) -> Self {
        Self::about_user(name, Kind::UserToken, user)
    }

    /// That is done to a user.
    pub(crate) fn about_user(name: &'static str, kind: Kind, user: UserNumber) -> Self {
        Self { name, kind, user, of: None, sidecar: 0, waits: false, variety: PLAINEST }
    }

    /// The session lasts three seconds, an opaque token two.
    pub(crate) fn short(self) -> Self {
        Self { variety: SHORT, ..self }
    }

    /// With `?wait=applied`.
    pub(crate) fn waiting(self) -> Self {
        Self { waits: true, ..self }
    }
}

impl Request {
    /// A plain one with the token of that login or minting.
    pub(crate) fn plain(name: &'static str, worker: usize, token: &'static str) -> Self {
        Self { name, worker, token, route: Route::Deny, form: Form::Plain, course: (0, 0) }
    }

    /// The same on another route.
    pub(crate) fn on(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// A stream, whose answer begins after that time.
    pub(crate) fn stream(name: &'static str, worker: usize, token: &'static str, answers: Millis) -> Self {
        Self { form: Form::Stream, course: (answers, STAYS), ..Self::plain(name, worker, token) }
    }
}
