//! Refresh tokens, as RFC 6749 has them.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use session_gate_protocol::{Problem, RefreshError, RefreshErrorCode, RefreshForm, RefreshReply};

use super::{
    Shared,
    detached::detached,
    extract::{ApiForm, Fields, Form},
    reply::{ApiError, ApiResult, NO_STORE},
};
use crate::service::RefreshRefused;

const GRANT_TYPE: &str = "refresh_token";

impl Form for RefreshForm {
    const FIELDS: &[&str] = &["grant_type", "refresh_token", "scope"];

    fn of(mut fields: Fields) -> ApiResult<Self> {
        // Whatever is missing is judged with the kind of grant.
        let [grant_type, refresh_token] =
            ["grant_type", "refresh_token"].map(|name| fields.take(name).unwrap_or_default());
        Ok(Self { grant_type, refresh_token, scope: fields.take("scope") })
    }
}

/// An access token and the next refresh token (RFC 6749, section 6). Each refresh token is used once; one that was replaced long ago ends its session.
#[utoipa::path(
    post, path = "/v1/tokens/refresh", tag = "tokens", operation_id = "refreshToken",
    request_body(content = RefreshForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The tokens", body = RefreshReply),
        (status = 400, description = "It is refused (RFC 6749, section 5.2)", body = RefreshError),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn refresh(
    State(api): State<Shared>,
    form: Result<ApiForm<RefreshForm>, ApiError>,
) -> ApiResult<Response> {
    exchange(api, form).await
}

/// Exchanges the refresh token of the form.
pub(super) async fn exchange(api: Shared, form: Result<ApiForm<RefreshForm>, ApiError>) -> ApiResult<Response> {
    let RefreshForm { grant_type, refresh_token, scope } = match form {
        Ok(ApiForm(form)) => form,
        Err(error) => match error.of_request() {
            Some(why) => return Ok(refused(RefreshErrorCode::InvalidRequest, why)),
            None => return Err(error),
        },
    };
    if grant_type.is_empty() {
        return Ok(refused(RefreshErrorCode::InvalidRequest, "grant_type is missing".to_owned()));
    }
    if grant_type != GRANT_TYPE {
        return Ok(refused(RefreshErrorCode::UnsupportedGrantType, format!("allowed: {GRANT_TYPE}")));
    }
    if refresh_token.is_empty() {
        return Ok(refused(RefreshErrorCode::InvalidRequest, "refresh_token is missing".to_owned()));
    }
    match detached(async move { api.service.refresh(&refresh_token, scope.as_deref()).await }).await? {
        Ok(reply) => Ok(([NO_STORE], Json(reply)).into_response()),
        Err(RefreshRefused::Failed(error)) => Err(error.into()),
        Err(RefreshRefused::Refused(error, why)) => Ok(refused(error, why)),
        Err(RefreshRefused::Reused) => {
            let why = "the refresh token was replaced long ago: its session has ended".to_owned();
            Ok(refused(RefreshErrorCode::InvalidGrant, why))
        }
    }
}

pub(super) fn refused(error: RefreshErrorCode, why: String) -> Response {
    let body = RefreshError { error, error_description: Some(why) };
    (StatusCode::BAD_REQUEST, [NO_STORE], Json(body)).into_response()
}
