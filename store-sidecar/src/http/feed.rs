use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use session_gate_protocol::{
    Activity, FeedCursor, FeedEntry, FeedQuery, FeedReply, FeedWorkers, MAX_STALENESS, Problem,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    extract::{ApiJson, ApiQuery, Query, wrong_field},
    page::PageLimit,
    protocol::Protocol,
    reply::{ApiResult, NO_STORE, stored},
};
use crate::service::{MAX_WORKER_CHARS, is_worker_name};

/// Query of `GET /v1/revocations`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationsQuery {
    /// Where the page before ended; none: from the start.
    #[serde(default)]
    after: FeedCursor,
    /// How many entries at most: 1 to 1,000; none: 100.
    #[serde(default)]
    #[param(value_type = Option<usize>)]
    limit: PageLimit,
}

/// Reply of `GET /v1/revocations`: entries of the feed that are still of use, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Revocations {
    /// Up to where this page goes: the next query's `after`.
    cursor: FeedCursor,
    /// Whether there are more.
    more: bool,
    /// The entries.
    entries: Vec<FeedEntry>,
}

impl Query for FeedQuery {
    const NUMBERS: &[&str] = &["max_staleness_ms", "wait_ms"];
}

impl Query for RevocationsQuery {
    const NUMBERS: &[&str] = &["limit"];
}

/// What has changed since the place that a worker knows; held back while there is nothing to say. Asked by the filter.
#[utoipa::path(
    get, path = "/v1/feed", tag = "filter", operation_id = "feed", params(FeedQuery),
    responses(
        (status = 200, description = "What the worker does not know, in pages of about 192 KiB", body = FeedReply),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn feed(
    State(api): State<Shared>,
    protocol: Protocol,
    ApiQuery(query): ApiQuery<FeedQuery>,
) -> ApiResult<Response> {
    if !is_worker_name(&query.worker) {
        return Err(wrong_field("worker", format!("must be 1 to {MAX_WORKER_CHARS} visible ASCII characters")));
    }
    if query.epoch.as_deref().is_some_and(|epoch| !is_epoch(epoch)) {
        return Err(wrong_field("epoch", "must be 32 hexadecimal digits in lower case".to_owned()));
    }
    let longest = MAX_STALENESS.as_millis();
    if !(1..=longest).contains(&query.max_staleness_ms.into()) {
        return Err(wrong_field("max_staleness_ms", format!("must be 1 to {longest}")));
    }
    let reply = api.service.feed().poll(&query).await.map_err(stored)?;
    Ok(([NO_STORE], Json(protocol.feed(reply))).into_response())
}

/// Who follows the feed, how far, and how long ago each was heard of.
#[utoipa::path(
    get, path = "/v1/workers", tag = "operations", operation_id = "workers",
    responses(
        (status = 200, description = "The workers, of every replica of the sidecar", body = FeedWorkers),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn workers(State(api): State<Shared>) -> ApiResult<Response> {
    Ok(([NO_STORE], Json(api.service.feed().workers().await.map_err(stored)?)).into_response())
}

/// What is revoked, ended or suspended and still of use to know: the feed, in pages.
#[utoipa::path(
    get, path = "/v1/revocations", tag = "sessions", operation_id = "listRevocations", params(RevocationsQuery),
    responses(
        (status = 200, description = "A page of the feed, oldest first", body = Revocations),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn revocations(
    State(api): State<Shared>,
    ApiQuery(query): ApiQuery<RevocationsQuery>,
) -> ApiResult<Response> {
    let limit = query.limit.0;
    let (entries, cursor, more) = api.service.feed().entries(query.after, limit).map_err(stored)?;
    Ok(([NO_STORE], Json(Revocations { cursor, more, entries })).into_response())
}

/// Notes that requests have used sessions. Asked by the filter.
#[utoipa::path(
    post, path = "/v1/activity", tag = "filter", operation_id = "activity", request_body = Activity,
    responses(
        (status = 204, description = "Noted"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn activity(State(api): State<Shared>, ApiJson(activity): ApiJson<Activity>) -> ApiResult<StatusCode> {
    api.service.note_activity(&activity.sessions).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The id of an epoch, as every store makes it.
fn is_epoch(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
