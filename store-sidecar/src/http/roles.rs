//! Who may use which route.

use crate::credentials::Role;

const APP: &[Role] = &[Role::App];
const FILTER: &[Role] = &[Role::Filter];

/// Each route that asks for a credential, and the roles that may use it; an admin may use all.
const ROLES: [(&str, &[Role]); 28] = [
    ("/metrics", &[Role::Monitor]),
    ("/v1/activity", FILTER),
    ("/v1/blocks", APP),
    ("/v1/blocks/{rule_id}", APP),
    ("/v1/check", FILTER),
    ("/v1/elevate", APP),
    ("/v1/feed", FILTER),
    ("/v1/keys", FILTER),
    ("/v1/leases", FILTER),
    ("/v1/limits/overrides", APP),
    ("/v1/limits/overrides/{key}", APP),
    ("/v1/lockouts/{account}", APP),
    ("/v1/login", APP),
    ("/v1/logins/failed", APP),
    ("/v1/logout", APP),
    ("/v1/policy", APP),
    ("/v1/revocations", APP),
    ("/v1/revocations/{rule_id}", APP),
    ("/v1/session-commands", FILTER),
    ("/v1/sessions", APP),
    ("/v1/sessions/{session_id}", APP),
    ("/v1/tokens", APP),
    ("/v1/tokens/introspect", APP),
    ("/v1/tokens/refresh", APP),
    ("/v1/tokens/renew", FILTER),
    ("/v1/tokens/revoke", APP),
    ("/v1/users/{user_id}/sessions", APP),
    ("/v1/workers", &[Role::App, Role::Monitor]),
];

/// The roles that may use that route. None: only an admin may.
pub(super) fn of(path: &str) -> &'static [Role] {
    ROLES.iter().find(|(route, _)| *route == path).map_or(&[], |(_, roles)| roles)
}
