use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{
    CheckReply, CheckRequest, ElevateRequest, LoginReply, LoginRequest, LogoutReply, LogoutRequest, Problem,
    SessionLimitProblem,
};

use super::{
    Shared,
    detached::detached_or,
    extract::{ApiJson, ApiQuery},
    protocol::Protocol,
    receipt::{Wait, WithReceipt},
    reply::{ApiResult, NO_STORE},
};
use crate::service::ServiceError;

/// A new session and its first token, after the application has checked the password. It may take the place of another.
#[utoipa::path(
    post, path = "/v1/login", tag = "login", operation_id = "login", request_body = LoginRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "A string in quotes (RFC 9651) of 16 to 255 characters: the same request with the same key is done once, and has the same answer for ten minutes")),
    responses(
        (status = 201, description = "Session and token", body = LoginReply),
        (status = 409, description = "The user has as many sessions as allowed, or the same request is under way", body = SessionLimitProblem,
            content_type = "application/problem+json"),
        (status = 429, description = "With `lockout`: too many logins have failed; nothing was done", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn login(State(api): State<Shared>, ApiJson(request): ApiJson<LoginRequest>) -> ApiResult<Response> {
    // Sessions may end by it, and then everybody must be told, be its caller there or not.
    let undoing = Arc::clone(&api);
    let undo = async move |login| give_up(&undoing, login).await;
    let login = detached_or(async move { api.service.login(request).await }, undo).await??;
    Ok((StatusCode::CREATED, [NO_STORE], Json(login)).into_response())
}

/// Puts a session under a new id, active and with a new token, after its user has proved more. The old id is dead.
#[utoipa::path(
    post, path = "/v1/elevate", tag = "login", operation_id = "elevate", request_body = ElevateRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "A string in quotes (RFC 9651) of 16 to 255 characters: the same request with the same key is done once, and has the same answer for ten minutes")),
    responses(
        (status = 201, description = "The session under its new id, and its token", body = LoginReply),
        (status = 409, description = "It has ended or is suspended, or the token is revoked", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "With `lockout`: too many logins have failed; nothing was done", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn elevate(
    State(api): State<Shared>,
    ApiJson(request): ApiJson<ElevateRequest>,
) -> ApiResult<Response> {
    let undoing = Arc::clone(&api);
    let undo = async move |elevated| give_up(&undoing, elevated).await;
    let elevated = detached_or(async move { api.service.elevate(request).await }, undo).await??;
    Ok((StatusCode::CREATED, [NO_STORE], Json(elevated)).into_response())
}

/// Nobody has learnt of it.
async fn give_up(api: &Shared, login: Result<LoginReply, ServiceError>) {
    if let Ok(login) = login {
        api.service.unclaimed(&login.session.session_id).await;
    }
}

/// Ends a session, named by its id or by one of its tokens, or all sessions of its user, or all others.
#[utoipa::path(
    post, path = "/v1/logout", tag = "login", operation_id = "logout", request_body = LogoutRequest,
    params(Wait),
    responses(
        (status = 200, description = "How many sessions ended", body = WithReceipt<LogoutReply>),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn logout(
    State(api): State<Shared>,
    ApiQuery(wait): ApiQuery<Wait>,
    ApiJson(request): ApiJson<LogoutRequest>,
) -> ApiResult<Response> {
    let told = api.service.logout(request).await?;
    Ok(([NO_STORE], Json(wait.with_receipt(&api, told).await)).into_response())
}

/// Whether a credential may be used. Asked by the filter.
#[utoipa::path(
    post, path = "/v1/check", tag = "filter", operation_id = "check", request_body = CheckRequest,
    responses(
        (status = 200, description = "What is known of it and its session", body = CheckReply),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn check(
    State(api): State<Shared>,
    protocol: Protocol,
    ApiJson(request): ApiJson<CheckRequest>,
) -> ApiResult<Response> {
    let reply = api.service.check(&request).await?;
    Ok(([NO_STORE], Json(protocol.check(reply))).into_response())
}
