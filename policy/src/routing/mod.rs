//! Which rule a request meets.

mod case;
mod endpoint;
mod login;
mod path_regex;
mod pattern;
mod route;
mod session_commands;
mod table;

pub use self::{
    endpoint::Endpoint,
    login::{Login, LoginPage},
    pattern::{HostPattern, Matcher, PathPattern, is_plain_pattern},
    route::{Authentication, FailureMode, Route, RouteName, RoutePolicy, ScopeRule},
    session_commands::{SessionCommands, TokenDelivery},
    table::{DefaultRule, RouteTable},
};

#[cfg(test)]
mod tests;
