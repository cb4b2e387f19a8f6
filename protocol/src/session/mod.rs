//! Sessions: what one is, and how the API makes, changes, lists and ends them.

mod data;
mod list;
mod request;
mod status;

pub use self::{
    data::SessionData,
    list::{ListedSession, SessionList, Terminated},
    request::{NewSession, SessionPatch},
    status::{InvalidTransition, SessionStatus},
};
