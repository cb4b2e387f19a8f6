//! Around every request: an id, one log line, and the request metrics.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use session_gate_protocol::{Problem, ProblemCode};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Api, reply::ApiError};
use crate::{
    readiness::NotReady,
    rng::{Random, random_bytes},
};

/// Names a request to the caller, to Envoy's access log and to ours.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 128;

pub(super) async fn observe(
    State((api, random)): State<(Arc<Api>, Arc<dyn Random>)>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let id = request_id(&request, &*random);
    let method = method_name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    // Nothing is known to panic. If something does, its caller is answered and the others' connection goes on.
    let answered = AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!(method, route, "a handler has panicked"));
        ApiError::from(Problem::new(ProblemCode::Internal)).into_response()
    });
    let took = start.elapsed();
    let status = response.status().as_u16();
    api.service.metrics().http_answered(route, method, status, took);
    let took_us = took.as_micros();
    span.in_scope(|| match route {
        // Asked all the time by machines.
        "/healthz" | "/readyz" | "/metrics" | "/v1/activity" | "/v1/feed" => {
            tracing::debug!(method, route, status, took_us, "answered")
        }
        _ => tracing::info!(method, route, status, took_us, "answered"),
    });
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    if api.service.not_ready() == Some(NotReady::Stopping) {
        // Whoever keeps the connection is to find another replica in time.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The request's own id if it can stand in a log line, else a new one.
fn request_id(request: &Request, random: &dyn Random) -> HeaderValue {
    let given = request.headers().get(&REQUEST_ID).filter(|value| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        // An id of zeros is better than no answer: nothing but log lines depends on it.
        let number = random_bytes::<16>(random).map_or(0, u128::from_be_bytes);
        HeaderValue::try_from(format!("{number:032x}")).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// A closed set, whatever clients send.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "OTHER",
    }
}
