use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{Problem, ProblemCode, SessionCommandReply, SessionCommandRequest};

use super::{
    Shared,
    detached::detached_or,
    extract::ApiJson,
    reply::{ApiError, ApiResult, NO_STORE},
};
use crate::service::ServiceError;

/// A refusal without the user's sessions.
fn without_sessions(error: ServiceError) -> ApiError {
    match error {
        ServiceError::SessionLimitReached(_) => Problem::new(ProblemCode::SessionLimitReached).into(),
        other => other.into(),
    }
}

/// What an application says of its users' sessions by a header of its answer. Asked by the filter.
#[utoipa::path(
    post, path = "/v1/session-commands", tag = "filter", operation_id = "sessionCommand",
    request_body = SessionCommandRequest,
    responses(
        (status = 200, description = "It is done", body = SessionCommandReply),
        (status = 409, description = "The current session's state does not allow it, or there is none; or the user has as many as allowed", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn command(
    State(api): State<Shared>,
    ApiJson(request): ApiJson<SessionCommandRequest>,
) -> ApiResult<Response> {
    let undoing = Arc::clone(&api);
    let undo = async move |done: Result<SessionCommandReply, ServiceError>| {
        if let Ok(SessionCommandReply { token: Some(made), .. }) = done {
            undoing.service.unclaimed_token(&made.token).await;
        }
    };
    let done = detached_or(async move { api.service.session_command(request).await }, undo).await?;
    // Whoever asks is a filter: what else a refused login may know is the application's.
    let done = done.map_err(without_sessions)?;
    Ok(([NO_STORE], Json(done)).into_response())
}
