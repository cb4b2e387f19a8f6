use super::*;
use crate::golden::assert_golden_part;

const APP: &str = "app-credential-0123456789abcdef012";
const FILTER: &str = "filter-credential-0123456789abcdef";
const MONITOR: &str = "monitor-credential-0123456789abcde";
const ADMIN: &str = "admin-credential-0123456789abcdef0";

fn gate() -> Gate {
    let mut credentials = Credentials::default();
    for (role, credential) in [(Role::App, APP), (Role::Filter, FILTER), (Role::Monitor, MONITOR), (Role::Admin, ADMIN)]
    {
        credentials.add(role, credential).unwrap();
    }
    Gate::with(Setup { credentials, ..Setup::default() })
}

async fn status(gate: &Gate, method: &str, path: &str, authorization: Option<&str>) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    gate.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
}

/// Every route with the roles that may use it, and admin may.
const GUARDED: [(&str, &str, &[&str]); 36] = [
    ("POST", "/v1/sessions", &[APP]),
    ("GET", "/v1/sessions/x", &[APP]),
    ("PATCH", "/v1/sessions/x", &[APP]),
    ("DELETE", "/v1/sessions/x", &[APP]),
    ("GET", "/v1/users/x/sessions", &[APP]),
    ("DELETE", "/v1/users/x/sessions", &[APP]),
    ("POST", "/v1/tokens", &[APP]),
    ("POST", "/v1/tokens/introspect", &[APP]),
    ("POST", "/v1/tokens/refresh", &[APP]),
    ("POST", "/v1/tokens/renew", &[FILTER]),
    ("POST", "/v1/tokens/revoke", &[APP]),
    ("POST", "/v1/login", &[APP]),
    ("POST", "/v1/logout", &[APP]),
    ("POST", "/v1/elevate", &[APP]),
    ("POST", "/v1/session-commands", &[FILTER]),
    ("GET", "/v1/policy", &[APP]),
    ("POST", "/v1/check", &[FILTER]),
    ("GET", "/v1/keys", &[FILTER]),
    ("GET", "/v1/feed", &[FILTER]),
    ("POST", "/v1/activity", &[FILTER]),
    ("POST", "/v1/leases", &[FILTER]),
    ("GET", "/v1/limits/overrides", &[APP]),
    ("GET", "/v1/limits/overrides/x", &[APP]),
    ("PUT", "/v1/limits/overrides/x", &[APP]),
    ("DELETE", "/v1/limits/overrides/x", &[APP]),
    ("GET", "/v1/revocations", &[APP]),
    ("POST", "/v1/revocations", &[APP]),
    ("DELETE", "/v1/revocations/x", &[APP]),
    ("GET", "/v1/blocks", &[APP]),
    ("POST", "/v1/blocks", &[APP]),
    ("DELETE", "/v1/blocks/x", &[APP]),
    ("GET", "/v1/lockouts/x", &[APP]),
    ("DELETE", "/v1/lockouts/x", &[APP]),
    ("POST", "/v1/logins/failed", &[APP]),
    ("GET", "/v1/workers", &[APP, MONITOR]),
    ("GET", "/metrics", &[MONITOR]),
];

/// The path with something in the place of each parameter.
fn filled(path: &str) -> String {
    ["account", "session_id", "user_id", "rule_id", "key"]
        .iter()
        .fold(path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "x"))
}

#[tokio::test]
async fn each_route_serves_its_role_and_admin_only() {
    let gate = gate();
    for (method, path, roles) in GUARDED {
        assert_eq!(status(&gate, method, path, None).await, 401, "{method} {path}");
        assert_eq!(status(&gate, method, path, Some("Bearer unknown")).await, 401, "{method} {path}");
        for credential in [APP, FILTER, MONITOR, ADMIN] {
            let got = status(&gate, method, path, Some(&format!("Bearer {credential}"))).await;
            let allowed = roles.contains(&credential) || credential == ADMIN;
            // Past the guard anything but 401 and 403 may come.
            assert_eq!(matches!(got, 401 | 403), !allowed, "{method} {path} {credential}: {got}");
            assert!(allowed || got == 403);
        }
    }
    for path in ["/healthz", "/readyz", "/openapi.json", "/.well-known/jwks.json"] {
        assert_eq!(status(&gate, "GET", path, None).await, 200, "{path} is open");
    }
}

#[tokio::test]
async fn the_list_of_guarded_routes_is_complete() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut described: Vec<String> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation.get("security").is_some() {
                described.push(format!("{} {}", method.to_uppercase(), filled(path)));
            }
        }
    }
    let mut guarded: Vec<String> = GUARDED.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    described.sort();
    guarded.sort();
    assert_eq!(described, guarded);
}

#[tokio::test]
async fn the_documentation_has_every_route_and_its_role() {
    let role_of = |method: &str, path: &str| {
        let path = filled(path);
        let guarded = GUARDED.iter().find(|(m, p, _)| *m == method && *p == path);
        let names = guarded.map_or(&[][..], |(.., roles)| roles).iter().map(|name| name.split('-').next().unwrap());
        names.collect::<Vec<_>>().join(", ")
    };
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut table = String::from("| Method | Path | Role | What it does |\n|---|---|---|---|\n");
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let (role, summary) = (role_of(&method, path), operation["summary"].as_str().unwrap());
            table.push_str(&format!("| {method} | `{path}` | {role} | {summary} |\n"));
        }
    }
    assert_golden_part("docs/api.md", "routes", &table);
}

#[tokio::test]
async fn the_scheme_is_read_as_rfc_9110_says() {
    let gate = gate();
    let get = async |authorization: &str| status(&gate, "GET", "/v1/policy", Some(authorization)).await;
    for good in [format!("Bearer {APP}"), format!("bearer {APP}"), format!("BEARER  {APP}")] {
        assert_eq!(get(&good).await, 200, "{good}");
    }
    for bad in [APP.to_owned(), format!("Basic {APP}"), format!("Bearer{APP}"), format!("Bearer {APP}x"), String::new()]
    {
        assert_eq!(get(&bad).await, 401, "{bad}");
    }
    let twice = Request::get("/v1/policy")
        .header(header::AUTHORIZATION, format!("Bearer {APP}"))
        .header(header::AUTHORIZATION, format!("Bearer {APP}"));
    assert_eq!(gate.send(twice.body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refusal_says_how_to_authenticate_and_keeps_the_credential_to_itself() {
    let gate = gate();
    let answer = gate.get("/v1/policy").await;
    assert_eq!(answer.problem(), problem(401, "credential_invalid", &[]));
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"session-gate\"");
    let request = Request::get("/v1/policy").header(header::AUTHORIZATION, format!("Bearer {FILTER}"));
    let answer = gate.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.problem(), problem(403, "credential_not_permitted", &[]));
    assert!(!answer.text.contains(FILTER));
}
