use std::time::Duration;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use session_gate_protocol::{JwkSet, KeysReply, Problem, ProblemCode, PublishedPolicy};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    reply::{ApiError, ApiResult, NO_STORE},
};
use crate::{
    feed::FeedStatus,
    metrics::Format,
    readiness::{NotReady, StoreState},
};

/// Reply of `GET /healthz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Healthy {
    /// `healthy`, or `stuck`.
    status: &'static str,
}

/// Query of `GET /readyz`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it stands in the OpenAPI document only")]
pub(super) struct Verbose {
    /// Whether the reply is to say how the store and the feed are; the value does not matter.
    verbose: Option<String>,
}

/// Reply of `GET /readyz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`; or why requests should go to another replica: `starting` (it has not read the change feed yet), `stopping`,
    /// or `store_unfit` (Redis is set up so that it must not be used: the log says how).
    status: &'static str,
    /// With `verbose`: the store, as it was when it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreView>,
    /// With `verbose`: the change feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<FeedView>,
}

/// How the store is.
#[derive(Serialize, ToSchema)]
pub(super) struct StoreView {
    /// `ok`, or why it did not answer: `timeout`, `unavailable`, `unfit` …
    state: &'static str,
    /// Which store it is, if it answered: `memory` or `redis`.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'static str>,
    /// How long ago it was looked at, in milliseconds.
    looked_ms: u64,
}

/// How the change feed is.
#[derive(Serialize, ToSchema)]
pub(super) struct FeedView {
    /// How long ago what is known was all there was, in milliseconds; absent: it has never been read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    /// How many workers follow it here.
    workers: u64,
    /// Whether the store accepts the record of new ones: until then these may not trust what they are told.
    registers: bool,
}

/// Whether the process is alive: whether what reads the change feed is at work.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz",
    responses(
        (status = 200, description = "It is", body = Healthy),
        (status = 503, description = "It must be started anew", body = Healthy),
    )
)]
pub(super) async fn healthz(State(api): State<Shared>) -> (StatusCode, Json<Healthy>) {
    if api.service.feed().is_turning() {
        (StatusCode::OK, Json(Healthy { status: "healthy" }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Healthy { status: "stuck" }))
    }
}

/// Whether requests should be sent here: the change feed has been read to its end once, and the process is not about to
/// stop. A store that is away makes no replica unready.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz", params(Verbose),
    responses(
        (status = 200, description = "They should", body = Ready),
        (status = 503, description = "They should go to another replica", body = Ready),
    )
)]
pub(super) async fn readyz(State(api): State<Shared>, RawQuery(query): RawQuery) -> Response {
    // Whatever else a prober sends is no reason to take a replica for unready.
    let is_verbose = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| name == "verbose");
    let problem = api.service.not_ready();
    let status = if problem.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut ready = Ready { status: problem.map_or("ready", NotReady::as_str), store: None, feed: None };
    if is_verbose {
        let StoreState { health, seen } = api.service.store_state().await;
        ready.store = Some(StoreView {
            state: health.as_ref().err().map_or("ok", |kind| kind.as_str()),
            backend: health.ok().map(|health| health.backend),
            looked_ms: millis(seen.elapsed()),
        });
        let FeedStatus { age, followers } = api.service.feed().status();
        let workers = u64::try_from(followers.workers).unwrap_or(u64::MAX);
        ready.feed = Some(FeedView { age_ms: age.map(millis), workers, registers: followers.registers });
    }
    (status, [NO_STORE], Json(ready)).into_response()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
    let StoreState { health, seen: _ } = api.service.store_state().await;
    metrics.store_health(health.ok().as_ref());
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

/// All keys that verify tokens, **shared secrets included**, and what is in force. Asked by the filter.
#[utoipa::path(
    get, path = "/v1/keys", tag = "filter", operation_id = "verificationKeys",
    responses(
        (status = 200, description = "The keys", body = KeysReply, content_type = "application/jwk-set+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn keys(State(api): State<Shared>) -> Response {
    let JwkSet { keys } = api.service.keys().verification_keys();
    key_set(&KeysReply { keys, policy: Some(api.policy.clone()) }, NO_STORE)
}

fn key_set(keys: &impl Serialize, cache: (header::HeaderName, HeaderValue)) -> Response {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    ([cache, content_type], serde_json::to_string(keys).unwrap_or_default()).into_response()
}

/// What the sidecar's configuration says is in force: rules for the login service and for filters, and durations.
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
