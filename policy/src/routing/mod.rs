//! Which rule a request meets.

mod case;
mod path_regex;
mod pattern;
mod route;
mod table;

pub use self::{
    pattern::{HostPattern, Matcher, PathPattern, is_plain_pattern},
    route::{Authentication, FailureMode, Route, RouteName, RoutePolicy, ScopeRule},
    table::{DefaultRule, RouteTable},
};

#[cfg(test)]
mod tests;
