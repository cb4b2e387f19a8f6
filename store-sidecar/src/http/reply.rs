//! What goes back: JSON, or a problem. The one place where an error becomes an answer.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use session_gate_protocol::{Problem, ProblemCode, SessionLimitProblem};

use crate::{
    logging::chain,
    service::{LimitReached, ServiceError},
    store::{StoreError, StoreErrorKind},
};

/// What a handler answers.
pub(super) type ApiResult<T> = Result<T, ApiError>;

/// An error, ready to be answered; what only the log may know has been logged.
#[derive(Debug)]
pub(super) struct ApiError {
    body: Box<Body>,
    /// After how many seconds to come again; none: the problem's own time.
    retry_after: Option<u64>,
}

/// What it is answered with.
#[derive(Debug)]
enum Body {
    Problem(Problem),
    SessionLimit(SessionLimitProblem),
}

impl Body {
    const fn problem(&self) -> &Problem {
        match self {
            Self::Problem(problem) | Self::SessionLimit(SessionLimitProblem { problem, .. }) => problem,
        }
    }
}

/// What no cache may keep (RFC 9111, section 5.2.2.5).
pub(super) const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

impl ApiError {
    /// What is wrong with the form of the request, if that is what was wrong.
    pub(super) fn of_request(&self) -> Option<String> {
        let problem = self.body.problem();
        let fields = problem.errors.iter().map(|error| format!("{} {}", error.field, error.message));
        let is_of_request = matches!(problem.code, ProblemCode::InvalidRequest | ProblemCode::UnsupportedMediaType);
        is_of_request.then(|| problem.detail.clone().into_iter().chain(fields).collect::<Vec<_>>().join("; "))
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self { body: Box::new(Body::Problem(problem)), retry_after: None }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let problem = |code, detail: Option<String>| Problem { detail, ..Problem::new(code) };
        let retry_after = match error {
            ServiceError::LoginLocked { retry_after } => Some(retry_after),
            _ => None,
        };
        let problem = match error {
            ServiceError::IdempotencyInProgress => Problem::new(ProblemCode::IdempotencyInProgress),
            ServiceError::IdempotencyKeyReused => Problem::new(ProblemCode::IdempotencyKeyReused),
            ServiceError::Internal(source) => {
                tracing::error!(error = %chain(&*source), "the service failed");
                Problem::new(ProblemCode::Internal)
            }
            ServiceError::Invalid(errors) => Problem { errors, ..Problem::new(ProblemCode::InvalidRequest) },
            ServiceError::LoginLocked { .. } => Problem::new(ProblemCode::LoginLocked),
            ServiceError::RuleOfAnotherKind { removed_at } => {
                let detail = format!("this id is of another kind of rule, which is removed at {removed_at}");
                problem(ProblemCode::NotFound, Some(detail))
            }
            ServiceError::SessionLimitReached(reached) => {
                let LimitReached { max, sessions, takeover } = *reached;
                let body = Box::new(Body::SessionLimit(SessionLimitProblem {
                    problem: Problem::new(ProblemCode::SessionLimitReached),
                    max_sessions: u64::try_from(max).unwrap_or(u64::MAX),
                    sessions,
                    takeover: takeover.map(|handle| handle.expose().to_owned()),
                }));
                return Self { body, retry_after: None };
            }
            ServiceError::SessionNotFound => {
                problem(ProblemCode::NotFound, Some("there is no such session".to_owned()))
            }
            ServiceError::TokenUnknown => {
                problem(ProblemCode::NotFound, Some("the token is none of this service's".to_owned()))
            }
            ServiceError::StateConflict(detail) => problem(ProblemCode::StateConflict, Some(detail)),
            ServiceError::Store(error) => Problem::new(of_store(&error)),
            ServiceError::VersionMismatch { current } => {
                problem(ProblemCode::VersionMismatch, Some(format!("its ETag is {current} now")))
            }
        };
        Self { retry_after, ..problem.into() }
    }
}

/// The answer to a request that the store failed.
pub(super) fn stored(error: StoreError) -> ApiError {
    ServiceError::Store(error).into()
}

fn of_store(error: &StoreError) -> ProblemCode {
    tracing::warn!(error = %chain(error), "the store failed");
    match error.kind() {
        StoreErrorKind::Refused | StoreErrorKind::Timeout | StoreErrorKind::Unavailable | StoreErrorKind::Unfit => {
            ProblemCode::StoreUnavailable
        }
        StoreErrorKind::Conflict => ProblemCode::Contended,
        StoreErrorKind::Corrupt | StoreErrorKind::Full => ProblemCode::Internal,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { body, retry_after } = self;
        let problem = body.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = problem.code;
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = match *body {
            Body::Problem(problem) => (status, [NO_STORE], Json(problem)).into_response(),
            Body::SessionLimit(problem) => (status, [NO_STORE], Json(problem)).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        match code {
            ProblemCode::CredentialInvalid => {
                let challenge = HeaderValue::from_static("Bearer realm=\"session-gate\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            ProblemCode::Contended | ProblemCode::IdempotencyInProgress | ProblemCode::StoreUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
