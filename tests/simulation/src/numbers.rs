//! What sessions, tokens and users are called in a run.

use session_gate_protocol::UserId;

/// A session, by its number in a run.
pub type SessionNumber = u32;
/// A token, by its number in a run.
pub type TokenNumber = u32;
/// A user, by their number in a run.
pub type UserNumber = u32;

/// Which user that is.
pub fn user_number(user: &UserId) -> Option<UserNumber> {
    user.as_str().strip_prefix("user-")?.parse().ok()
}
