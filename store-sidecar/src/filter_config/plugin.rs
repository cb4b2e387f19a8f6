//! The plugins in a configuration of Envoy's, and what each is configured with.

use serde_json::Value;
use session_gate_policy::config::Config;

use super::node::{at, field, is_plugin, text};

/// The plugins of ours within.
pub(super) fn plugins(node: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match node {
        Value::Object(_) if is_plugin(node) => Box::new(std::iter::once(node)),
        Value::Object(members) => Box::new(members.values().flat_map(plugins)),
        Value::Array(elements) => Box::new(elements.iter().flat_map(plugins)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Box::new(std::iter::empty()),
    }
}

/// The configuration that Envoy hands to the plugin.
pub(super) fn configuration(plugin: &Value) -> Result<Value, String> {
    let is_text = field(plugin, "configuration")
        .and_then(|configuration| text(configuration, "@type"))
        .is_none_or(|kind| kind.ends_with("google.protobuf.StringValue"));
    match at(plugin, "configuration.value") {
        // The plugin gets the text in it.
        Some(Value::String(text)) if is_text => {
            Config::parse(text.as_bytes()).map_err(|problem| format!("value {}, within the value", problem.message))
        }
        // Envoy hands any other message on as protobuf, which the filter refuses.
        Some(_) | None => {
            Err("must be a google.protobuf.StringValue with the filter's configuration, as JSON, as its value"
                .to_owned())
        }
    }
}
