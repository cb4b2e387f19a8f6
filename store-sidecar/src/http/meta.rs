use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use session_gate_protocol::{JwkSet, Problem, ProblemCode, PublishedPolicy};
use utoipa::ToSchema;

use super::{
    Shared,
    reply::{ApiError, ApiResult, NO_STORE},
};
use crate::metrics::Format;

/// Reply of `GET /healthz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Healthy {
    /// `healthy`.
    status: &'static str,
}

/// Reply of `GET /readyz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`.
    status: &'static str,
    /// Which store answers: `memory` or `redis`.
    store: &'static str,
}

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz",
    responses((status = 200, description = "It is", body = Healthy))
)]
pub(super) async fn healthz() -> Json<Healthy> {
    Json(Healthy { status: "healthy" })
}

/// Whether requests can be served: whether the store answers.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses(
        (status = 200, description = "They can", body = Ready),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(api): State<Shared>) -> ApiResult<Response> {
    let health = api.service.health().await?;
    Ok(([NO_STORE], Json(Ready { status: "ready", store: health.backend })).into_response())
}

/// All metrics: in the OpenMetrics text format for who asks for it, else in Prometheus' older one.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "The metrics",
        content((String = "application/openmetrics-text"), (String = "text/plain")))),
    security((), ("bearer" = []))
)]
pub(super) async fn metrics(State(api): State<Shared>, headers: HeaderMap) -> ApiResult<Response> {
    let metrics = api.service.metrics();
    let health = api.service.health().await.ok();
    metrics.store_health(health.as_ref());
    api.service.feed().measure();
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accept.collect::<Vec<_>>().join(","));
    let text = metrics.render(format).map_err(|_| ApiError::from(Problem::new(ProblemCode::Internal)))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()))], text).into_response())
}

/// The public keys that verify tokens; never a shared secret.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "keys", operation_id = "publicKeys",
    responses((status = 200, description = "The keys", body = JwkSet, content_type = "application/jwk-set+json"))
)]
pub(super) async fn jwks(State(api): State<Shared>) -> Response {
    // Short enough that a new key is known everywhere long before it signs.
    let cached = (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    key_set(&api.service.keys().public_keys(), cached)
}

/// All keys that verify tokens, **shared secrets included**. Asked by the filter.
#[utoipa::path(
    get, path = "/v1/keys", tag = "filter", operation_id = "verificationKeys",
    responses(
        (status = 200, description = "The keys", body = JwkSet, content_type = "application/jwk-set+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn keys(State(api): State<Shared>) -> Response {
    key_set(&api.service.keys().verification_keys(), NO_STORE)
}

fn key_set(keys: &JwkSet, cache: (header::HeaderName, HeaderValue)) -> Response {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    ([cache, content_type], serde_json::to_string(keys).unwrap_or_default()).into_response()
}

/// The rules that the login service follows, and the durations in force.
#[utoipa::path(
    get, path = "/v1/policy", tag = "login", operation_id = "policy",
    responses(
        (status = 200, description = "The rules", body = PublishedPolicy),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn policy(State(api): State<Shared>) -> Json<PublishedPolicy> {
    Json(api.policy.clone())
}
