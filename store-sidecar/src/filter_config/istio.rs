//! The filter on Istio: a `WasmPlugin` or `TrafficExtension`, and what else its workload needs, when a file has it.

use serde_json::{Map, Value};

use super::{
    clusters, manager,
    node::{at, elements, is_ours, text},
    report::{Report, join},
};

/// Where Istio's resources hold for every namespace.
const ROOT_NAMESPACE: &str = "istio-system";
/// Where an `AuthorizationPolicy` has the labels of its workloads.
const POLICY_LABELS: &str = "spec.selector.match_labels";

/// A resource that loads the filter into workloads.
struct Plugin<'v> {
    document: &'v Value,
    spec: &'v Value,
    /// What says how the module is loaded: `spec`, or `spec.wasm` of a `TrafficExtension`.
    module: &'v Value,
    module_field: &'static str,
}

/// What an `EnvoyFilter` merges into the connection manager.
struct Patch<'v> {
    place: String,
    patch: &'v Value,
}

/// Checks every resource that loads the filter, together with the other resources of the file.
pub(super) fn check(documents: &[Value], report: &mut Report) {
    for plugin in documents.iter().filter_map(plugin) {
        check_module(&plugin, report);
        check_workload(&plugin, documents, report);
    }
}

fn plugin(document: &Value) -> Option<Plugin<'_>> {
    let spec = at(document, "spec")?;
    let (module, module_field) = match text(document, "kind")? {
        "WasmPlugin" => (spec, "spec"),
        "TrafficExtension" => (at(spec, "wasm")?, "spec.wasm"),
        _ => return None,
    };
    let names = [text(module, "plugin_name"), text(module, "url"), text(document, "metadata.name")];
    names.into_iter().flatten().any(is_ours).then_some(Plugin { document, spec, module, module_field })
}

impl Plugin<'_> {
    fn place(&self, field: &str) -> String {
        place(self.document, field)
    }

    fn labels(&self) -> Option<&Map<String, Value>> {
        at(self.spec, "selector.match_labels").and_then(Value::as_object)
    }

    /// Whether a resource with these labels in its selector holds for all that this one selects.
    fn is_covered_by(&self, document: &Value, selector: &str) -> bool {
        let namespace = text(document, "metadata.namespace");
        let labels = at(document, selector).and_then(Value::as_object);
        (namespace == text(self.document, "metadata.namespace") || namespace == Some(ROOT_NAMESPACE))
            && labels.is_none_or(|labels| {
                labels.iter().all(|(name, value)| self.labels().is_some_and(|own| own.get(name) == Some(value)))
            })
    }

    /// Whether a resource with these labels in its selector may hold for some that this one selects.
    fn may_meet(&self, document: &Value, selector: &str) -> bool {
        let namespace = text(document, "metadata.namespace");
        let labels = at(document, selector).and_then(Value::as_object);
        let own = |name: &String| self.labels().and_then(|own| own.get(name));
        (namespace == text(self.document, "metadata.namespace") || namespace == Some(ROOT_NAMESPACE))
            && labels.is_none_or(|labels| labels.iter().all(|(name, value)| own(name).is_none_or(|own| own == value)))
    }

    /// Whether it is a gateway's, by its target or its labels.
    fn is_of_gateway(&self) -> bool {
        let targets = elements(self.spec, "target_refs").iter().chain(at(self.spec, "target_ref"));
        let is_gateway = |value: &Value| value.as_str().is_some_and(|text| text.contains("gateway"));
        targets.into_iter().any(|target| text(target, "kind") == Some("Gateway"))
            || self.labels().is_some_and(|labels| labels.values().any(is_gateway))
    }
}

fn place(document: &Value, field: &str) -> String {
    let (kind, name) = (text(document, "kind"), text(document, "metadata.name"));
    format!("{} {}: {field}", kind.unwrap_or_default(), name.unwrap_or_default())
}

fn check_module(plugin: &Plugin<'_>, report: &mut Report) {
    let Plugin { spec, module, module_field, .. } = plugin;
    let place = |field: &str| plugin.place(&join(module_field, field));
    if text(module, "fail_strategy") != Some("FAIL_RELOAD") {
        report.error(
            place("failStrategy"),
            "must be FAIL_RELOAD: a filter that has crashed must start anew; otherwise its worker answers 503 for \
             ever, or, with FAIL_OPEN, lets everything pass, forged x-user-id and all",
        );
    }
    let is_pinned = text(module, "url").is_some_and(|url| url.contains("@sha256:")) || at(module, "sha256").is_some();
    if !is_pinned {
        report.warning(
            place("url"),
            "pin the image by its digest (@sha256:…): when a tag cannot be fetched Istio answers 403 to everything, \
             until the resource is changed",
        );
    }
    if text(spec, "phase") != Some("AUTHN") {
        report.error(
            plugin.place("spec.phase"),
            "must be AUTHN: elsewhere AuthorizationPolicies see the client's own x-user-id",
        );
    }
    let configuration = at(module, "plugin_config").cloned().unwrap_or_default();
    clusters::check_on_istio(&configuration, &place("pluginConfig"), report);
    super::check_configuration(configuration, &place("pluginConfig"), report);
}

fn check_workload(plugin: &Plugin<'_>, documents: &[Value], report: &mut Report) {
    let is_gateway = plugin.is_of_gateway();
    check_mode(plugin, is_gateway, report);
    let patches = patches(plugin, documents);
    if patches.is_empty() {
        report.warning(
            plugin.place("spec"),
            "no EnvoyFilter in this file sets the connection manager of this workload (normalize_path, \
             headers_with_underscores_action …): copy it from the example",
        );
    }
    for Patch { place, patch } in patches {
        let context = text(patch, "match.context").unwrap_or("ANY");
        let allowed: &[&str] = if is_gateway { &["GATEWAY", "ANY"] } else { &["SIDECAR_INBOUND"] };
        if !allowed.contains(&context) {
            report.error(
                join(&place, "match.context"),
                format!(
                    "must be {}, not {context}: this workload has no such listener, or others too",
                    allowed.join(" or ")
                ),
            );
        }
        if text(patch, "patch.operation") != Some("MERGE") {
            report.error(join(&place, "patch.operation"), "must be MERGE");
        }
        if let Some(manager) = at(patch, "patch.value.typed_config") {
            manager::check_settings(manager, &join(&place, "patch.value.typed_config"), report);
        }
    }
    if !is_gateway {
        check_policies(plugin, documents, report);
    }
}

/// Whether a policy lets nothing but HTTP through to the workload, and no other lets raw TCP through again: what any
/// policy with the action ALLOW allows is allowed.
fn check_policies(plugin: &Plugin<'_>, documents: &[Value], report: &mut Report) {
    let allowing = || documents.iter().filter(|document| allows(document));
    if !allowing().any(|document| plugin.is_covered_by(document, POLICY_LABELS) && admits_http_only(document)) {
        return report.warning(
            plugin.place("spec"),
            "no AuthorizationPolicy in this file keeps raw TCP away from this workload: on a port that is not \
             declared HTTP, bytes that do not look like HTTP pass by the filter. Copy it from the example",
        );
    }
    for document in allowing().filter(|document| plugin.may_meet(document, POLICY_LABELS)) {
        if elements(document, "spec.rules").iter().any(|rule| !asks_for_http(rule)) {
            report.warning(
                place(document, "spec.rules"),
                "a rule asks for nothing that only HTTP has, so it reopens this workload to raw TCP, which passes by the \
                 filter, whatever other policies ask for: give each of its operations methods: [\"*\"]",
            );
        }
    }
}

/// Istio counts a gateway's listeners as CLIENT, and a sidecar's as SERVER (inbound) and CLIENT (outbound).
fn check_mode(plugin: &Plugin<'_>, is_gateway: bool, report: &mut Report) {
    let modes: Vec<&str> =
        elements(plugin.spec, "match").iter().map(|selector| text(selector, "mode").unwrap_or("UNDEFINED")).collect();
    let is_inbound_only = !modes.is_empty() && modes.iter().all(|mode| *mode == "SERVER");
    if is_gateway && is_inbound_only {
        report.error(
            plugin.place("spec.match"),
            "must not be SERVER for a gateway: Istio counts its listeners as CLIENT, so the filter would be nowhere",
        );
    }
    let has_ports = |selector: &Value| !elements(selector, "ports").is_empty();
    if !modes.is_empty() && elements(plugin.spec, "match").iter().all(has_ports) {
        report.warning(
            plugin.place("spec.match"),
            "has `ports`: on every other port of this workload there is no filter",
        );
    }
    if !is_gateway && !is_inbound_only {
        report.error(
            plugin.place("spec.match"),
            "must be [{mode: SERVER}] for a workload's sidecar: otherwise the workload's own outgoing calls are \
             filtered too, those to the session-gate sidecar among them",
        );
    }
}

/// What the `EnvoyFilter`s of the file merge into the connection manager of the plugin's workload.
fn patches<'v>(plugin: &Plugin<'_>, documents: &'v [Value]) -> Vec<Patch<'v>> {
    let mut patches = Vec::new();
    for document in documents {
        if text(document, "kind") != Some("EnvoyFilter")
            || !plugin.is_covered_by(document, "spec.workload_selector.labels")
        {
            continue;
        }
        for (i, patch) in elements(document, "spec.config_patches").iter().enumerate() {
            let of_type = text(patch, "patch.value.typed_config.@type");
            if of_type.is_some_and(|of_type| of_type.ends_with(".HttpConnectionManager")) {
                patches.push(Patch { place: place(document, &format!("spec.configPatches[{i}]")), patch });
            }
        }
    }
    patches
}

/// Whether the document is a policy that allows.
fn allows(document: &Value) -> bool {
    text(document, "kind") == Some("AuthorizationPolicy")
        && matches!(text(document, "spec.action"), None | Some("ALLOW"))
}

/// Whether it allows something, and only by HTTP.
fn admits_http_only(policy: &Value) -> bool {
    let rules = elements(policy, "spec.rules");
    !rules.is_empty() && rules.iter().all(asks_for_http)
}

/// Whether a rule asks for what only HTTP has: it never matches raw TCP.
fn asks_for_http(rule: &Value) -> bool {
    let has = |value: &Value, field: &str| !elements(value, field).is_empty();
    let is_http = |to: &Value| ["methods", "paths", "hosts"].iter().any(|field| has(to, &format!("operation.{field}")));
    let has_token = |from: &Value| has(from, "source.request_principals");
    let (operations, sources) = (elements(rule, "to"), elements(rule, "from"));
    (!operations.is_empty() && operations.iter().all(is_http))
        || (!sources.is_empty() && sources.iter().all(has_token))
        || elements(rule, "when").iter().any(|when| text(when, "key").is_some_and(|key| key.starts_with("request.")))
}
