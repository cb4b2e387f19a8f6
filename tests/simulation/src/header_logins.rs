//! Logins by a header of an answer: done by the sidecar while the answer waits, unless the answer is a cache's.

use serde_json::{Value, json};

use crate::numbers::UserNumber;

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 3] = [
    ("logins by header", "asked for"),
    ("logins by header", "done"),
    ("logins by header", "from a cache, and left alone"),
];

/// The first of the users who log in so.
pub(crate) const FIRST: UserNumber = 40_000;
/// How many of them there are.
pub(crate) const USERS: UserNumber = 8;

/// Where they log in.
pub const PATH: &str = "/login";

/// The route of their logins.
pub fn route() -> Value {
    json!({
        "name": "login", "match": {"path": {"exact": PATH}}, "authentication": "public",
        "session_commands": {"allow": ["login"], "token": "header"},
    })
}

/// An answer that logs a user in.
#[derive(Clone, Debug)]
pub struct LoginAnswer {
    pub(crate) user: UserNumber,
    /// For how many seconds a cache has kept it; none: it comes from the application.
    pub(crate) age: Option<u8>,
}

impl LoginAnswer {
    /// Its headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let login = format!("\"user-{}\"", self.user);
        let age = self.age.map(|age| ("age", age.to_string()));
        [(":status", "200".to_owned()), ("x-session-login", login)].into_iter().chain(age).collect()
    }
}
