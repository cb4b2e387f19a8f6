//! What each operation that asks for a credential has in common.

use serde_json::{Value, json};

use crate::{credentials::Role, http::roles};

/// Names the roles of each operation, and what others are answered.
pub(super) fn add(document: &mut Value) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, methods) in paths {
        let names: Vec<_> = roles::of(path).iter().copied().map(Role::as_str).collect();
        let operations = methods.as_object_mut().into_iter().flat_map(|methods| methods.values_mut());
        for operation in operations.filter(|operation| operation.get("security").is_some()) {
            operation["x-required-role"] = json!(names);
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                responses.insert("401".to_owned(), problem("The credential is missing or unknown"));
                responses.insert("403".to_owned(), problem("The credential is of another role"));
            }
        }
    }
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}
