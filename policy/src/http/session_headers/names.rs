//! The names of the headers that speak of sessions.

/// The current session's user has proved more: `?1;scopes="admin";amr="otp"`.
pub(super) const ELEVATE: &str = "x-session-elevate";
/// Who has logged in: `"alice";scopes="read write";amr="pwd";class="remember";pending_2fa`.
pub(super) const LOGIN: &str = "x-session-login";
/// Whose login has failed: `"alice"`.
pub(super) const LOGIN_FAILED: &str = "x-session-login-failed";
/// Which sessions end: `current`, `others` or `all`.
pub(super) const LOGOUT: &str = "x-session-logout";
/// What the gate has sent with the request, and the answer must repeat where its route asks for that.
pub const NONCE: &str = "x-session-nonce";
/// Whose password was changed: `"alice"`, or `?1` for the current session's user.
pub(super) const PASSWORD_CHANGED: &str = "x-session-password-changed";
/// The client's new token, where a route gives it in a header.
pub const TOKEN: &str = "x-session-token";

/// All of them.
pub(super) const RESERVED: [&str; 7] = [ELEVATE, LOGIN, LOGIN_FAILED, LOGOUT, NONCE, PASSWORD_CHANGED, TOKEN];

/// The length of the shortest.
pub(super) const SHORTEST: usize = NONCE.len();
/// The length of the longest.
pub(super) const LONGEST: usize = PASSWORD_CHANGED.len();
