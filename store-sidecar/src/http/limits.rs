use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use session_gate_protocol::{LimitOverrideData, NewLimitOverride, Problem, ProblemCode, Receipt, RuleId};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    extract::{ApiJson, ApiQuery, LimitPath, Query, page_limit},
    receipt::{Wait, WithReceipt},
    reply::{ApiResult, NO_STORE},
};
use crate::service::OverridePage;

/// Query of `GET /v1/limits/overrides`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OverridesQuery {
    /// `next` of the page before; none: from the start.
    #[param(value_type = Option<String>)]
    after: Option<RuleId>,
    /// How many at most: 1 to 1,000; none: 100.
    limit: Option<usize>,
}

impl Query for OverridesQuery {
    const NUMBERS: &[&str] = &["limit"];
}

/// Reply of `GET /v1/limits/overrides`.
#[derive(Serialize, ToSchema)]
pub(super) struct Overrides {
    /// The overrides, in no order that means anything.
    overrides: Vec<LimitOverrideData>,
    /// The next query's `after`; none: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next: Option<RuleId>,
}

/// Gives one key of a limit another number of requests, in the place of what it had. In force everywhere at once.
#[utoipa::path(
    put, path = "/v1/limits/overrides/{key}", tag = "limits", operation_id = "overrideLimit",
    request_body = NewLimitOverride,
    params(("key" = String, Path, description = "The limit's name, a colon, and the key's parts as in a form"), Wait),
    responses(
        (status = 200, description = "The override", body = WithReceipt<LimitOverrideData>),
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

/// The override of one key.
#[utoipa::path(
    get, path = "/v1/limits/overrides/{key}", tag = "limits", operation_id = "limitOverride",
    params(("key" = String, Path, description = "The limit's name, a colon, and the key's parts as in a form")),
    responses(
        (status = 200, description = "The override", body = LimitOverrideData),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn read(State(api): State<Shared>, LimitPath(key): LimitPath) -> ApiResult<Response> {
    match api.service.limit_override(&key).await? {
        Some(data) => Ok(([NO_STORE], Json(data)).into_response()),
        None => Err(Problem::new(ProblemCode::NotFound).into()),
    }
}

/// The overrides in force, in pages.
#[utoipa::path(
    get, path = "/v1/limits/overrides", tag = "limits", operation_id = "listLimitOverrides", params(OverridesQuery),
    responses(
        (status = 200, description = "A page of the overrides", body = Overrides),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn list(State(api): State<Shared>, ApiQuery(query): ApiQuery<OverridesQuery>) -> ApiResult<Response> {
    let page = api.service.limit_overrides(query.after.as_ref(), page_limit(query.limit)?).await?;
    let OverridePage { overrides, next } = page;
    Ok(([NO_STORE], Json(Overrides { overrides, next })).into_response())
}

/// Takes an override back. One that is not there is as good as taken back.
#[utoipa::path(
    delete, path = "/v1/limits/overrides/{key}", tag = "limits", operation_id = "removeLimitOverride",
    params(("key" = String, Path, description = "The limit's name, a colon, and the key's parts as in a form"), Wait),
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
    let told = api.service.remove_limit_override(&key).await?;
    Ok(wait.receipt_alone(&api, told.at).await)
}
