use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use session_gate_protocol::{LimitOverrideData, NewLimitOverride, Problem, ProblemCode, Receipt};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    extract::{ApiJson, ApiQuery, LimitPath, Query},
    page::PageLimit,
    receipt::{Wait, WithReceipt},
    reply::{ApiResult, NO_STORE},
};
use crate::feed::OverridePage;

/// Query of `GET /v1/limits/overrides`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OverridesQuery {
    /// The last key of the page before; none: from the start.
    after: Option<String>,
    /// How many keys at most: 1 to 1,000; none: 100.
    #[serde(default)]
    #[param(value_type = Option<usize>)]
    limit: PageLimit,
}

impl Query for OverridesQuery {
    const NUMBERS: &[&str] = &["limit"];
}

/// Reply of `GET /v1/limits/overrides`.
#[derive(Serialize, ToSchema)]
pub(super) struct LimitOverrides {
    /// The keys that have limits of their own, in their order.
    overrides: Vec<LimitOverrideData>,
    /// Whether there are more: ask again, `after` the last of these.
    more: bool,
}

/// Gives one key of a limit another number of requests, in the place of what it had.
#[utoipa::path(
    put, path = "/v1/limits/overrides/{key}", tag = "limits", operation_id = "overrideLimit",
    request_body = NewLimitOverride,
    params(("key" = String, Path, description = "Which key of which limit, such as `api:issuer=session-gate&user=alice`, percent-encoded"), Wait),
    responses(
        (status = 200, description = "The key's limit", body = WithReceipt<LimitOverrideData>),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn put(
    State(api): State<Shared>,
    LimitPath(key): LimitPath,
    ApiQuery(wait): ApiQuery<Wait>,
    ApiJson(new): ApiJson<NewLimitOverride>,
) -> ApiResult<Response> {
    let told = api.service.override_limit(&key, new).await?;
    Ok(([NO_STORE], Json(wait.with_receipt(&api, told).await)).into_response())
}

/// The keys that have limits of their own, in pages.
#[utoipa::path(
    get, path = "/v1/limits/overrides", tag = "limits", operation_id = "listLimitOverrides", params(OverridesQuery),
    responses(
        (status = 200, description = "A page of the keys", body = LimitOverrides),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn list(State(api): State<Shared>, ApiQuery(query): ApiQuery<OverridesQuery>) -> ApiResult<Response> {
    let limit = query.limit.0;
    let OverridePage { overrides, more } = api.service.limit_overrides(query.after.as_deref(), limit).await?;
    Ok(([NO_STORE], Json(LimitOverrides { overrides, more })).into_response())
}

/// The limit that one key has of its own.
#[utoipa::path(
    get, path = "/v1/limits/overrides/{key}", tag = "limits", operation_id = "readLimitOverride",
    params(("key" = String, Path, description = "Which key of which limit, percent-encoded")),
    responses(
        (status = 200, description = "The key's limit", body = LimitOverrideData),
        (status = 404, description = "It has none of its own", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn read(State(api): State<Shared>, LimitPath(key): LimitPath) -> ApiResult<Response> {
    let detail = || Some("the key has no limit of its own".to_owned());
    let found = api.service.limit_override(&key).await?;
    let found = found.ok_or_else(|| Problem { detail: detail(), ..Problem::new(ProblemCode::NotFound) })?;
    Ok(([NO_STORE], Json(found)).into_response())
}

/// Takes the limit away that one key has of its own. One that is not there is as good as removed.
#[utoipa::path(
    delete, path = "/v1/limits/overrides/{key}", tag = "limits", operation_id = "removeLimitOverride",
    params(("key" = String, Path, description = "Which key of which limit, percent-encoded"), Wait),
    responses(
        (status = 200, description = "It is no more; with `wait=applied` only", body = Receipt),
        (status = 204, description = "It is no more"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn remove(
    State(api): State<Shared>,
    LimitPath(key): LimitPath,
    ApiQuery(wait): ApiQuery<Wait>,
) -> ApiResult<Response> {
    let told = api.service.remove_override(&key).await?;
    Ok(wait.receipt_alone(&api, told.at).await)
}
