//! What the examples mark with KEEP is checked: each of these lines is removed, and altered, one at a time, and the
//! check complains about its field.

use super::{Finding, check};

const EXAMPLES: [(&str, &str); 3] = [
    ("envoy.yaml", include_str!("../../../envoy/envoy.yaml")),
    ("istio/gateway.yaml", include_str!("../../../envoy/istio/gateway.yaml")),
    ("istio/workload.yaml", include_str!("../../../envoy/istio/workload.yaml")),
];

/// What each must replace.
pub(super) const PLACEHOLDER: &str = "REPLACE-BY-ONE-OF-THE-SIDECARS-FILTER-CREDENTIALS";

/// An example whose placeholders were replaced.
pub(super) fn filled_in(text: &str) -> String {
    text.replace(PLACEHOLDER, "c2lkZWNhcnMtZmlsdGVyLWNyZWRlbnRpYWw")
}

/// What a value is altered to; booleans are turned round.
const ALTERATIONS: [(&str, &str); 9] = [
    ("UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"),
    ("REJECT_REQUEST", "ALLOW"),
    ("FAIL_RELOAD", "FAIL_OPEN"),
    ("AUTHN", "AUTHZ"),
    ("SIDECAR_INBOUND", "SIDECAR_OUTBOUND"),
    ("{mode: SERVER}", "{mode: CLIENT_AND_SERVER}"),
    ("@sha256:0000000000000000000000000000000000000000000000000000000000000000", ":0.1.0"),
    (PLACEHOLDER, "\"\""),
    (", methods: [\"*\"]", ""),
];

/// Where a finding stands, for the fields that it does not name itself.
const NAMED_OTHERWISE: [(&str, &str); 2] = [("operation", "AuthorizationPolicy"), ("url", "digest")];

/// A line under a KEEP comment.
struct Kept {
    number: usize,
    field: String,
    value: String,
}

/// The lines that KEEP comments hold for: those up to the next comment or blank line.
fn kept(text: &str) -> Vec<Kept> {
    let (mut kept, mut in_comment, mut keeps) = (Vec::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') {
            keeps = line.starts_with("# KEEP: ") || (in_comment && keeps);
            in_comment = true;
            continue;
        }
        in_comment = false;
        keeps = keeps && !line.is_empty();
        if keeps {
            let (field, value) = line.trim_start_matches("- ").split_once(':').expect("a field");
            let value = value.trim().to_owned();
            assert!(!value.is_empty(), "KEEP holds for single lines, not for what is under {field}");
            kept.push(Kept { number, field: field.to_owned(), value });
        }
    }
    kept
}

fn altered(value: &str) -> String {
    match value {
        "true" => return "false".to_owned(),
        "false" => return "true".to_owned(),
        _ => {}
    }
    let (from, to) = ALTERATIONS.into_iter().find(|(from, _)| value.contains(from)).expect("an alteration of it");
    value.replace(from, to)
}

fn with_line(text: &str, number: usize, line: Option<&str>) -> String {
    let lines = text.lines().enumerate().filter_map(|(i, old)| if i == number { line } else { Some(old) });
    lines.collect::<Vec<_>>().join("\n")
}

fn names(finding: &Finding, field: &str) -> bool {
    let other = NAMED_OTHERWISE.into_iter().find(|(name, _)| *name == field).map(|(_, other)| other);
    finding.place.ends_with(field) || other.is_some_and(|other| finding.message.contains(other))
}

#[test]
fn the_examples_are_good_as_they_stand() {
    for (name, text) in EXAMPLES {
        let report = check(&filled_in(text));
        assert_eq!((report.configurations, report.findings), (1, vec![]), "{name}");
        assert!(kept(text).len() >= 7, "{name} has KEEP comments");
    }
}

#[test]
fn the_check_complains_of_each_kept_setting_that_is_missing_or_otherwise() {
    for (name, text) in EXAMPLES {
        for Kept { number, field, value } in kept(text) {
            let line = text.lines().nth(number).expect("the line");
            let other = line.replace(&value, &altered(&value));
            for changed in [with_line(text, number, None), with_line(text, number, Some(&other))] {
                let report = check(&filled_in(&changed));
                let complains = report.findings.iter().any(|finding| names(finding, &field));
                assert!(complains, "{name}:{}: {field} altered from {value}: {:?}", number + 1, report.findings);
            }
        }
    }
}

/// So that nobody makes one of them better and forgets the others.
#[test]
fn the_istio_manifests_set_the_connection_manager_as_the_example_does() {
    let [envoy, istio @ ..] = EXAMPLES.map(|(name, text)| {
        let kept = kept(text).into_iter().map(|kept| (kept.field, kept.value)).collect::<Vec<_>>();
        (name, kept)
    });
    for (name, kept) in istio {
        for setting in &envoy.1 {
            // Istio sets it by itself, and calls it otherwise.
            if !["use_remote_address", "failure_policy"].contains(&setting.0.as_str()) {
                assert!(kept.contains(setting), "{name} lacks {setting:?}");
            }
        }
    }
}
