//! Whether the filter can reach the sidecar: the cluster that it names, and the credential that it needs there.

use std::net::IpAddr;

use serde_json::Value;

use super::{
    node::{at, elements, text},
    report::{Report, join},
};

/// The clusters of an Envoy configuration.
#[derive(Clone, Copy)]
pub(super) struct Clusters<'v> {
    defined: &'v [Value],
    /// Whether there may be more, which Envoy is told of later.
    are_dynamic: bool,
}

impl<'v> Clusters<'v> {
    /// Those of a bootstrap; `None`: the document is no bootstrap.
    pub(super) fn of(document: &'v Value) -> Option<Self> {
        at(document, "static_resources")?;
        let are_dynamic = at(document, "dynamic_resources.cds_config").is_some();
        Some(Self { defined: elements(document, "static_resources.clusters"), are_dynamic })
    }

    /// Checks the sidecar's cluster in a configuration of the filter's. `place` is that of the configuration.
    pub(super) fn check(self, configuration: &Value, place: &str, report: &mut Report) {
        let Some(name) = text(configuration, "sidecar.cluster") else { return };
        let found = self.defined.iter().find(|cluster| text(cluster, "name") == Some(name));
        let Some(cluster) = found else {
            if !self.are_dynamic {
                let names: Vec<&str> = self.defined.iter().filter_map(|cluster| text(cluster, "name")).collect();
                report.error(
                    join(place, "sidecar.cluster"),
                    format!("{name:?} is none of the clusters; there are: {}", names.join(", ")),
                );
            }
            return;
        };
        if matches!(text(cluster, "type"), Some("EDS")) {
            return;
        }
        let hosts: Vec<&str> = endpoints(cluster).filter_map(host).collect();
        if hosts.is_empty() {
            report.error(
                join(place, "sidecar.cluster"),
                format!("the cluster {name:?} has no endpoint with an address and a port in its load_assignment"),
            );
        }
        if at(configuration, "sidecar.credential").is_none() && hosts.iter().any(|host| !is_loopback(host)) {
            report.error(
                join(place, "sidecar.credential"),
                format!(
                    "is not set, and {name:?} is not on loopback, where alone the sidecar serves without credentials: \
                     one of its `filter` role is needed"
                ),
            );
        }
    }
}

/// Checks the name of a cluster on Istio, and that there is a credential: what is in another pod is never reached
/// by loopback.
pub(super) fn check_on_istio(configuration: &Value, place: &str, report: &mut Report) {
    let Some(name) = text(configuration, "sidecar.cluster") else { return };
    if !is_outbound(name) {
        report.error(
            join(place, "sidecar.cluster"),
            format!(
                "{name:?} is no cluster of Istio's: must be outbound|PORT||HOST, HOST being the service's whole name"
            ),
        );
    }
    if at(configuration, "sidecar.credential").is_none() {
        report.error(
            join(place, "sidecar.credential"),
            "is not set: the sidecar serves without credentials on loopback only, so one of its `filter` role is needed",
        );
    }
}

/// Whether the name is `outbound|PORT|SUBSET|HOST`.
fn is_outbound(name: &str) -> bool {
    let parts: Vec<&str> = name.split('|').collect();
    matches!(parts.as_slice(), ["outbound", port, _, host] if port.parse::<u16>().is_ok() && host.contains('.'))
}

fn endpoints(cluster: &Value) -> impl Iterator<Item = &Value> {
    elements(cluster, "load_assignment.endpoints")
        .iter()
        .flat_map(|locality| elements(locality, "lb_endpoints"))
        .filter_map(|endpoint| at(endpoint, "endpoint.address"))
}

/// The host of an address, if it has a port too; a Unix socket is on this machine.
fn host(address: &Value) -> Option<&str> {
    if at(address, "pipe.path").is_some() {
        return Some("localhost");
    }
    at(address, "socket_address.port_value").or_else(|| at(address, "socket_address.named_port"))?;
    text(address, "socket_address.address")
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
