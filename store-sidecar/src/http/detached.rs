//! Work that goes on when whoever has asked for it has gone.

use session_gate_protocol::{Problem, ProblemCode};

use super::reply::ApiError;

/// Does the work to its end, also if the caller's connection is closed meanwhile, and with it whatever waits for this: what
/// is done in several steps must not stop between two of them.
///
/// # Errors
/// The work has panicked.
pub(super) async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, ApiError> {
    tokio::spawn(work).await.map_err(|_| ApiError::from(Problem::new(ProblemCode::Internal)))
}
