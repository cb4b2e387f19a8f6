//! The filter's configuration, looked at offline: is it right, and what is its JSON Schema.
//!
//! The judge is the very code that judges it in Envoy (`session_gate_policy::config`).

use serde_json::Value;
use session_gate_policy::config::{Config, raw::RawConfig};

/// A mistake, as one line: where, and what is allowed.
pub type Mistake = String;

/// Judges every configuration of the filter in a YAML or JSON text: the configuration itself, an
/// Envoy configuration with the filter in it, or an Istio `WasmPlugin`. Answers how many there were.
///
/// # Errors
/// Every mistake; a text that is no YAML, or has no configuration of the filter in it, is one.
pub fn check(text: &str) -> Result<usize, Vec<Mistake>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| vec![format!("not YAML: {error}")])?;
    let mut found = Vec::new();
    for document in &documents {
        if is_bare(document) {
            found.push((String::new(), Ok(document.clone())));
        } else {
            find(document, "", &mut found);
        }
    }
    if found.is_empty() {
        return Err(vec!["no configuration of the filter in it: no plugin named session-gate".to_owned()]);
    }
    let count = found.len();
    let mistakes: Vec<Mistake> = found
        .into_iter()
        .flat_map(|(place, value)| {
            let problems = match value {
                Ok(value) => {
                    Config::from_value(value).err().unwrap_or_default().iter().map(ToString::to_string).collect()
                }
                Err(mistake) => vec![mistake],
            };
            problems.into_iter().map(move |problem| match place.as_str() {
                "" => problem,
                place => format!("{place}: {problem}"),
            })
        })
        .collect();
    if mistakes.is_empty() { Ok(count) } else { Err(mistakes) }
}

/// The JSON Schema (draft 2020-12) of the filter's configuration, made from its types.
pub fn schema() -> String {
    let schema = schemars::schema_for!(RawConfig);
    let mut text = format!("{:#}", schema.as_value());
    text.push('\n');
    text
}

/// Whether a document is the configuration itself: it has one of its sections.
fn is_bare(document: &Value) -> bool {
    ["issuers", "routes", "sidecar"].iter().any(|section| document.get(section).is_some())
}

/// Collects what Envoy would hand to the filter, with the place where it stands.
fn find(node: &Value, place: &str, found: &mut Vec<(String, Result<Value, Mistake>)>) {
    match node {
        Value::Object(members) => {
            if let Some(configuration) = plugin_configuration(node) {
                found.push((place.to_owned(), configuration));
                return;
            }
            for (name, member) in members {
                let inner = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                find(member, &inner, found);
            }
        }
        Value::Array(elements) => {
            for (i, element) in elements.iter().enumerate() {
                find(element, &format!("{place}[{i}]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The configuration of a plugin of ours, as Envoy's `PluginConfig` or Istio's `WasmPlugin` has it.
fn plugin_configuration(node: &Value) -> Option<Result<Value, Mistake>> {
    let is_ours = |name: Option<&Value>| {
        name.and_then(Value::as_str).is_some_and(|name| name.replace('_', "-").contains("session-gate"))
    };
    if node.get("kind").and_then(Value::as_str) == Some("WasmPlugin") {
        let spec = node.get("spec")?;
        let ours =
            is_ours(spec.get("pluginName")) || is_ours(spec.get("url")) || is_ours(node.pointer("/metadata/name"));
        return ours.then(|| Ok(spec.get("pluginConfig").cloned().unwrap_or_default()));
    }
    node.get("vm_config").or_else(|| node.get("vmConfig"))?;
    let ours = is_ours(node.get("name")) || is_ours(node.get("root_id")) || is_ours(node.get("rootId"));
    ours.then(|| match node.pointer("/configuration/value") {
        // The plugin gets the text in it.
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|error| format!("configuration.value: must be JSON: {error}"))
        }
        // Envoy hands any other message on as protobuf, which the filter refuses.
        Some(_) | None => {
            Err("configuration: must be a google.protobuf.StringValue with the filter's JSON as its value".to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "routes: [{name: all, authentication: public}]";

    fn in_envoy(configuration: &str) -> String {
        format!(
            "http_filters:\n- name: x\n  config:\n    name: session-gate\n    vm_config: {{runtime: v8}}\n    configuration: {configuration}\n"
        )
    }

    #[test]
    fn it_is_found_bare_in_envoys_configuration_and_in_istios() {
        assert_eq!(check(BARE), Ok(1));
        let as_text = r#"{"@type": "x/google.protobuf.StringValue", "value": "{\"routes\":[{\"name\":\"all\",\"authentication\":\"public\"}]}"}"#;
        assert_eq!(check(&in_envoy(as_text)), Ok(1));
        let istio = format!(
            "kind: Other\n---\nkind: WasmPlugin\nspec:\n  pluginName: session-gate\n  pluginConfig:\n    {BARE}\n"
        );
        assert_eq!(check(&istio), Ok(1));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        assert_eq!(
            check("routes: [{name: a, colour: 1}]\nissuers: []").unwrap_err()[0].split(':').next(),
            Some("routes[0].colour")
        );
        let mistakes =
            check(&in_envoy(r#"{value: '{"colour": 1, "routes": [{"name": "a", "authentication": "public"}]}'}"#))
                .unwrap_err();
        assert!(mistakes[0].starts_with("http_filters[0].config: colour: "), "{mistakes:?}");
    }

    #[test]
    fn a_text_without_any_is_a_mistake() {
        for text in ["", "a: 1", "a: [", "- 1", "name: session-gate"] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check(&in_envoy("{value: \"rubbish\"}")).is_err());
        let as_struct = check(&in_envoy("{value: {routes: [{name: a, authentication: public}]}}")).unwrap_err();
        assert!(as_struct[0].contains("StringValue"), "{as_struct:?}");
    }

    #[test]
    fn the_schema_describes_every_section() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        for section in ["sidecar", "issuers", "routes", "cookie", "csrf", "security_headers", "limits"] {
            assert!(schema.pointer(&format!("/properties/{section}")).is_some(), "{section}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
