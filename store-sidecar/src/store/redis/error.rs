//! What Redis' errors mean to the store's callers and to the connection.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{StoreError, StoreErrorKind};

/// The code of the scripts' own error: what is stored has a form that they do not know.
const FORMAT_CODE: &str = "SGFORMAT";

/// The same for what there is no room for.
const FULL_CODE: &str = "SGFULL";

/// The codes of a server that can be read and accepts no changes. A replica (`READONLY`) is none: what it holds may
/// be old.
const REFUSALS: [&str; 3] = ["MISCONF", "NOREPLICAS", "OOM"];

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It cannot be used any more.
    Broken,
    /// It did not answer in time.
    Silent,
    /// The server's replicas have left it: another one may have taken its place.
    Deserted,
}

pub(super) fn store_error(error: RedisError) -> StoreError {
    StoreError::new(kind(&error), error)
}

fn kind(error: &RedisError) -> StoreErrorKind {
    if error.is_timeout() {
        return StoreErrorKind::Timeout;
    }
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => StoreErrorKind::Corrupt,
        // A key holds another type than ours. Before Redis 7 the code stands within the text of
        // the script's error.
        _ if is_code(error, FORMAT_CODE) || is_code(error, "WRONGTYPE") => StoreErrorKind::Corrupt,
        _ if is_code(error, FULL_CODE) => StoreErrorKind::Full,
        _ if REFUSALS.iter().any(|code| is_code(error, code)) => StoreErrorKind::Refused,
        // All else is Redis' state: loading, a replica, no permission, no cluster.
        _ => StoreErrorKind::Unavailable,
    }
}

/// Whether the error puts the connection into doubt.
pub(super) fn doubt(error: &RedisError) -> Option<Doubt> {
    if error.is_timeout() {
        Some(Doubt::Silent)
    } else if error.is_unrecoverable_error() || error.is_io_error() || is_code(error, "READONLY") {
        // A server that became a replica keeps its connections: ask anew who is the master.
        Some(Doubt::Broken)
    } else if is_code(error, "NOREPLICAS") {
        Some(Doubt::Deserted)
    } else {
        None
    }
}

/// Whether the server says with this that it is there: one that cannot write to its disk refuses even `PING`.
pub(super) fn is_alive(error: &RedisError) -> bool {
    is_code(error, "MISCONF")
}

/// Whether Redis refused the command itself, as managed services do with some.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError) | ErrorKind::Extension
    )
}

fn is_code(error: &RedisError, code: &str) -> bool {
    error.code() == Some(code) || error.detail().is_some_and(|detail| detail.contains(code))
}
