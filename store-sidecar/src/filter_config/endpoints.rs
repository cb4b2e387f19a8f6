//! Whether Envoy's routes lead requests for the gate's own endpoints to the sidecar. Where they do not, the filter refuses
//! them: `endpoint_unrouted`.

use serde_json::Value;
use session_gate_protocol::{SESSION_PATH, TOKEN_PATH};

use super::{
    node::{at, elements, field, text},
    plugin::{configuration, plugins},
    report::{Report, join},
};

/// Checks the routes of a connection manager whose filter serves endpoints.
pub(super) fn check(manager: &Value, place: &str, report: &mut Report) {
    let hosts = elements(manager, "route_config.virtual_hosts");
    for configuration in plugins(manager).filter_map(|plugin| configuration(plugin).ok()) {
        let Some(cluster) = text(&configuration, "sidecar.cluster") else { continue };
        for (name, path) in [("session", SESSION_PATH), ("token", TOKEN_PATH)] {
            if at(&configuration, "endpoints").and_then(|endpoints| endpoints.get(name)).is_none() || hosts.is_empty() {
                continue;
            }
            let verdicts: Vec<_> = hosts.iter().map(|host| first_for(host, path)).collect();
            let is_served = |route: &Route<'_>| match route {
                Route::To(action) => leads_to(action, cluster),
                Route::Unknown => true,
                Route::Nowhere => false,
            };
            if !verdicts.iter().any(is_served) {
                report.error(
                    join(place, "route_config"),
                    format!(
                        "must have a route for {path} to {cluster:?} before all others, with the path as it is: \
                         {{match: {{prefix: /.session-gate/}}, route: {{cluster: {cluster}, timeout: 5s, priority: \
                         HIGH}}}}; otherwise the filter refuses requests for endpoints.{name}"
                    ),
                );
            }
        }
    }
}

/// Where the first route for a path leads.
enum Route<'v> {
    Nowhere,
    To(&'v Value),
    /// Nobody can tell here.
    Unknown,
}

/// The first route that takes every request for that path. What asks for more than a path may not take it.
fn first_for<'v>(host: &'v Value, path: &str) -> Route<'v> {
    for route in elements(host, "routes") {
        let Some(matched) = field(route, "match") else { continue };
        let conditions = ["grpc", "headers", "query_parameters", "runtime_fraction", "tls_context", "dynamic_metadata"];
        if conditions.iter().any(|name| field(matched, name).is_some()) {
            continue;
        }
        let takes = if let Some(prefix) = text(matched, "prefix") {
            path.starts_with(prefix)
        } else if let Some(exact) = text(matched, "path") {
            path == exact
        } else if let Some(prefix) = text(matched, "path_separated_prefix") {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        } else {
            return Route::Unknown;
        };
        if takes {
            return field(route, "route").map_or(Route::Nowhere, Route::To);
        }
    }
    if elements(host, "routes").is_empty() { Route::Unknown } else { Route::Nowhere }
}

fn leads_to(action: &Value, cluster: &str) -> bool {
    let rewrites = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy"];
    text(action, "cluster") == Some(cluster) && rewrites.iter().all(|name| field(action, name).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{check, tests::EXAMPLE};

    const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

    fn findings(change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
        let mut document: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
        let routes = document.pointer_mut(&format!("{MANAGER}/route_config/virtual_hosts/0/routes")).unwrap();
        change(routes.as_array_mut().unwrap());
        check(&document.to_string()).findings.iter().map(ToString::to_string).collect()
    }

    fn ours(routes: &mut [Value]) -> &mut Value {
        routes.iter_mut().find(|route| route["match"]["prefix"] == "/.session-gate/").unwrap()
    }

    fn assert_both_refused(findings: &[String]) {
        assert_eq!(findings.len(), 2, "{findings:?}");
        for (finding, path) in findings.iter().zip(["/.session-gate/session", "/.session-gate/token"]) {
            assert!(finding.starts_with("error: ") && finding.contains(path), "{finding}");
        }
    }

    #[test]
    fn a_route_to_the_sidecar_comes_first_and_leaves_the_path() {
        assert_eq!(findings(|_| ()), [""; 0]);
        assert_both_refused(&findings(|routes| routes.retain(|route| route["match"]["prefix"] != "/.session-gate/")));
        assert_both_refused(&findings(|routes| ours(routes)["route"]["cluster"] = json!("app")));
        assert_both_refused(&findings(|routes| ours(routes)["route"]["prefix_rewrite"] = json!("/v1/")));
        assert_both_refused(&findings(|routes| {
            let last = routes.pop().unwrap();
            routes.insert(0, last);
        }));
        // A route for some requests alone is none for the rest.
        assert_both_refused(&findings(|routes| ours(routes)["match"]["headers"] = json!([{"name": "x-a"}])));
    }

    #[test]
    fn what_is_not_known_here_is_not_judged() {
        let by_regex = json!({"match": {"safe_regex": {"regex": "/.*"}}, "route": {"cluster": "app"}});
        assert_eq!(findings(|routes| routes.insert(0, by_regex)), [""; 0]);
        let exact = |path: &str| json!({"match": {"path": path}, "route": {"cluster": "session-gate-sidecar"}});
        let one_by_one = findings(|routes| {
            routes.retain(|route| route["match"]["prefix"] != "/.session-gate/");
            routes.insert(0, exact("/.session-gate/session"));
            routes.insert(0, exact("/.session-gate/token"));
        });
        assert_eq!(one_by_one, [""; 0]);
    }
}
