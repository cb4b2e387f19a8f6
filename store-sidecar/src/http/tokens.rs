use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{Introspection, NewToken, Problem, Receipt, TokenData, TokenForm};

use super::{
    Shared,
    extract::{ApiForm, ApiJson, ApiQuery},
    receipt::Wait,
    reply::{ApiResult, NO_STORE},
};

/// Mints a token, of a session or of a user alone.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", operation_id = "createToken", request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = TokenData),
        (status = 409, description = "The session has ended or is suspended", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn create(State(api): State<Shared>, ApiJson(new): ApiJson<NewToken>) -> ApiResult<Response> {
    Ok((StatusCode::CREATED, [NO_STORE], Json(api.service.create_token(new).await?)).into_response())
}

/// Whether a token may be used now, and what it says (RFC 7662).
#[utoipa::path(
    post, path = "/v1/tokens/introspect", tag = "tokens", operation_id = "introspectToken",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What the token says; of one that may not be used, only that", body = Introspection),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn introspect(State(api): State<Shared>, ApiForm(form): ApiForm) -> ApiResult<Response> {
    Ok(([NO_STORE], Json(api.service.introspect(&form.token).await?)).into_response())
}

/// Revokes a token (RFC 7009). One that is unknown is as good as revoked.
#[utoipa::path(
    post, path = "/v1/tokens/revoke", tag = "tokens", operation_id = "revokeToken", params(Wait),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is revoked. No body, or with `wait=applied` the receipt", body = Receipt),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn revoke(
    State(api): State<Shared>,
    ApiQuery(wait): ApiQuery<Wait>,
    ApiForm(form): ApiForm,
) -> ApiResult<Response> {
    let told = api.service.revoke(&form.token).await?;
    Ok(match wait.receipt(&api, told.at).await {
        Some(receipt) => ([NO_STORE], Json(receipt)).into_response(),
        None => (StatusCode::OK, [NO_STORE]).into_response(),
    })
}
