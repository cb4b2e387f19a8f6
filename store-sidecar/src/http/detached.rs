//! Work that goes on when whoever has asked for it has gone.

use session_gate_protocol::{Problem, ProblemCode};
use tokio::sync::oneshot;

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
    tokio::spawn(work).await.map_err(|_| failed())
}

/// The same; where the caller has gone before the work is done, `undo` is given what nobody has learnt of.
///
/// # Errors
/// The work has panicked.
pub(super) async fn detached_or<T, U>(
    work: impl Future<Output = T> + Send + 'static,
    undo: impl FnOnce(T) -> U + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    U: Future<Output = ()> + Send,
{
    if ATTACHED.try_with(|()| ()).is_ok() {
        return Ok(work.await);
    }
    let (done, answered) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(unclaimed) = done.send(work.await) {
            undo(unclaimed).await;
        }
    });
    answered.await.map_err(|_| failed())
}

fn failed() -> ApiError {
    Problem::new(ProblemCode::Internal).into()
}
