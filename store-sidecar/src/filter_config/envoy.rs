//! A configuration of Envoy's with the filter in it: the plugin, its connection manager and the sidecar's cluster.

use serde_json::Value;

use super::{
    clusters::Clusters,
    manager,
    node::{at, elements, field, is_ours, text},
    report::{Report, join},
};

/// Checks every plugin of ours in a document, and every connection manager that has one.
pub(super) fn check(document: &Value, place: &str, report: &mut Report) {
    visit(document, place, Clusters::of(document), report);
}

fn visit(node: &Value, place: &str, clusters: Option<Clusters<'_>>, report: &mut Report) {
    match node {
        Value::Object(members) => {
            if is_plugin(node) {
                return check_plugin(node, place, clusters, report);
            }
            check_overrides(node, place, report);
            if elements(node, "http_filters").iter().any(has_plugin) {
                check_filters(node, place, report);
                manager::check_settings(node, place, report);
                manager::check_address(node, place, report);
                manager::check_routes(node, place, report);
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

/// Whether the filter is there for every route.
fn check_filters(manager: &Value, place: &str, report: &mut Report) {
    let is_true = |filter: &Value, name: &str| field(filter, name).is_some_and(|value| *value == true);
    for (i, filter) in elements(manager, "http_filters").iter().enumerate().filter(|(_, filter)| has_plugin(filter)) {
        let place = join(place, &format!("http_filters[{i}]"));
        if is_true(filter, "disabled") {
            report.error(
                join(&place, "disabled"),
                "must not be true: only routes that enable the filter themselves would be protected",
            );
        }
        if is_true(filter, "is_optional") {
            report
                .error(join(&place, "is_optional"), "must not be true: an Envoy that cannot load it would go without");
        }
    }
}

/// Whether a route, a virtual host or a cluster goes without the filter. What it is called there is the name of the
/// filter, which may be any: what is not ours by name is told by its type.
fn check_overrides(node: &Value, place: &str, report: &mut Report) {
    let overrides = field(node, "typed_per_filter_config").and_then(Value::as_object);
    for (name, config) in overrides.into_iter().flatten() {
        let is_disabled = field(config, "disabled").is_some_and(|value| *value == true);
        if is_disabled && (is_ours(name) || name.contains("wasm")) {
            report.error(
                join(place, &format!("typed_per_filter_config.{name}.disabled")),
                "must not be true: whatever this holds for is served without the filter. To let requests through take a \
                 rule with `authentication: public`",
            );
        }
    }
}

/// Whether this is a `PluginConfig` of ours.
fn is_plugin(node: &Value) -> bool {
    field(node, "vm_config").is_some() && ["name", "root_id"].iter().any(|name| text(node, name).is_some_and(is_ours))
}

fn has_plugin(node: &Value) -> bool {
    match node {
        Value::Object(members) => is_plugin(node) || members.values().any(has_plugin),
        Value::Array(elements) => elements.iter().any(has_plugin),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
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

/// The configuration that Envoy hands to the plugin.
fn configuration(plugin: &Value) -> Result<Value, String> {
    match at(plugin, "configuration.value") {
        // The plugin gets the text in it.
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| format!("value must be JSON: {error}")),
        // Envoy hands any other message on as protobuf, which the filter refuses.
        Some(_) | None => {
            Err("must be a google.protobuf.StringValue with the filter's configuration, as JSON, as its value"
                .to_owned())
        }
    }
}
