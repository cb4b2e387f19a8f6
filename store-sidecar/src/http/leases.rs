use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{LeaseReply, LeaseRequest, Problem};

use super::{
    Shared,
    extract::ApiJson,
    feed::check_worker,
    reply::{ApiResult, NO_STORE},
};

/// Settles leases of rate limits, and leases what there is of them; each counter in a step of its own. Asked by the filter.
#[utoipa::path(
    post, path = "/v1/leases", tag = "filter", operation_id = "lease", request_body = LeaseRequest,
    responses(
        (status = 200, description = "What came of each question, in their order", body = LeaseReply),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn lease(
    State(api): State<Shared>,
    ApiJson(request): ApiJson<LeaseRequest>,
) -> ApiResult<Response> {
    check_worker(&request.worker)?;
    Ok(([NO_STORE], Json(api.service.lease(&request).await?)).into_response())
}
