//! The description of the API: what the handlers and the types say of themselves, the bounds that types cannot
//! say, and who may call what.

mod bounds;
mod guards;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::{
    endpoints, feed, leases, limits, lockouts, login, meta, receipt, refresh, rules, session_commands, sessions, tokens,
};

/// The description of the API. Its text is compared with a golden file by a test.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Session Gate sidecar",
        description = "Sessions, tokens and revocations. Errors are application/problem+json (RFC 9457) with a stable code. \
                       Lengths are in bytes of UTF-8. `x-required-role` names the roles that may call an operation, \
                       beside admin."
    ),
    modifiers(&BearerCredential),
    components(schemas(receipt::WaitFor)),
    paths(
        sessions::create, sessions::read, sessions::update, sessions::terminate,
        sessions::list_of_user, sessions::terminate_of_user,
        tokens::create, tokens::introspect, refresh::refresh, tokens::renew, tokens::revoke,
        login::login, login::logout, login::elevate, login::check, session_commands::command,
        endpoints::session, endpoints::token,
        lockouts::failed, lockouts::read, lockouts::unlock,
        rules::block, rules::list, rules::unblock, rules::revoke, rules::unrevoke,
        feed::feed, feed::workers, feed::revocations, feed::activity, leases::lease,
        limits::put, limits::list, limits::read, limits::remove,
        meta::healthz, meta::readyz, meta::metrics, meta::jwks, meta::keys, meta::policy,
    )
)]
struct Description;

struct BearerCredential;

impl Modify for BearerCredential {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The document as JSON.
pub(super) fn json() -> String {
    let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
    bounds::add(&mut document);
    guards::add(&mut document);
    let mut json = serde_json::to_string_pretty(&document).unwrap_or_default();
    json.push('\n');
    json
}

pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json()).into_response()
}
