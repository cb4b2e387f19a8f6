use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use session_gate_protocol::{
    ETag, NewSession, Problem, Receipt, SessionData, SessionId, SessionLimitProblem, SessionList, SessionPatch,
    Terminated,
};
use utoipa::IntoParams;

use super::{
    Shared,
    detached::detached_or,
    extract::{ApiJson, ApiQuery, IfMatch, MergePatch, Query, SessionPath, UserPath, wrong_field},
    page::PageLimit,
    receipt::{Wait, WaitFor, WithReceipt},
    reply::{ApiResult, NO_STORE},
};
use crate::{
    metrics::EndReason,
    service::ServiceError,
    store::{IndexPlace, PageAsk},
};

/// A header made of a session's id or version; neither has a character that a header can't hold.
fn header_of(name: HeaderName, text: String) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::try_from(text).ok().map(|value| (name, value))
}

fn with_etag(status: StatusCode, version: u64, body: impl Serialize) -> Response {
    let etag = header_of(header::ETAG, ETag(version).to_string());
    let mut response = (status, [NO_STORE], Json(body)).into_response();
    response.headers_mut().extend(etag);
    response
}

/// Creates a session.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", operation_id = "createSession", request_body = NewSession,
    params(("Idempotency-Key" = Option<String>, Header, description = "A string in quotes (RFC 9651) of 16 to 255 characters: the same request with the same key is done once, and has the same answer for ten minutes")),
    responses(
        (status = 201, description = "Created", body = SessionData,
            headers(("Location", description = "Where it is"), ("ETag", description = "Its version"))),
        (status = 409, description = "The user has as many sessions as allowed", body = SessionLimitProblem,
            content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn create(State(api): State<Shared>, ApiJson(new): ApiJson<NewSession>) -> ApiResult<Response> {
    // Others may end by it, and then everybody must be told, be its caller there or not.
    let undoing = Arc::clone(&api);
    let undo = async move |made: Result<SessionData, ServiceError>| {
        if let Ok(session) = made {
            undoing.service.unclaimed(&session.session_id).await;
        }
    };
    let session = detached_or(async move { api.service.create_session(new).await }, undo).await??;
    let location = header_of(header::LOCATION, format!("/v1/sessions/{}", session.session_id));
    let mut response = with_etag(StatusCode::CREATED, session.version, session);
    response.headers_mut().extend(location);
    Ok(response)
}

/// Reads a session; an ended one too, while it is known.
#[utoipa::path(
    get, path = "/v1/sessions/{session_id}", tag = "sessions", operation_id = "readSession",
    params(("session_id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session", body = SessionData,
            headers(("ETag", description = "Its version"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn read(State(api): State<Shared>, SessionPath(id): SessionPath) -> ApiResult<Response> {
    let session = api.service.session(&id).await?;
    Ok(with_etag(StatusCode::OK, session.version, session))
}

/// Changes a session: a JSON merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/v1/sessions/{session_id}", tag = "sessions", operation_id = "updateSession",
    params(
        ("session_id" = String, Path, description = "The session's id"),
        ("If-Match" = Option<String>, Header, description = "Change it only if it has this version"),
        Wait,
    ),
    request_body(content(
        (SessionPatch = "application/merge-patch+json"),
        (SessionPatch = "application/json"),
    )),
    responses(
        (status = 200, description = "The session as it is now", body = WithReceipt<SessionData>,
            headers(("ETag", description = "Its version"))),
        (status = 409, description = "It has ended, or its status cannot change that way", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Problem,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn update(
    State(api): State<Shared>,
    SessionPath(id): SessionPath,
    IfMatch(expected): IfMatch,
    ApiQuery(wait): ApiQuery<Wait>,
    MergePatch(patch): MergePatch<SessionPatch>,
) -> ApiResult<Response> {
    let told = api.service.update_session(&id, &patch, expected).await?;
    let version = told.done.version;
    Ok(with_etag(StatusCode::OK, version, wait.with_receipt(&api, told).await))
}

/// Ends a session. One that has ended already stays so.
#[utoipa::path(
    delete, path = "/v1/sessions/{session_id}", tag = "sessions", operation_id = "terminateSession",
    params(("session_id" = String, Path, description = "The session's id"), Wait),
    responses(
        (status = 200, description = "It has ended; with `wait=applied` only", body = Receipt),
        (status = 204, description = "It has ended"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn terminate(
    State(api): State<Shared>,
    SessionPath(id): SessionPath,
    ApiQuery(wait): ApiQuery<Wait>,
) -> ApiResult<Response> {
    let told = api.service.terminate_session(&id, EndReason::Deleted).await?;
    Ok(wait.receipt_alone(&api, told.at).await)
}

/// Query of `GET /v1/users/{user_id}/sessions`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The `next` of the page before; none: from the start.
    after: Option<String>,
    /// How many sessions at most: 1 to 1,000; none: 100.
    #[serde(default)]
    #[param(value_type = Option<usize>)]
    limit: PageLimit,
}

impl Query for ListQuery {
    const NUMBERS: &[&str] = &["limit"];
}

/// Query of `DELETE /v1/users/{user_id}/sessions`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EndQuery {
    /// The session that goes on; none: all end.
    except: Option<SessionId>,
    /// `applied`: answer when every worker has applied the change, or has stopped trusting what it knew before; and say
    /// which have not, after at most the longest such time and a second.
    wait: Option<WaitFor>,
}

impl Query for EndQuery {
    const NUMBERS: &[&str] = &[];
}

/// The user's sessions that have not ended, in pages, the one that expires last first, without their metadata.
#[utoipa::path(
    get, path = "/v1/users/{user_id}/sessions", tag = "sessions", operation_id = "listUserSessions",
    params(("user_id" = String, Path, description = "The user's id, percent-encoded"), ListQuery),
    responses(
        (status = 200, description = "A page of the sessions", body = SessionList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn list_of_user(
    State(api): State<Shared>,
    UserPath(user): UserPath,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> ApiResult<Response> {
    let limit = query.limit.0;
    let no_place = || wrong_field("after", "must be the `next` of the page before".to_owned());
    let after = query.after.map(|after| IndexPlace::parse(&after).ok_or_else(no_place)).transpose()?;
    let sessions = api.service.user_sessions(&user, &PageAsk { after, limit }).await?;
    Ok(([NO_STORE], Json(sessions)).into_response())
}

/// Ends all sessions of a user, or all but one.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}/sessions", tag = "sessions", operation_id = "terminateUserSessions",
    params(("user_id" = String, Path, description = "The user's id, percent-encoded"), EndQuery),
    responses(
        (status = 200, description = "How many ended", body = WithReceipt<Terminated>),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn terminate_of_user(
    State(api): State<Shared>,
    UserPath(user): UserPath,
    ApiQuery(query): ApiQuery<EndQuery>,
) -> ApiResult<Json<WithReceipt<Terminated>>> {
    let told = api.service.terminate_user_sessions(&user, query.except.as_ref(), EndReason::UserDeleted).await?;
    let wait = Wait { wait: query.wait };
    Ok(Json(wait.with_receipt(&api, told).await))
}
