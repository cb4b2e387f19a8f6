//! A configuration of Envoy's with the filter in it: the plugin, its connection manager and the sidecar's cluster.

use serde_json::Value;

use super::{
    bypass,
    clusters::Clusters,
    endpoints, manager,
    node::{elements, field, has_plugin, is_plugin, text},
    plugin::configuration,
    report::{Report, join},
};

/// Checks every plugin of ours in a document, every connection manager that has one, and what goes past it.
pub(super) fn check(document: &Value, place: &str, report: &mut Report) {
    visit(document, place, Clusters::of(document), report);
    bypass::check_listeners(document, report);
}

fn visit(node: &Value, place: &str, clusters: Option<Clusters<'_>>, report: &mut Report) {
    match node {
        Value::Object(members) => {
            if is_plugin(node) {
                return check_plugin(node, place, clusters, report);
            }
            bypass::check_overrides(node, place, report);
            if elements(node, "http_filters").iter().any(has_plugin) {
                bypass::check_manager(node, place, report);
                manager::check_settings(node, place, report);
                manager::check_address(node, place, report);
                manager::check_routes(node, place, report);
                endpoints::check(node, place, report);
            }
            for (name, member) in members {
                visit(member, &join(place, name), clusters, report);
            }
        }
        Value::Array(elements) => {
            for (i, element) in elements.iter().enumerate() {
                visit(element, &format!("{place}[{i}]"), clusters, report);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_plugin(plugin: &Value, place: &str, clusters: Option<Clusters<'_>>, report: &mut Report) {
    if text(plugin, "failure_policy") != Some("FAIL_RELOAD") {
        report.error(
            join(place, "failure_policy"),
            "must be FAIL_RELOAD: a filter that has crashed must start anew; otherwise its worker answers 503 for \
             ever, or, with FAIL_OPEN, lets everything pass",
        );
    }
    if field(plugin, "allow_on_headers_stop_iteration").is_some_and(|value| *value == true) {
        report.error(
            join(place, "allow_on_headers_stop_iteration"),
            "must not be true: Envoy would forward a request with a body that waits for the sidecar, undecided",
        );
    }
    let place = join(place, "configuration");
    match configuration(plugin) {
        Ok(configuration) => {
            if let Some(clusters) = clusters {
                clusters.check(&configuration, &place, report);
            }
            super::check_configuration(configuration, &place, report);
        }
        Err(message) => {
            report.configurations += 1;
            report.error(place, message);
        }
    }
}
