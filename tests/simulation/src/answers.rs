//! What a worker puts into headers: of requests, for the upstream, and of answers, for the client.

use session_gate_policy::http::headers::HeaderChange;

/// The cookie that may carry a token.
pub const COOKIE: &str = "__Host-session-gate";
/// The header that tells an upstream which token it serves.
pub const TOKEN_ID: &str = "x-token-id";
/// The header that tells a program of its new token.
const TOKEN: &str = "x-session-token";

/// What that header says from then on.
pub fn said(changes: &[HeaderChange], wanted: &str) -> Option<String> {
    changes.iter().find_map(|change| match change {
        HeaderChange::Set(name, value) | HeaderChange::Add(name, value) if name == wanted => {
            String::from_utf8(value.clone()).ok()
        }
        _ => None,
    })
}

/// The token that an answer tells its client of.
pub fn told_token(changes: &[HeaderChange]) -> Option<String> {
    let in_cookie = || {
        let line = said(changes, "set-cookie")?;
        let (pair, _) = line.split_once(';')?;
        pair.strip_prefix(COOKIE)?.strip_prefix('=').filter(|value| !value.is_empty()).map(str::to_owned)
    };
    said(changes, TOKEN).or_else(in_cookie)
}
