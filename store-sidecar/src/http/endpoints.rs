//! What clients ask of the gate itself, through Envoy and the filter. No role may call these and anybody may: only the token
//! that is shown counts, whoever brings it. What the filter, or somebody in its place, says in other headers is not read.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use session_gate_protocol::{
    OwnSession, Problem, ProblemCode, RefreshError, RefreshErrorCode, RefreshForm, RefreshReply,
};

use super::{
    Shared,
    auth::bearer,
    extract::ApiForm,
    refresh::{exchange, refused},
    reply::{ApiError, ApiResult, NO_STORE},
};

/// Whose session it is, and until when: the session of the bearer token that is shown. No use of the session.
#[utoipa::path(
    get, path = "/.session-gate/session", tag = "clients", operation_id = "ownSession",
    responses(
        (status = 200, description = "The session", body = OwnSession),
        (status = 401, description = "There is no session, or it has ended", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn session(State(api): State<Shared>, headers: HeaderMap) -> ApiResult<Response> {
    let found = match bearer(&headers) {
        Some(token) => api.service.own_session(token).await?,
        None => None,
    };
    match found {
        Some(session) => Ok(([NO_STORE], Json(session)).into_response()),
        None => Err(Problem::new(ProblemCode::CredentialInvalid).into()),
    }
}

/// An access token and the next refresh token (RFC 6749, section 6), for a client of the gate's: as `POST /v1/tokens/refresh`, without a
/// credential beside the refresh token.
#[utoipa::path(
    post, path = "/.session-gate/token", tag = "clients", operation_id = "exchangeRefreshToken",
    request_body(content = RefreshForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The tokens", body = RefreshReply),
        (status = 400, description = "It is refused (RFC 6749, section 5.2)", body = RefreshError),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn token(
    State(api): State<Shared>,
    uri: Uri,
    form: Result<ApiForm<RefreshForm>, ApiError>,
) -> ApiResult<Response> {
    // RFC 6749, section 3.2: whatever is in a URL is in logs, too.
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let why = "parameters must be in the body, and none in the URL".to_owned();
        return Ok(refused(RefreshErrorCode::InvalidRequest, why));
    }
    exchange(api, form).await
}
