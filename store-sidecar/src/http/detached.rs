//! Work that goes on when whoever has asked for it has gone.

use session_gate_protocol::{Problem, ProblemCode};

use super::reply::ApiError;

tokio::task_local! {
    /// Set where a handler is dropped only when its process dies.
    static ATTACHED: ();
}

/// Answers a call where its handler is never dropped before its end, unless the process dies: its work is done by whoever
/// polls this, and dies with it. For a simulation, which has an order of its own in which everybody goes on.
pub async fn attached<T>(answering: impl Future<Output = T>) -> T {
    ATTACHED.scope((), answering).await
}

/// Does the work to its end, also if the caller's connection is closed meanwhile, and with it whatever waits for this: what
/// is done in several steps must not stop between two of them.
///
/// # Errors
/// The work has panicked.
pub(super) async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, ApiError> {
    if ATTACHED.try_with(|()| ()).is_ok() {
        return Ok(work.await);
    }
    tokio::spawn(work).await.map_err(|_| ApiError::from(Problem::new(ProblemCode::Internal)))
}
