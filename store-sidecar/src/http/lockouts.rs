use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{Lockout, LoginFailure, NewLoginFailure, Problem};

use super::{
    Shared,
    detached::detached,
    extract::{AccountPath, ApiJson},
    reply::{ApiResult, NO_STORE},
};

/// Counts a failed login: of its account and its address, or of the device that it came from.
#[utoipa::path(
    post, path = "/v1/logins/failed", tag = "login", operation_id = "loginFailed", request_body = NewLoginFailure,
    responses(
        (status = 200, description = "Whether it counts, and until when logins are refused", body = LoginFailure),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn failed(
    State(api): State<Shared>,
    ApiJson(failure): ApiJson<NewLoginFailure>,
) -> ApiResult<Response> {
    let counted = detached(async move { api.service.login_failed(&failure).await }).await??;
    Ok(([NO_STORE], Json(counted)).into_response())
}

/// Whether an account is locked.
#[utoipa::path(
    get, path = "/v1/lockouts/{account}", tag = "login", operation_id = "readLockout",
    params(("account" = String, Path, description = "Whose: the user's id, or what was typed, percent-encoded")),
    responses(
        (status = 200, description = "How its lock is", body = Lockout),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn read(State(api): State<Shared>, AccountPath(account): AccountPath) -> ApiResult<Response> {
    Ok(([NO_STORE], Json(api.service.lockout(&account).await?)).into_response())
}

/// Lifts the lock of an account, and forgets its failed logins. One that is not locked is as good as unlocked.
#[utoipa::path(
    delete, path = "/v1/lockouts/{account}", tag = "login", operation_id = "unlock",
    params(("account" = String, Path, description = "Whose: the user's id, or what was typed, percent-encoded")),
    responses(
        (status = 204, description = "It is unlocked, for all sidecars at once"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn unlock(State(api): State<Shared>, AccountPath(account): AccountPath) -> ApiResult<Response> {
    api.service.unlock(&account).await?;
    Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response())
}
