//! The REST API: translates HTTP into calls of [`Service`] and its answers back. Decides nothing.

mod auth;
mod browser;
mod detached;
mod endpoints;
mod extract;
mod feed;
mod idempotency;
mod leases;
mod limits;
mod lockouts;
mod login;
mod meta;
mod observe;
mod openapi;
mod page;
mod protocol;
mod receipt;
mod refresh;
mod reply;
mod roles;
mod rules;
mod session_commands;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, delete, get, post},
};
use session_gate_protocol::{Problem, ProblemCode, PublishedPolicy, SESSION_PATH, TOKEN_PATH};

pub use self::detached::attached;
use self::reply::ApiError;
use crate::{credentials::CurrentCredentials, rng::Random, service::Service};

/// Largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Largest body of a question for leases: as many as can be asked, each as long as it can be.
pub const MAX_LEASES_BYTES: usize = 512 * 1024;

/// What the handlers work with.
#[derive(Debug)]
pub struct Api {
    /// Does what is asked.
    pub service: Service,
    /// Says who may ask.
    pub credentials: CurrentCredentials,
    /// What `/v1/policy` answers, and filters are told with the keys.
    pub policy: PublishedPolicy,
    /// Whether there is a `/metrics`.
    pub metrics: bool,
}

type Shared = Arc<Api>;

/// The OpenAPI description of the API, as JSON.
pub fn openapi() -> String {
    openapi::json()
}

/// All routes. `random` makes the ids of requests that come without one.
pub fn router(api: Shared, random: Arc<dyn Random>) -> Router {
    let guarded = |path: &str, methods: MethodRouter<Shared>| {
        let guard = middleware::from_fn_with_state((Arc::clone(&api), roles::of(path)), auth::require);
        Router::new().route(path, methods.route_layer(guard))
    };
    // A slash at the end makes no difference to the filter's rules.
    let endpoint = |path: &str, methods: MethodRouter<Shared>| {
        Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods)
    };
    // What makes something, and may be asked for again where the answer was lost.
    let creating = |path: &str, methods: MethodRouter<Shared>| {
        let once = middleware::from_fn_with_state(Arc::clone(&api), idempotency::once);
        guarded(path, methods.route_layer(once))
    };
    let mut router = Router::new()
        .route("/healthz", get(meta::healthz))
        .route("/readyz", get(meta::readyz))
        .route("/openapi.json", get(openapi::document))
        .route("/.well-known/jwks.json", get(meta::jwks))
        .merge(endpoint(SESSION_PATH, get(endpoints::session)))
        .merge(endpoint(TOKEN_PATH, post(endpoints::token)))
        .merge(creating("/v1/sessions", post(sessions::create)))
        .merge(guarded(
            "/v1/sessions/{session_id}",
            get(sessions::read).patch(sessions::update).delete(sessions::terminate),
        ))
        .merge(guarded("/v1/users/{user_id}/sessions", get(sessions::list_of_user).delete(sessions::terminate_of_user)))
        .merge(creating("/v1/tokens", post(tokens::create)))
        .merge(guarded("/v1/tokens/introspect", post(tokens::introspect)))
        .merge(guarded("/v1/tokens/refresh", post(refresh::refresh)))
        .merge(guarded("/v1/tokens/renew", post(tokens::renew)))
        .merge(guarded("/v1/tokens/revoke", post(tokens::revoke)))
        .merge(creating("/v1/login", post(login::login)))
        .merge(guarded("/v1/logins/failed", post(lockouts::failed)))
        .merge(guarded("/v1/lockouts/{account}", get(lockouts::read).delete(lockouts::unlock)))
        .merge(guarded("/v1/logout", post(login::logout)))
        .merge(creating("/v1/elevate", post(login::elevate)))
        .merge(guarded("/v1/session-commands", post(session_commands::command)))
        .merge(guarded("/v1/policy", get(meta::policy)))
        .merge(guarded("/v1/check", post(login::check)))
        .merge(guarded("/v1/keys", get(meta::keys)))
        .merge(guarded("/v1/feed", get(feed::feed)))
        .merge(guarded("/v1/activity", post(feed::activity)))
        .merge(guarded("/v1/leases", post(leases::lease).layer(DefaultBodyLimit::max(MAX_LEASES_BYTES))))
        .merge(guarded("/v1/limits/overrides", get(limits::list)))
        .merge(guarded("/v1/limits/overrides/{key}", get(limits::read).put(limits::put).delete(limits::remove)))
        .merge(guarded("/v1/revocations", get(feed::revocations).post(rules::revoke)))
        .merge(guarded("/v1/revocations/{rule_id}", delete(rules::unrevoke)))
        .merge(guarded("/v1/blocks", get(rules::list).post(rules::block)))
        .merge(guarded("/v1/blocks/{rule_id}", delete(rules::unblock)))
        .merge(guarded("/v1/workers", get(feed::workers)));
    if api.metrics {
        router = router.merge(guarded("/metrics", get(meta::metrics)));
    }
    router
        .fallback(async || ApiError::from(Problem::new(ProblemCode::NotFound)))
        .method_not_allowed_fallback(async || ApiError::from(Problem::new(ProblemCode::MethodNotAllowed)))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state((Arc::clone(&api), random), observe::observe))
        .with_state(api)
}
