//! Lets a request through to a route if its credential's role is one of those that may use that.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use session_gate_protocol::{Problem, ProblemCode};

use super::{Api, browser, reply::ApiError};
use crate::credentials::{Access, Role};

pub(super) async fn require(
    State((api, roles)): State<(Arc<Api>, &'static [Role])>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let credentials = api.credentials.get();
    if credentials.is_open() && browser::is_foreign_page(request.uri(), request.headers()) {
        let detail = "no credentials are configured: then only programs and pages of this machine may call";
        let problem = Problem::new(ProblemCode::CredentialNotPermitted);
        return Err(Problem { detail: Some(detail.to_owned()), ..problem }.into());
    }
    match credentials.access(roles, bearer(request.headers())) {
        Access::Granted => Ok(next.run(request).await),
        Access::NotAuthenticated => Err(Problem::new(ProblemCode::CredentialInvalid).into()),
        Access::NotPermitted => Err(Problem::new(ProblemCode::CredentialNotPermitted).into()),
    }
}

/// The request's one bearer credential (RFC 6750, section 2.1); two are as good as none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(credential.trim_start_matches(' '))
}
