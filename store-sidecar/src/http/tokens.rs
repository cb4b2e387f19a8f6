use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use session_gate_protocol::{
    FeedWorker, Introspection, IntrospectionForm, NewToken, NotApplied, Problem, Receipt, RenewReply, RenewRequest,
    TokenData, TokenForm,
};
use utoipa::ToSchema;

use super::{
    Shared,
    extract::{ApiForm, ApiJson, ApiQuery},
    receipt::Wait,
    reply::{ApiResult, NO_STORE},
};
use crate::service::Counts;

/// Reply of `POST /v1/tokens/revoke`: with `wait=applied` the receipt, else nothing.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Revoked {
    /// Whether every worker knows that could still admit the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    applied: Option<bool>,
    /// Those that do not, after the wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<FeedWorker>)]
    pending: Option<Vec<FeedWorker>>,
    /// Where not applied: why nobody can say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NotApplied)]
    reason: Option<NotApplied>,
}

/// Mints a token, of a session or of a user alone.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", operation_id = "createToken", request_body = NewToken,
    params(("Idempotency-Key" = Option<String>, Header, description = "A string in quotes (RFC 9651) of 16 to 255 characters: the same request with the same key is done once, and has the same answer for ten minutes")),
    responses(
        (status = 201, description = "The token", body = TokenData),
        (status = 409, description = "The session has ended or is suspended", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = Problem,
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
    request_body(content = IntrospectionForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What the token says; of one that may not be used, only that", body = Introspection),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn introspect(
    State(api): State<Shared>,
    ApiForm(form): ApiForm<IntrospectionForm>,
) -> ApiResult<Response> {
    let counts = if form.count_as_use { Counts::AsUse } else { Counts::AsNothing };
    Ok(([NO_STORE], Json(api.service.introspect(&form.token, counts).await?)).into_response())
}

/// The successor of a session's token that is about to expire, or has: the same for all who show it. Asked by the filter.
#[utoipa::path(
    post, path = "/v1/tokens/renew", tag = "filter", operation_id = "renewToken", request_body = RenewRequest,
    responses(
        (status = 200, description = "What is known of the token, and what takes its place", body = RenewReply),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn renew(
    State(api): State<Shared>,
    ApiJson(RenewRequest { token }): ApiJson<RenewRequest>,
) -> ApiResult<Response> {
    Ok(([NO_STORE], Json(api.service.renew(&token).await?)).into_response())
}

/// Revokes a token (RFC 7009). One that is unknown is as good as revoked.
#[utoipa::path(
    post, path = "/v1/tokens/revoke", tag = "tokens", operation_id = "revokeToken", params(Wait),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is revoked. With `wait=applied` the receipt, else an empty object", body = Revoked),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn revoke(
    State(api): State<Shared>,
    ApiQuery(wait): ApiQuery<Wait>,
    ApiForm(form): ApiForm<TokenForm>,
) -> ApiResult<Response> {
    let told = api.service.revoke(&form.token).await?;
    let Receipt { applied, pending, reason } = match wait.receipt(&api, told.at).await {
        Some(receipt) => receipt,
        None => return Ok(([NO_STORE], Json(Revoked::default())).into_response()),
    };
    Ok(([NO_STORE], Json(Revoked { applied: Some(applied), pending: Some(pending), reason })).into_response())
}
