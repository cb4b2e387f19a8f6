//! Reads a JSON value into a type and reports *every* place that does not fit, not just the first:
//! on an error the place is noted and removed, and reading begins anew with what is left.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// A place that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The path to it, such as `session.duration_hours` or `scopes[1]`.
    pub path: String,
    /// What was found and what is allowed. Never the value itself, which may be a secret.
    pub message: String,
}

/// Nobody mends more at a time, and it bounds the work on what strangers send.
const MAX_MISFITS: usize = 50;

/// The elements that were removed from each list, by its path: later ones have moved up since.
type Removed = BTreeMap<String, BTreeSet<usize>>;

/// Reads `value`. What does not fit is removed from it and reported; the type is `None` only where
/// something that it cannot be without is missing, or too much does not fit.
pub fn collect<T: DeserializeOwned>(value: &mut Value) -> (Option<T>, Vec<Misfit>) {
    let mut misfits: Vec<Misfit> = Vec::new();
    let mut removed = Removed::new();
    while misfits.len() < MAX_MISFITS {
        let error = match serde_path_to_error::deserialize::<_, T>(&*value) {
            Ok(read) => return (Some(read), misfits),
            Err(error) => error,
        };
        let segments: Vec<Segment> = error.path().iter().cloned().collect();
        let path = written_path(&segments, &removed);
        let text = error.into_inner().to_string();
        if let Some(field) = between_ticks(&text, "missing field `") {
            let path = joined(&path, field);
            // Removed by an earlier turn: reported already.
            if !misfits.iter().any(|misfit| misfit.path == path) {
                misfits.push(Misfit { path, message: "is missing".to_owned() });
            }
            return (None, misfits);
        }
        let message = message(&text, node(value, &segments));
        misfits.push(Misfit { path, message });
        if !remove(value, &segments, &mut removed) {
            return (None, misfits);
        }
    }
    (None, misfits)
}

/// What does not fit first in a JSON text of which no value can be made: it has numbers that are too large, or is nested
/// too deep. `None`: it fits.
pub fn first_misfit<T: DeserializeOwned>(json: &[u8]) -> Option<Misfit> {
    let error = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(json)).err()?;
    let segments: Vec<Segment> = error.path().iter().cloned().collect();
    let text = error.into_inner().to_string();
    // Behind it serde says where in the text it is.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    Some(Misfit { path: written_path(&segments, &Removed::new()), message: message(text, None) })
}

fn joined(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// The path as the writer counts, before anything was removed.
fn written_path(segments: &[Segment], removed: &Removed) -> String {
    segments.iter().fold(String::new(), |path, segment| match segment {
        Segment::Seq { index } => {
            let before = removed.get(&path).into_iter().flatten();
            let written = before.fold(*index, |at, gone| if *gone <= at { at.saturating_add(1) } else { at });
            format!("{path}[{written}]")
        }
        Segment::Map { key } => joined(&path, key),
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}

/// Says what was found and what is allowed, out of serde's text but without the value that serde
/// quotes.
fn message(text: &str, found: Option<&Value>) -> String {
    if let Some(rest) = text.strip_prefix("unknown field ") {
        let allowed = rest.split_once(", expected ").map_or("nothing", |(_, allowed)| allowed);
        return format!("is unknown here; allowed: {}", allowed.trim_start_matches("one of "));
    }
    if text.starts_with("unknown variant ")
        && let (Some(Value::String(_)), Some((_, expected))) = (found, text.rsplit_once("expected "))
    {
        return format!("is none of the allowed: {}", in_words(expected));
    }
    let typed = ["invalid type: ", "invalid value: ", "unknown variant ", "invalid length "];
    if typed.iter().any(|prefix| text.starts_with(prefix))
        && let Some((_, expected)) = text.rsplit_once("expected ")
    {
        return format!("is {}; allowed: {}", kind_of(found), in_words(expected));
    }
    // A message of our own types, which never quote the value.
    text.to_owned()
}

/// What serde expects, in the words of those who write JSON and YAML.
fn in_words(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a map" => "a section",
        "a sequence" => "a list",
        "a string" => "a text",
        "u64" | "usize" => "a whole number, 0 or more",
        _ if expected.starts_with("struct ") => "a section",
        _ => expected.trim_start_matches("one of "),
    }
}

const fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "something else",
        Some(Value::Array(_)) => "a list",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Null) => "empty",
        Some(Value::Number(_)) => "a number",
        Some(Value::Object(_)) => "a section",
        Some(Value::String(_)) => "a text",
    }
}

fn between_ticks<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    text.strip_prefix(prefix).and_then(|rest| rest.split_once('`')).map(|(field, _)| field)
}

fn node<'v>(value: &'v Value, path: &[Segment]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

/// Removes the node at `path`; false where there is none to remove (the root).
fn remove(value: &mut Value, path: &[Segment], removed: &mut Removed) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let parent = parents.iter().try_fold(value, |value, segment| match segment {
        Segment::Seq { index } => value.get_mut(index),
        Segment::Map { key } => value.get_mut(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    });
    match (parent, last) {
        (Some(Value::Array(list)), Segment::Seq { index }) if *index < list.len() => {
            list.remove(*index);
            let list_path = written_path(parents, removed);
            let gone = removed.entry(list_path).or_default();
            let written = gone.iter().fold(*index, |at, gone| if *gone <= at { at.saturating_add(1) } else { at });
            gone.insert(written)
        }
        (Some(Value::Object(members)), Segment::Map { key }) => members.remove(key).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: Option<u64>,
        list: Option<Vec<String>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Option<Inner>,
        text: String,
    }

    fn run(value: Value) -> (Option<Outer>, Vec<String>) {
        let (read, misfits) = collect(&mut value.clone());
        (read, misfits.into_iter().map(|m| format!("{}: {}", m.path, m.message)).collect())
    }

    #[test]
    fn every_misfit_is_reported_and_no_value_is_quoted() {
        let (read, misfits) = run(json!({
            "inner": {"number": "hunter2", "list": ["a", 1, "b", false], "other": 1},
            "text": "t",
            "unknown": {},
        }));
        assert_eq!(
            misfits,
            [
                "inner.list[1]: is a number; allowed: a text",
                "inner.list[3]: is true or false; allowed: a text",
                "inner.number: is a text; allowed: a whole number, 0 or more",
                "inner.other: is unknown here; allowed: `number` or `list`",
                "unknown: is unknown here; allowed: `inner` or `text`",
            ]
        );
        let inner = Inner { number: None, list: Some(vec!["a".into(), "b".into()]) };
        assert_eq!(read, Some(Outer { inner: Some(inner), text: "t".into() }));
    }

    #[test]
    fn what_is_missing_is_named_once() {
        assert_eq!(run(json!({})).1, ["text: is missing"]);
        assert_eq!(run(json!({"text": 1})).1, ["text: is a number; allowed: a text"]);
    }

    #[test]
    fn the_work_is_bounded() {
        let (read, misfits) = run(json!({"text": "t", "inner": {"list": vec![1; 10_000]}}));
        assert_eq!((read, misfits.len()), (None, MAX_MISFITS));
    }

    #[test]
    fn of_what_is_no_value_the_first_misfit_is_named() {
        let first = |json: &str| first_misfit::<Outer>(json.as_bytes()).map(|misfit| (misfit.path, misfit.message));
        let said = |path: &str, message: &str| Some((path.to_owned(), message.to_owned()));
        let number = r#"{"text": "t", "inner": {"number": "hunter2", "more": 1e400}}"#;
        assert_eq!(first(number), said("inner.number", "is something else; allowed: a whole number, 0 or more"));
        assert_eq!(first(r#"{"text": "t"}"#), None);
    }

    #[test]
    fn a_root_that_is_no_object_is_one_misfit() {
        assert_eq!(run(json!([1])).0, None);
        assert_eq!(run(json!("x")).1.len(), 1);
    }
}
