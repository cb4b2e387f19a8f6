//! What the service does, without a word of HTTP: sessions, tokens, login, logout, check.

mod abandonment;
mod account_name;
mod base;
mod changes;
mod check;
mod cut_off;
mod elevation;
mod error;
mod idempotency;
mod input;
mod leases;
mod limit_reached;
mod limits;
mod lockout;
mod login;
mod own_session;
mod presented;
mod refresh;
mod refresh_family;
mod renewal;
mod repair;
mod rules;
mod session_commands;
mod session_limit;
mod sessions;
mod signing;
mod takeover;
mod tokens;
mod under_way;

pub use self::{
    base::{Service, Tools},
    changes::Told,
    check::Counts,
    error::ServiceError,
    idempotency::{Begun, Claim, KeptAnswer, OnceRequest},
    leases::{MAX_WORKER_CHARS, is_worker_name},
    limit_reached::{Handle, LimitReached},
    refresh::RefreshRefused,
    rules::{MAX_RULES, RuleKind},
};
