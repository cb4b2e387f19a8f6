//! The headers by which an application tells the gate of its users' sessions, in an answer: read to the letter of
//! RFC 9651, and never a client's to send, nor to see.

mod field;
mod names;
mod read;

use self::names::RESERVED;
pub use self::{
    names::{NONCE, TOKEN},
    read::{Unreadable, read},
};
use super::headers::{HeaderChange, Headers, collide_as_cgi_variables};

/// Whether an upstream, or a server between, might take a header of that name for one of these.
pub fn is_reserved(name: &str) -> bool {
    // Every answer's headers are looked at: most are told apart by their length and first letter.
    (names::SHORTEST..=names::LONGEST).contains(&name.len())
        && name.as_bytes().first().is_some_and(|first| first.eq_ignore_ascii_case(&b'x'))
        && RESERVED.iter().any(|reserved| collide_as_cgi_variables(reserved, name))
}

/// Removes them from an answer, or its trailers, in every spelling.
pub fn removal(message: &Headers) -> Vec<HeaderChange> {
    let mut removed: Vec<&str> = Vec::new();
    for (name, _) in message.iter() {
        if is_reserved(name) && !removed.contains(&name) {
            removed.push(name);
        }
    }
    removed.into_iter().map(|name| HeaderChange::Remove(name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_told_from_others_in_every_spelling() {
        for name in RESERVED.into_iter().chain(["X_Session_Login", "x-session_logout", "x.session.token"]) {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["x-session-id", "x-session-logins", "session-login", "y-session-login", "x-content-type-options"] {
            assert!(!is_reserved(name), "{name}");
        }
        let answer = [("x-session-login", "a"), ("x_session_login", "b"), ("x-session-login", "c"), ("x-other", "d")];
        let removed: Headers = answer.into_iter().collect();
        let expected = ["x-session-login", "x_session_login"].map(|name| HeaderChange::Remove(name.to_owned()));
        assert_eq!(super::removal(&removed), expected);
    }
}
