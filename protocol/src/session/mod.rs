//! Sessions: what one is, and how the API makes, changes, lists and ends them.

mod data;
mod limit;
mod list;
mod request;
mod status;

pub use self::{
    data::SessionData,
    limit::{MAX_SESSION_LIMIT, SessionLimitProblem, WhenFull},
    list::{ListedSession, SessionList, Terminated},
    request::{NewSession, SessionPatch},
    status::{InvalidTransition, SessionStatus},
};
