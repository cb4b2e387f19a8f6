//! What Envoy's HTTP connection manager must do so that the filter judges the request that the upstream reads.

use std::time::Duration;

use serde_json::Value;

use super::{
    node::{at, duration, elements},
    report::{Report, Severity, join},
};

/// Below it Envoy may close while a slow client still reads what was sent: Envoy's own default.
const SHORTEST_DELAYED_CLOSE: Duration = Duration::from_secs(1);

/// What a setting may be.
enum Allowed {
    True,
    /// One of these names.
    OneOf(&'static [&'static str]),
}

/// A setting of the connection manager that the protection rests on.
struct Setting {
    field: &'static str,
    allowed: Allowed,
    severity: Severity,
    why: &'static str,
}

const SETTINGS: [Setting; 5] = [
    Setting {
        field: "normalize_path",
        allowed: Allowed::True,
        severity: Severity::Error,
        why: "without it /public/../admin reaches the filter and the upstream in different spellings",
    },
    Setting {
        field: "merge_slashes",
        allowed: Allowed::True,
        severity: Severity::Error,
        why: "without it //admin reaches the upstream, which may read it as /admin",
    },
    Setting {
        field: "path_with_escaped_slashes_action",
        allowed: Allowed::OneOf(&["UNESCAPE_AND_REDIRECT", "REJECT_REQUEST", "KEEP_UNCHANGED"]),
        severity: Severity::Warning,
        why: "otherwise a proxy in front of Envoy may have judged another path than the one that is forwarded",
    },
    Setting {
        field: "strip_trailing_host_dot",
        allowed: Allowed::True,
        severity: Severity::Error,
        why: "without it a rule for the host \"app.example\" does not hold for \"app.example.\"",
    },
    Setting {
        field: "common_http_protocol_options.headers_with_underscores_action",
        allowed: Allowed::OneOf(&["REJECT_REQUEST", "DROP_HEADER"]),
        severity: Severity::Error,
        why: "upstreams that follow CGI (Django, WSGI, PHP) read x_user_id as x-user-id",
    },
];

impl Allowed {
    /// What is wrong with the value; `None`: nothing.
    fn refuse(&self, value: Option<&Value>) -> Option<String> {
        let allowed = match self {
            Self::True if value.is_some_and(|value| *value == true) => return None,
            Self::True => "true".to_owned(),
            Self::OneOf(names) if names.iter().any(|name| value.is_some_and(|value| value == name)) => return None,
            Self::OneOf(names) => names.join(" or "),
        };
        Some(match value {
            Some(value) => format!("must be {allowed}, not {value}"),
            None => format!("is not set; must be {allowed}"),
        })
    }
}

/// Checks what both Envoy's own configuration and Istio's `EnvoyFilter` must set.
pub(super) fn check_settings(manager: &Value, place: &str, report: &mut Report) {
    for setting in &SETTINGS {
        if let Some(refusal) = setting.allowed.refuse(at(manager, setting.field)) {
            report.add(setting.severity, join(place, setting.field), format!("{refusal}: {}", setting.why));
        }
    }
    if at(manager, "proxy_100_continue").is_some_and(|value| *value == true) {
        report.warning(
            join(place, "proxy_100_continue"),
            "no filter sees the 1xx answers of upstreams (100 Continue, 103 Early Hints) that it lets through: \
             the headers in them are neither removed nor replaced",
        );
    }
    if at(manager, "delayed_close_timeout").and_then(duration).is_some_and(|time| time < SHORTEST_DELAYED_CLOSE) {
        report.warning(
            join(place, "delayed_close_timeout"),
            "under 1s it cuts off the end of long answers to slow clients, and of denials to clients that are still \
             uploading; Envoy's default is 1s",
        );
    }
}

/// Whose address the filter counts and blocks: that of the connection, not one that a client makes up. Istio sets
/// it by itself.
pub(super) fn check_address(manager: &Value, place: &str, report: &mut Report) {
    let by_extension = !elements(manager, "original_ip_detection_extensions").is_empty();
    if by_extension || at(manager, "use_remote_address").is_some_and(|value| *value == true) {
        return;
    }
    report.error(
        join(place, "use_remote_address"),
        "must be true: otherwise a client chooses its address by X-Forwarded-For, and with it which limits and \
         blocks hold for it. Behind proxies of yours set xff_num_trusted_hops as well: the number of proxies \
         before Envoy",
    );
}

/// Whether any answer may take longer than a route's time-out, as streams and long downloads do.
pub(super) fn check_routes(manager: &Value, place: &str, report: &mut Report) {
    let mut actions = elements(manager, "route_config.virtual_hosts")
        .iter()
        .flat_map(|host| elements(host, "routes"))
        // One for gRPC alone says nothing of other streams.
        .filter(|route| at(route, "match.grpc").is_none())
        .filter_map(|route| at(route, "route"))
        .peekable();
    let is_endless = |action: &Value| at(action, "timeout").and_then(duration).is_some_and(|time| time.is_zero());
    if actions.peek().is_some() && !actions.any(is_endless) {
        report.warning(
            join(place, "route_config"),
            "no route has `timeout: 0s`: the time-out, 15s where none is set, is for the whole answer, and cuts off \
             event streams, gRPC streams and long downloads",
        );
    }
}
