//! Reading Envoy's and Istio's configurations as they may be written: protobuf's JSON takes the names of fields
//! in snake_case and in lowerCamelCase.

use std::time::Duration;

use serde_json::Value;

/// The field with that name in `snake_case`, however it is spelled.
pub(super) fn field<'v>(node: &'v Value, name: &str) -> Option<&'v Value> {
    node.get(name).or_else(|| node.get(camel_case(name)))
}

/// The field at that path: names in `snake_case`, divided by dots.
pub(super) fn at<'v>(node: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(node, field)
}

/// The string at that path.
pub(super) fn text<'v>(node: &'v Value, path: &str) -> Option<&'v str> {
    at(node, path)?.as_str()
}

/// The elements of the list at that path; none where there is no list.
pub(super) fn elements<'v>(node: &'v Value, path: &str) -> &'v [Value] {
    at(node, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A duration as protobuf's JSON has it: seconds and an `s`.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    let seconds = value.as_str()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether a name is one of ours: `session-gate`, alone or as a part.
pub(super) fn is_ours(name: &str) -> bool {
    name.replace('_', "-").contains("session-gate")
}

/// Whether this is a `PluginConfig` of ours.
pub(super) fn is_plugin(node: &Value) -> bool {
    field(node, "vm_config").is_some() && ["name", "root_id"].iter().any(|name| text(node, name).is_some_and(is_ours))
}

/// Whether there is one within.
pub(super) fn has_plugin(node: &Value) -> bool {
    match node {
        Value::Object(members) => is_plugin(node) || members.values().any(has_plugin),
        Value::Array(elements) => elements.iter().any(has_plugin),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.extend(letters);
        camel
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_in_either_spelling() {
        for node in [json!({"ab_cd_ef": {"g": [1]}}), json!({"abCdEf": {"g": [1]}})] {
            assert_eq!(elements(&node, "ab_cd_ef.g"), [json!(1)]);
            assert_eq!(at(&node, "ab_cd.g"), None);
        }
    }

    #[test]
    fn durations_are_seconds() {
        for (text, millis) in [("1s", Some(1000)), ("0.1s", Some(100)), ("0s", Some(0)), ("1", None), ("-1s", None)] {
            assert_eq!(duration(&json!(text)), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(duration(&json!(1)), None);
    }
}
