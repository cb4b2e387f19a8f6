//! The filter's configuration, looked at offline: is it right, does what surrounds it protect, and what is its
//! JSON Schema.
//!
//! The configuration itself is judged by the very code that judges it in Envoy (`session_gate_policy::config`).
//! Around it, in an Envoy configuration or in Istio's resources, every setting is checked that the examples mark
//! with KEEP, and some that are safe by default.

mod bypass;
mod clusters;
mod endpoints;
mod envoy;
mod istio;
#[cfg(test)]
mod keep_tests;
mod manager;
mod node;
mod plugin;
mod report;
#[cfg(test)]
mod tests;

use serde_json::Value;
use session_gate_policy::config::{Config, raw::RawConfig};

pub use self::report::{Finding, Report, Severity};

/// Checks every configuration of the filter in a YAML or JSON text: the configuration itself, an Envoy
/// configuration with the filter in it, or Istio's `WasmPlugin` or `TrafficExtension`, with what surrounds it.
pub fn check(text: &str) -> Report {
    let mut report = Report::default();
    let documents = match documents(text) {
        Ok(documents) => documents,
        Err(message) => {
            report.error("", message);
            return report;
        }
    };
    for document in &documents {
        if is_bare(document) {
            check_configuration(document.clone(), "", &mut report);
        } else {
            envoy::check(document, "", &mut report);
        }
    }
    istio::check(&documents, &mut report);
    if report.configurations == 0 {
        report.error("", "no configuration of the filter in it: no plugin named session-gate");
    }
    report
}

/// What begins as JSON must be JSON, as it must be for Envoy: YAML allows more.
fn documents(text: &str) -> Result<Vec<Value>, String> {
    if text.trim_start().starts_with('{') {
        return Config::parse(text.as_bytes()).map(|document| vec![document]).map_err(|problem| problem.message);
    }
    serde_saphyr::from_multiple(text).map_err(|error| format!("not YAML: {error}"))
}

/// The JSON Schema (draft 2020-12) of the filter's configuration, made from its types.
pub fn schema() -> String {
    let schema = schemars::schema_for!(RawConfig);
    let mut text = format!("{:#}", schema.as_value());
    text.push('\n');
    text
}

/// Checks a configuration of the filter's as the filter does.
fn check_configuration(configuration: Value, place: &str, report: &mut Report) {
    report.configurations += 1;
    if node::text(&configuration, "sidecar.credential").is_some_and(is_placeholder) {
        report.error(
            report::join(place, "sidecar.credential"),
            "is a placeholder: must be one of the sidecar's `filter` credentials",
        );
    }
    match Config::from_value(configuration) {
        Ok(config) => {
            for warning in config.warnings() {
                report.warning(report::join(place, &warning.path), warning.message.as_str());
            }
        }
        Err(problems) => {
            for problem in problems {
                report.error(report::join(place, &problem.path), problem.message);
            }
        }
    }
}

/// Whether a credential is what somebody should have replaced, or a template's variable.
fn is_placeholder(credential: &str) -> bool {
    let word = credential.to_ascii_lowercase().replace(['-', '_', ' '], "");
    ["replaceby", "replaceme", "replacewith", "changeme", "placeholder", "yourcredential"]
        .iter()
        .any(|part| word.contains(part))
        || ["<", "${", "$(", "{{"].iter().any(|begin| word.starts_with(begin))
}

/// Whether a document is the configuration itself: it has one of its sections.
fn is_bare(document: &Value) -> bool {
    ["issuers", "routes", "sidecar"].iter().any(|section| document.get(section).is_some())
}
