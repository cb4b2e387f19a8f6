use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use session_gate_protocol::{NewBlock, NewRevocation, Problem, Receipt, RuleData, RuleId};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    extract::{ApiJson, ApiQuery, Query, RulePath},
    page::PageLimit,
    receipt::{Wait, WithReceipt},
    reply::{ApiResult, NO_STORE},
};
use crate::{feed::RulePage, service::RuleKind};

/// Query of `GET /v1/blocks`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BlocksQuery {
    /// The last rule of the page before; none: from the start.
    #[param(value_type = Option<String>)]
    after: Option<RuleId>,
    /// How many rules at most: 1 to 1,000; none: 100.
    #[serde(default)]
    #[param(value_type = Option<usize>)]
    limit: PageLimit,
}

impl Query for BlocksQuery {
    const NUMBERS: &[&str] = &["limit"];
}

/// Reply of `GET /v1/blocks`.
#[derive(Serialize, ToSchema)]
pub(super) struct Blocks {
    /// The rules, in the order of their ids.
    blocks: Vec<RuleData>,
    /// Whether there are more: ask again, `after` the last of these.
    more: bool,
}

/// Refuses clients or a user, whatever their tokens. The same again replaces its end.
#[utoipa::path(
    post, path = "/v1/blocks", tag = "rules", operation_id = "block", request_body = NewBlock, params(Wait),
    responses(
        (status = 201, description = "The rule", body = WithReceipt<RuleData>),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn block(
    State(api): State<Shared>,
    ApiQuery(wait): ApiQuery<Wait>,
    ApiJson(new): ApiJson<NewBlock>,
) -> ApiResult<Response> {
    let told = api.service.block(new).await?;
    Ok((StatusCode::CREATED, [NO_STORE], Json(wait.with_receipt(&api, told).await)).into_response())
}

/// The block list, in pages.
#[utoipa::path(
    get, path = "/v1/blocks", tag = "rules", operation_id = "listBlocks", params(BlocksQuery),
    responses(
        (status = 200, description = "A page of the block list", body = Blocks),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn list(State(api): State<Shared>, ApiQuery(query): ApiQuery<BlocksQuery>) -> ApiResult<Response> {
    let RulePage { rules, more } = api.service.blocks(query.after.as_ref(), query.limit.0).await?;
    Ok(([NO_STORE], Json(Blocks { blocks: rules, more })).into_response())
}

/// Takes a rule off the block list. One that is not there is as good as removed.
#[utoipa::path(
    delete, path = "/v1/blocks/{rule_id}", tag = "rules", operation_id = "unblock",
    params(("rule_id" = String, Path, description = "The rule's id"), Wait),
    responses(
        (status = 200, description = "It is no more; with `wait=applied` only", body = Receipt),
        (status = 204, description = "It is no more"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn unblock(
    State(api): State<Shared>,
    RulePath(id): RulePath,
    ApiQuery(wait): ApiQuery<Wait>,
) -> ApiResult<Response> {
    let told = api.service.remove_rule(RuleKind::Block, id).await?;
    Ok(wait.receipt_alone(&api, told.at).await)
}

/// Revokes tokens of another issuer: all to which everything applies that is given. The same again replaces its end.
#[utoipa::path(
    post, path = "/v1/revocations", tag = "rules", operation_id = "revokeForeign", request_body = NewRevocation,
    params(Wait),
    responses(
        (status = 201, description = "The rule", body = WithReceipt<RuleData>),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn revoke(
    State(api): State<Shared>,
    ApiQuery(wait): ApiQuery<Wait>,
    ApiJson(new): ApiJson<NewRevocation>,
) -> ApiResult<Response> {
    let told = api.service.revoke_foreign(new).await?;
    Ok((StatusCode::CREATED, [NO_STORE], Json(wait.with_receipt(&api, told).await)).into_response())
}

/// Takes back a revocation of another issuer's tokens. One that is not there is as good as taken back.
#[utoipa::path(
    delete, path = "/v1/revocations/{rule_id}", tag = "rules", operation_id = "removeRevocation",
    params(("rule_id" = String, Path, description = "The rule's id"), Wait),
    responses(
        (status = 200, description = "It is no more; with `wait=applied` only", body = Receipt),
        (status = 204, description = "It is no more"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn unrevoke(
    State(api): State<Shared>,
    RulePath(id): RulePath,
    ApiQuery(wait): ApiQuery<Wait>,
) -> ApiResult<Response> {
    let told = api.service.remove_rule(RuleKind::Revocation, id).await?;
    Ok(wait.receipt_alone(&api, told.at).await)
}
