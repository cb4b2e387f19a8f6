//! Reads a document into a type and finds every mistake in it, not only the first.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// Nobody mends more at a time, and it bounds the work.
const MAX_PROBLEMS: usize = 50;

/// One mistake: where, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The field's path, such as `routes[2].match.path`.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl ConfigProblem {
    /// A mistake at that path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Deserializes `document`, and where that fails notes the mistake, takes the wrong node out and goes
/// on. Every field of `T` must have a default, so that what was taken out is not missed; what is
/// required is checked by whoever makes sense of the result.
///
/// The second part is `None` only where the document as a whole is of the wrong type.
pub fn collect<T: DeserializeOwned>(mut document: Value) -> (Vec<ConfigProblem>, Option<T>) {
    let mut problems: Vec<ConfigProblem> = Vec::new();
    while problems.len() < MAX_PROBLEMS {
        let (path, segments, message) = match serde_path_to_error::deserialize::<_, T>(&document) {
            Ok(parsed) => return (problems, Some(parsed)),
            Err(error) => {
                let segments: Vec<Segment> = error.path().iter().cloned().collect();
                (error.path().to_string(), segments, error.inner().to_string())
            }
        };
        problems.push(ConfigProblem::new(path, message));
        if !take_out(&mut document, &segments) {
            return (problems, None);
        }
    }
    (problems, None)
}

/// Removes the innermost member on the way: an element of an array is not removed, for its
/// neighbours' places would change, but the array is.
fn take_out(document: &mut Value, segments: &[Segment]) -> bool {
    let Some(last) = segments.iter().rposition(|segment| matches!(segment, Segment::Map { .. })) else { return false };
    let mut node = document;
    for segment in segments.iter().take(last) {
        let inner = match segment {
            Segment::Map { key } => node.get_mut(key.as_str()),
            Segment::Seq { index } => node.get_mut(*index),
            Segment::Enum { variant } => node.get_mut(variant.as_str()),
            Segment::Unknown => None,
        };
        match inner {
            Some(inner) => node = inner,
            None => return false,
        }
    }
    match (node, segments.get(last)) {
        (Value::Object(members), Some(Segment::Map { key })) => members.remove(key.as_str()).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        number: u8,
        inner: Inner,
        list: Vec<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        text: String,
        flags: Vec<bool>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        Full(Box<Inner>),
    }

    fn paths(document: Value) -> Vec<String> {
        collect::<Outer>(document).0.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn every_mistake_is_found_with_its_path() {
        let document = json!({
            "number": 300, "colour": 1, "inner": {"text": 7, "flags": [true, "x"]},
            "list": [{"text": "a"}, {"txt": "b"}, {"text": "c", "kind": "odd"}],
        });
        let mut found = paths(document);
        found.sort();
        assert_eq!(found, ["colour", "inner.flags[1]", "inner.text", "list[1].txt", "list[2].kind", "number"]);
    }

    #[test]
    fn a_mistake_within_a_variant_is_found_too() {
        let found = paths(json!({"inner": {"kind": {"full": {"text": 1, "bad": 2}}}}));
        assert!(!found.is_empty() && found.iter().all(|path| path.starts_with("inner.kind")), "{found:?}");
    }

    #[test]
    fn what_is_right_is_read_and_what_is_wrong_as_a_whole_is_said() {
        let (problems, parsed) = collect::<Outer>(json!({"number": 3, "list": [{"kind": "plain"}]}));
        assert!(problems.is_empty() && parsed.unwrap().number == 3);
        assert!(collect::<Outer>(json!("text")).1.is_none());
    }
}
