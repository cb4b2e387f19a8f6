//! What the service does, without a word of HTTP: sessions, tokens, login, logout, check.

mod account_name;
mod base;
mod changes;
mod check;
mod cut_off;
mod elevation;
mod error;
mod input;
mod leases;
mod limits;
mod lockout;
mod login;
mod presented;
mod repair;
mod rules;
mod session_commands;
mod sessions;
mod signing;
mod tokens;
mod under_way;

pub use self::{
    base::{Service, Tools},
    changes::Told,
    check::Counts,
    error::ServiceError,
    leases::{MAX_WORKER_CHARS, is_worker_name},
    rules::{MAX_RULES, RuleKind},
};
