//! The checks, on configurations as small as can be.

use super::{
    keep_tests::{PLACEHOLDER, filled_in},
    *,
};

const BARE: &str = "routes: [{name: all, authentication: public}]";
pub(super) const EXAMPLE: &str = include_str!("../../../envoy/envoy.yaml");
const WORKLOAD: &str = include_str!("../../../envoy/istio/workload.yaml");
const GATEWAY: &str = include_str!("../../../envoy/istio/gateway.yaml");

fn in_envoy(configuration: &str) -> String {
    format!(
        "http_filters:\n- name: x\n  config:\n    name: session-gate\n    failure_policy: FAIL_RELOAD\n    vm_config: {{runtime: v8}}\n    configuration: {configuration}\n"
    )
}

/// The findings, as lines.
fn lines(text: &str) -> Vec<String> {
    check(&filled_in(text)).findings.iter().map(ToString::to_string).collect()
}

/// What the check says once `from` is `to`.
fn changed(text: &str, from: &str, to: &str) -> Vec<String> {
    assert!(text.contains(from), "nothing like {from:?}");
    lines(&text.replace(from, to))
}

fn assert_only(findings: &[String], start: &str, part: &str) {
    assert!(matches!(findings, [one] if one.starts_with(start) && one.contains(part)), "{findings:?}");
}

#[test]
fn it_is_found_bare_in_envoys_configuration_and_in_istios() {
    let as_text = r#"{"@type": "x/google.protobuf.StringValue", "value": "{\"routes\":[{\"name\":\"all\",\"authentication\":\"public\"}]}"}"#;
    let plugin = format!("spec:\n  pluginName: session-gate\n  pluginConfig:\n    {BARE}\n");
    let extension = format!("spec:\n  wasm:\n    pluginName: session-gate\n    pluginConfig:\n      {BARE}\n");
    for text in [
        BARE.to_owned(),
        in_envoy(as_text),
        format!("kind: Other\n---\nkind: WasmPlugin\n{plugin}"),
        format!("kind: TrafficExtension\n{extension}"),
    ] {
        assert_eq!(check(&text).configurations, 1, "{text}");
    }
}

#[test]
fn what_envoy_would_not_read_is_not_called_good() {
    let trailing = r#"{"routes": [{"name": "all", "authentication": "public"}],}"#;
    assert_only(&lines(trailing), "error: must be JSON: ", "trailing comma");
    let twice = r#"{"routes": [{"name": "all", "authentication": "required", "authentication": "public"}]}"#;
    assert_only(&lines(twice), "error: must be JSON: ", "duplicate member \"authentication\" at line 1");
    let within = serde_json::json!({"@type": "x/google.protobuf.StringValue", "value": twice});
    let place = "error: http_filters[0].config.configuration: ";
    let found = lines(&in_envoy(&within.to_string()));
    assert!(found.iter().any(|line| line.starts_with(place) && line.contains("duplicate member")), "{found:?}");
    let of_struct = r#"{"@type": "x/google.protobuf.Struct", "value": "{\"routes\":[{\"name\":\"all\",\"authentication\":\"public\"}]}"}"#;
    let place = "error: http_filters[0].config.configuration: ";
    assert!(lines(&in_envoy(of_struct)).iter().any(|line| line.starts_with(place) && line.contains("StringValue")));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    assert_only(&lines("routes: [{name: a, authentication: public, colour: 1}]"), "error: routes[0].colour: ", "");
    let findings =
        lines(&in_envoy(r#"{value: '{"colour": 1, "routes": [{"name": "a", "authentication": "public"}]}'}"#));
    assert!(
        findings.iter().any(|line| line.starts_with("error: http_filters[0].config.configuration.colour: ")),
        "{findings:?}"
    );
}

#[test]
fn a_text_without_any_is_an_error() {
    for text in ["", "a: 1", "a: [", "- 1", "name: session-gate"] {
        assert!(!check(text).is_good(), "{text:?}");
    }
    assert!(!check(&in_envoy("{value: \"rubbish\"}")).is_good());
    let as_struct = lines(&in_envoy("{value: {routes: [{name: a, authentication: public}]}}"));
    assert!(as_struct.iter().any(|line| line.contains("StringValue")), "{as_struct:?}");
}

#[test]
fn fields_may_be_spelled_as_envoys_own_dumps_spell_them() {
    let text = EXAMPLE
        .replace("normalize_path:", "normalizePath:")
        .replace("common_http_protocol_options:", "commonHttpProtocolOptions:")
        .replace("http_filters:", "httpFilters:")
        .replace("vm_config:", "vmConfig:");
    assert_eq!(lines(&text), [""; 0]);
    assert_only(
        &changed(&text, "normalizePath: true", "normalizePath: false"),
        "error: static_resources.",
        "normalize_path",
    );
}

#[test]
fn a_paused_request_must_not_be_released_by_its_body() {
    let findings = changed(
        EXAMPLE,
        "failure_policy: FAIL_RELOAD",
        "failure_policy: FAIL_RELOAD\n                        allow_on_headers_stop_iteration: true",
    );
    assert_only(&findings, "error: ", "allow_on_headers_stop_iteration");
}

#[test]
fn an_inner_envoy_may_find_the_address_by_an_extension() {
    let findings = changed(EXAMPLE, "use_remote_address: true", "original_ip_detection_extensions: [{name: x}]");
    assert_eq!(findings, [""; 0]);
}

#[test]
fn what_is_safe_by_default_is_warned_of_when_it_is_set_otherwise() {
    let add = |setting: &str| {
        changed(EXAMPLE, "merge_slashes: true", &format!("merge_slashes: true\n                {setting}"))
    };
    assert_only(&add("proxy_100_continue: true"), "warning: ", "1xx");
    for (time, warned) in [("0.1s", true), ("0s", true), ("1s", false), ("5s", false)] {
        let findings = changed(EXAMPLE, "delayed_close_timeout: 1s", &format!("delayed_close_timeout: {time}"));
        assert_eq!(findings.iter().any(|line| line.contains("delayed_close_timeout")), warned, "{time}: {findings:?}");
    }
}

#[test]
fn a_route_time_out_that_cuts_streams_is_warned_of() {
    assert_only(&changed(EXAMPLE, "timeout: 0s\n", "timeout: 15s\n"), "warning: ", "route_config");
    assert_only(&changed(EXAMPLE, "                            timeout: 0s\n", ""), "warning: ", "route_config");
    let with_stream = "- match: {prefix: /events}\n                          route: {cluster: app, timeout: 0s}\n                        - match: {prefix: /}\n                          route: {cluster: app}\n";
    let (before, after) = EXAMPLE.split_once("- match: {prefix: /}\n").unwrap();
    let (_, rest) = after.split_once("                http_filters:").unwrap();
    assert_eq!(lines(&format!("{before}{with_stream}\n                http_filters:{rest}")), [""; 0]);
}

#[test]
fn the_sidecars_cluster_must_be_there_and_have_an_endpoint() {
    let findings = changed(EXAMPLE, r#""cluster": "session-gate-sidecar""#, r#""cluster": "session-gate-sidcar""#);
    // No route leads to that cluster, either.
    let findings: Vec<_> = findings.into_iter().filter(|finding| !finding.contains("route_config")).collect();
    assert_only(
        &findings,
        "error: ",
        "sidecar.cluster: \"session-gate-sidcar\" is none of the clusters; there are: session-gate-sidecar, app",
    );
    // Others may come by xDS.
    let findings =
        changed(EXAMPLE, "static_resources:\n", "dynamic_resources: {cds_config: {ads: {}}}\nstatic_resources:\n");
    assert_eq!(findings, [""; 0]);
    assert_only(&changed(EXAMPLE, ", port_value: 8081", ""), "error: ", "no endpoint");
}

#[test]
fn a_sidecar_that_is_elsewhere_needs_a_credential() {
    let (host, socket) = ("address: 127.0.0.1, port_value: 8081", "address: 10.0.0.7, port_value: 8081");
    assert_only(&changed(EXAMPLE, host, socket), "error: ", "sidecar.credential");
    let timeout = r#""timeout": "250ms""#;
    let with = format!(r#"{timeout}, "credential": "{}""#, "x".repeat(32));
    assert_eq!(changed(&EXAMPLE.replace(host, socket), timeout, &with), [""; 0]);
}

#[test]
fn istios_modes_are_told_apart() {
    // Istio counts a gateway's listeners as CLIENT.
    let findings = changed(GATEWAY, "  phase: AUTHN\n", "  phase: AUTHN\n  match: [{mode: SERVER}]\n");
    assert_only(&findings, "error: WasmPlugin session-gate: spec.match: ", "nowhere");
    let by_target = "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: public}]\n";
    let findings = changed(
        WORKLOAD,
        "  selector:\n    matchLabels: {app: orders}\n  # KEEP: in",
        &format!("{by_target}  # KEEP: in"),
    );
    assert!(findings.iter().any(|line| line.contains("nowhere")), "{findings:?}");
    assert_only(
        &changed(GATEWAY, "context: GATEWAY", "context: SIDECAR_INBOUND"),
        "error: EnvoyFilter session-gate-http: ",
        "GATEWAY",
    );
}

#[test]
fn istios_resources_must_be_for_the_same_workload() {
    for (from, to) in [
        ("workloadSelector:\n    labels: {app: orders}", "workloadSelector:\n    labels: {app: order}"),
        ("name: session-gate-http\n  namespace: shop", "name: session-gate-http\n  namespace: shops"),
        ("kind: EnvoyFilter", "kind: Other"),
    ] {
        assert_only(&changed(WORKLOAD, from, to), "warning: ", "no EnvoyFilter");
    }
    assert_eq!(
        changed(
            WORKLOAD,
            "name: session-gate-http\n  namespace: shop",
            "name: session-gate-http\n  namespace: istio-system"
        ),
        [""; 0]
    );
    assert_only(&changed(WORKLOAD, "action: ALLOW", "action: DENY"), "warning: ", "AuthorizationPolicy");
}

#[test]
fn a_policy_that_does_not_ask_for_http_reopens_the_workload() {
    let policy = |metadata: &str, spec: &str| {
        let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy";
        lines(&format!("{WORKLOAD}---\n{policy}\nmetadata: {{name: second{metadata}}}\nspec: {spec}\n"))
    };
    let mesh = "[{from: [{source: {principals: [a]}}]}]";
    for (metadata, selector) in [
        (", namespace: shop", "selector: {matchLabels: {app: orders}}, "),
        (", namespace: shop", "selector: {matchLabels: {app: orders, version: v2}}, "),
        (", namespace: shop", ""),
        (", namespace: istio-system", "action: ALLOW, "),
    ] {
        let findings = policy(metadata, &format!("{{{selector}rules: {mesh}}}"));
        assert_only(&findings, "warning: AuthorizationPolicy second: spec.rules: ", "raw TCP");
    }
    for (metadata, spec) in [
        (", namespace: other", format!("{{rules: {mesh}}}")),
        (", namespace: shop", format!("{{selector: {{matchLabels: {{app: others}}}}, rules: {mesh}}}")),
        (", namespace: shop", format!("{{action: DENY, rules: {mesh}}}")),
        (", namespace: shop", "{}".to_owned()),
        (", namespace: shop", "{rules: [{to: [{operation: {paths: [/a]}}]}]}".to_owned()),
        (", namespace: shop", "{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}".to_owned()),
        (", namespace: shop", "{rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]}".to_owned()),
    ] {
        assert_eq!(policy(metadata, &spec), [""; 0], "{metadata} {spec}");
    }
}

#[test]
fn ports_leave_others_without_the_filter() {
    let only = changed(WORKLOAD, "match: [{mode: SERVER}]", "match: [{mode: SERVER, ports: [{number: 9999}]}]");
    assert_only(&only, "warning: WasmPlugin session-gate: spec.match: ", "every other port");
    let both = "match: [{mode: SERVER}, {mode: SERVER, ports: [{number: 9999}]}]";
    assert_eq!(changed(WORKLOAD, "match: [{mode: SERVER}]", both), [""; 0]);
}

#[test]
fn a_filter_that_is_disabled_protects_nothing() {
    let filter = "- name: session-gate\n";
    assert!(EXAMPLE.contains(filter));
    for (setting, field) in [("disabled: true", "disabled"), ("isOptional: true", "is_optional")] {
        let with = format!("{filter}                    {setting}\n");
        assert_only(&changed(EXAMPLE, filter, &with), "error: ", &format!("http_filters[0].{field}: must not be true"));
    }
    for name in ["session-gate", "envoy.filters.http.wasm"] {
        let route = format!(
            "- match: {{prefix: /}}\n                          typed_per_filter_config: {{{name}: {{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}}}"
        );
        let findings = changed(EXAMPLE, "- match: {prefix: /}", &route);
        assert_only(
            &findings,
            "error: ",
            &format!("routes[2].typed_per_filter_config.{name}.disabled: must not be true"),
        );
    }
    let other = "- match: {prefix: /}\n                          typed_per_filter_config: {cors: {disabled: true}}";
    assert_eq!(changed(EXAMPLE, "- match: {prefix: /}", other), [""; 0]);
    let patch = "kind: EnvoyFilter\nspec: {configPatches: [{patch: {value: {typedPerFilterConfig: {extensions.istio.io/wasmplugin/shop.session-gate: {disabled: true}}}}}]}";
    assert_only(&lines(&format!("{WORKLOAD}---\n{patch}\n")), "error: ", "disabled: must not be true");
}

#[test]
fn a_placeholder_is_no_credential() {
    for example in [WORKLOAD, GATEWAY] {
        let findings: Vec<_> = check(example).findings.iter().map(ToString::to_string).collect();
        assert_only(&findings, "error: WasmPlugin session-gate: spec.pluginConfig.sidecar.credential: ", "placeholder");
        for other in ["CHANGE_ME", "<credential>", "${FILTER_CREDENTIAL}", "\"{{ .Values.credential }}\""] {
            let findings = changed(example, PLACEHOLDER, other);
            assert!(findings.iter().any(|line| line.contains("placeholder")), "{other}: {findings:?}");
        }
    }
}

#[test]
fn a_cluster_of_istios_has_its_form() {
    let cluster = "outbound|8081||session-gate-sidecar.session-gate.svc.cluster.local";
    for wrong in [
        "session-gate-sidecar",
        "outbound|8081|session-gate-sidecar.session-gate.svc.cluster.local",
        "outbound|http||a.b",
        "outbound|8081||sidecar",
    ] {
        assert_only(&changed(WORKLOAD, cluster, wrong), "error: ", "sidecar.cluster");
    }
}

#[test]
fn a_traffic_extension_is_checked_like_a_wasm_plugin() {
    let (head, rest) = WORKLOAD.split_once("  pluginName: session-gate\n").unwrap();
    let (module, rest) = rest.split_once("---\n").unwrap();
    let module: String = module.lines().map(|line| format!("  {line}\n")).collect();
    let extension = format!("{head}  wasm:\n    pluginName: session-gate\n{module}---\n{rest}")
        .replace("kind: WasmPlugin", "kind: TrafficExtension");
    assert_eq!(lines(&extension), [""; 0]);
    let findings = changed(&extension, "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN");
    assert_only(&findings, "error: TrafficExtension session-gate: spec.wasm.failStrategy: ", "FAIL_RELOAD");
}

#[test]
fn the_schema_describes_every_section() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    for section in ["sidecar", "issuers", "routes", "cookie", "csrf", "security_headers", "bounds"] {
        assert!(schema.pointer(&format!("/properties/{section}")).is_some(), "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
