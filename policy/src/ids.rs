//! What requests and calls are known by.

/// A request, as the host names it.
pub type RequestId = u32;

/// Numbers the calls to the sidecar for which requests wait.
pub type CallId = u64;

/// Numbers the questions to the feed, so that a reply is taken for that to its own.
pub type QuestionId = u64;

/// A call that a worker makes, as its reply is assigned to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callout {
    /// Reports which sessions were used.
    Activity,
    /// Asks about a credential, for every request that has it.
    Check(CallId),
    /// Asks what has changed.
    Feed(QuestionId),
    /// Fetches the sidecar's keys.
    Keys,
    /// Asks about limits, for every request that needs it or ahead of them.
    Leases(CallId),
    /// Asks whether an account is locked, for every request that names it.
    LoginLock(CallId),
    /// Asks for what takes a session token's place.
    Renewal(CallId),
    /// Has done what an answer says of sessions.
    SessionCommand(CallId),
}
