//! Settings under the names of the release before: still read, with a warning. On Istio a proxy that starts with a
//! configuration that is refused answers 500.

use serde_json::{Map, Value};

use super::problems::ConfigProblem;

/// Gives settings their new names, and says which had old ones. Where both are there the old one stays, for the shape
/// of the document to be refused.
pub(super) fn rename(document: &mut Value) -> Vec<ConfigProblem> {
    let mut warnings = Vec::new();
    let Some(top) = document.as_object_mut() else { return warnings };
    rename_member(top, "limits", "bounds", "", &mut warnings);
    for (name, limit) in top.get_mut("rate_limits").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(limit) = limit.as_object_mut() {
            let place = format!("rate_limits.{name}.");
            rename_member(limit, "store_away", "on_store_unavailable", &place, &mut warnings);
        }
    }
    let issuers = top.get_mut("issuers").and_then(Value::as_array_mut).into_iter().flatten();
    for (place, issuer) in issuers.enumerate() {
        if let Some(revocation) = issuer.get_mut("revocation").filter(|value| *value == "check") {
            *revocation = "sessions".into();
            let path = format!("issuers[{place}].revocation");
            warnings.push(ConfigProblem::new(path, "`check` is called `sessions` now"));
        }
    }
    warnings
}

fn rename_member(
    object: &mut Map<String, Value>,
    old: &str,
    new: &str,
    place: &str,
    warnings: &mut Vec<ConfigProblem>,
) {
    if !object.contains_key(new)
        && let Some(value) = object.remove(old)
    {
        object.insert(new.to_owned(), value);
        warnings.push(ConfigProblem::new(format!("{place}{old}"), format!("is called `{new}` now")));
    }
}
