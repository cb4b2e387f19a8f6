use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{LeaseReply, LeaseRequest, Problem};

use super::{
    Shared,
    extract::LargeJson,
    reply::{ApiResult, NO_STORE},
};

/// Leases admissions of rate limits to a worker, and takes back what it has not used. Asked by the filter.
#[utoipa::path(
    post, path = "/v1/leases", tag = "filter", operation_id = "lease", request_body = LeaseRequest,
    responses(
        (status = 200, description = "What came of each question", body = LeaseReply),
        (status = 503, description = "The store has answered to none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn lease(
    State(api): State<Shared>,
    LargeJson(request): LargeJson<LeaseRequest>,
) -> ApiResult<Response> {
    Ok(([NO_STORE], Json(api.service.lease(&request).await?)).into_response())
}
