//! What goes past the filter where it is configured: requests for which it is switched off or skipped, upgrades with
//! filters of their own, and listeners without it.

use serde_json::Value;

use super::{
    node::{at, elements, field, has_plugin, is_ours, text},
    report::{Report, join},
};

/// Checks that the filter is there for every request of that connection manager's.
pub(super) fn check_manager(manager: &Value, place: &str, report: &mut Report) {
    check_filters(elements(manager, "http_filters"), &join(place, "http_filters"), report);
    for (i, upgrade) in elements(manager, "upgrade_configs").iter().enumerate() {
        let place = join(place, &format!("upgrade_configs[{i}].filters"));
        let filters = elements(upgrade, "filters");
        if !filters.is_empty() && !filters.iter().any(has_plugin) {
            report.error(
                place.clone(),
                "must have the filter: these take the place of http_filters, so upgrades (WebSockets) would pass \
                 without it. Without `filters` an upgrade goes through http_filters",
            );
        }
        check_filters(filters, &place, report);
    }
}

fn check_filters(filters: &[Value], place: &str, report: &mut Report) {
    let is_true = |filter: &Value, name: &str| field(filter, name).is_some_and(|value| *value == true);
    for (i, filter) in filters.iter().enumerate().filter(|(_, filter)| has_plugin(filter)) {
        let place = format!("{place}[{i}]");
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
        if let Some(config) = field(filter, "typed_config") {
            check_matcher(config, &join(&place, "typed_config"), report);
        }
    }
}

/// Whether a route, a virtual host or a cluster goes without the filter. What it is called there is the name of the
/// filter, which may be any: what is not ours by name is told by its type.
pub(super) fn check_overrides(node: &Value, place: &str, report: &mut Report) {
    let overrides = field(node, "typed_per_filter_config").and_then(Value::as_object);
    for (name, config) in overrides.into_iter().flatten().filter(|(name, _)| is_ours(name) || name.contains("wasm")) {
        let place = join(place, &format!("typed_per_filter_config.{name}"));
        if field(config, "disabled").is_some_and(|value| *value == true) {
            report.error(
                join(&place, "disabled"),
                "must not be true: whatever this holds for is served without the filter. To let requests through take a \
                 rule with `authentication: public`",
            );
        }
        check_matcher(config, &place, report);
    }
}

/// Whether a matcher (`ExtensionWithMatcher`) decides which requests the filter sees.
fn check_matcher(config: &Value, place: &str, report: &mut Report) {
    for name in ["xds_matcher", "matcher"] {
        let Some(matcher) = field(config, name) else { continue };
        if skips(matcher) || has_plugin(matcher) {
            report.error(
                join(place, name),
                "must not let requests past the filter (SkipFilter), nor run it for some alone. To let requests \
                 through take a rule with `authentication: public`",
            );
        }
    }
}

fn skips(node: &Value) -> bool {
    match node {
        Value::Object(members) => {
            let is_skip = |value: &Value| value.as_str().is_some_and(|name| name.ends_with(".SkipFilter"));
            members.get("@type").is_some_and(is_skip) || members.values().any(skips)
        }
        Value::Array(elements) => elements.iter().any(skips),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether a bootstrap has listeners, or chains of filters, that reach clusters without the filter, beside one that
/// has it.
pub(super) fn check_listeners(document: &Value, report: &mut Report) {
    let listeners = elements(document, "static_resources.listeners");
    if !listeners.iter().any(has_plugin) {
        return;
    }
    for (i, listener) in listeners.iter().enumerate() {
        let listener_place = format!("static_resources.listeners[{i}]");
        let chains = elements(listener, "filter_chains").iter().enumerate();
        let chains = chains.map(|(i, chain)| (format!("filter_chains[{i}]"), chain));
        let default = field(listener, "default_filter_chain").map(|chain| ("default_filter_chain".to_owned(), chain));
        for (name, chain) in chains.chain(default).filter(|(_, chain)| !has_plugin(chain)) {
            let reached = elements(chain, "filters").iter().filter_map(|filter| at(filter, "typed_config"));
            let reached: Vec<&str> = reached.flat_map(clusters_of).collect();
            if !reached.is_empty() {
                report.warning(
                    join(&listener_place, &name),
                    format!(
                        "has no session-gate filter, and reaches {}: whoever may connect to it goes past the filter \
                         that others here have",
                        reached.join(", ")
                    ),
                );
            }
        }
    }
}

/// The clusters that a network filter forwards to.
fn clusters_of(config: &Value) -> Vec<&str> {
    let routes = elements(config, "route_config.virtual_hosts").iter().flat_map(|host| elements(host, "routes"));
    let actions = routes.filter_map(|route| at(route, "route")).chain([config]);
    let mut found: Vec<&str> = actions
        .flat_map(|action| {
            let weighted = elements(action, "weighted_clusters.clusters").iter();
            let by_name = text(action, "cluster").into_iter().chain(text(action, "cluster_header"));
            by_name.chain(weighted.filter_map(|cluster| text(cluster, "name"))).collect::<Vec<_>>()
        })
        .collect();
    if at(config, "rds").is_some() {
        found.push("routes that come by RDS");
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{check, tests::EXAMPLE};

    /// The example, in which something was changed.
    fn findings(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut document: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
        change(&mut document);
        check(&document.to_string()).findings.iter().map(ToString::to_string).collect()
    }

    const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    const PLACE: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";

    fn manager(document: &mut Value) -> &mut Value {
        document.pointer_mut(MANAGER).unwrap()
    }

    fn assert_only(findings: &[String], start: &str) {
        assert!(matches!(findings, [one] if one.starts_with(start)), "{findings:?}");
    }

    #[test]
    fn upgrades_have_the_filter_where_they_have_filters_of_their_own() {
        let with = |filters: &dyn Fn(&Value) -> Value| {
            findings(|document| {
                let manager = manager(document);
                let filters = filters(&manager["http_filters"]);
                manager["upgrade_configs"] =
                    json!([{"upgrade_type": "h2c"}, {"upgrade_type": "websocket", "filters": filters}]);
            })
        };
        assert_only(&with(&|all| json!([all[1]])), &format!("error: {PLACE}.upgrade_configs[1].filters: must have"));
        assert_eq!(with(&|_| json!([])), [""; 0]);
        assert_eq!(with(&|all| all.clone()), [""; 0]);
        let disabled = with(&|all| {
            let mut all = all.clone();
            all[0]["disabled"] = json!(true);
            all
        });
        assert_only(&disabled, &format!("error: {PLACE}.upgrade_configs[1].filters[0].disabled: "));
    }

    #[test]
    fn no_matcher_may_skip_the_filter() {
        let skip = json!({"name": "skip", "typed_config":
            {"@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}});
        let with = |matcher: Value| {
            findings(|document| {
                let filter = &mut manager(document)["http_filters"][0];
                let wrapped = filter.clone();
                filter["typed_config"] = json!({"extension_config": wrapped, "xds_matcher": matcher});
            })
        };
        let matched = json!({"matcher_tree": {"exact_match_map": {"map": {"a": {"action": skip.clone()}}}}});
        for matcher in [json!({"on_no_match": {"action": skip.clone()}}), matched] {
            assert_only(&with(matcher), &format!("error: {PLACE}.http_filters[0].typed_config.xds_matcher: "));
        }
        assert_eq!(with(json!({"on_no_match": {"action": {"name": "other"}}})), [""; 0]);
        let by_route = findings(|document| {
            let host = &mut manager(document)["route_config"]["virtual_hosts"][0];
            host["typed_per_filter_config"] =
                json!({"session-gate": {"xds_matcher": {"on_no_match": {"action": skip}}}});
        });
        let place = format!("{PLACE}.route_config.virtual_hosts[0].typed_per_filter_config.session-gate.xds_matcher: ");
        assert_only(&by_route, &format!("error: {place}"));
    }

    #[test]
    fn what_reaches_clusters_without_the_filter_is_warned_of() {
        let second = |change: &dyn Fn(&mut Value)| {
            findings(|document| {
                let mut listener = document["static_resources"]["listeners"][0].clone();
                let manager = listener.pointer_mut("/filter_chains/0/filters/0/typed_config").unwrap();
                manager["http_filters"].as_array_mut().unwrap().remove(0);
                change(manager);
                document["static_resources"]["listeners"].as_array_mut().unwrap().push(listener);
            })
        };
        let place = "warning: static_resources.listeners[1].filter_chains[0]: has no session-gate filter, and reaches";
        assert_only(&second(&|_| ()), &format!("{place} session-gate-sidecar, app: "));
        assert_only(&second(&|manager| *manager = json!({"cluster": "raw"})), &format!("{place} raw: "));
        let weighted = json!({"weighted_clusters": {"clusters": [{"name": "a"}, {"name": "b"}]}});
        assert_only(&second(&|manager| *manager = weighted.clone()), &format!("{place} a, b: "));
        assert_only(&second(&|manager| *manager = json!({"rds": {}})), &format!("{place} routes that come by RDS: "));
        let redirect = json!({"virtual_hosts": [{"routes": [{"redirect": {"https_redirect": true}}]}]});
        assert_eq!(second(&|manager| manager["route_config"] = redirect.clone()), [""; 0]);
        let default = findings(|document| {
            let listener = &mut document["static_resources"]["listeners"][0];
            listener["default_filter_chain"] = json!({"filters": [{"typed_config": {"cluster": "app"}}]});
        });
        assert_only(&default, "warning: static_resources.listeners[0].default_filter_chain: ");
    }
}
