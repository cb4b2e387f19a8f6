//! What is registered: each metric, and what the documentation says of it.

use prometheus_client::{
    metrics::MetricType,
    registry::{Metric, Registry},
};

/// What every metric's name begins with.
const PREFIX: &str = "session_gate";

/// One metric, as the documentation shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its full name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it is.
    pub help: &'static str,
}

/// A registry that knows what is in it: that one leaves out what has not counted anything yet.
#[derive(Debug)]
pub(super) struct Catalogue {
    registry: Registry,
    described: Vec<Described>,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), described: Vec::new() }
    }

    /// Registers a metric, by its name without the prefix and without `_total`.
    pub(super) fn register(&mut self, name: &str, help: &'static str, metric: impl Metric) {
        let (kind, total) = match metric.metric_type() {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Gauge => ("gauge", ""),
            MetricType::Histogram => ("histogram", ""),
            _ => ("unknown", ""),
        };
        self.described.push(Described { name: format!("{PREFIX}_{name}{total}"), kind, help });
        self.registry.register(name, help, metric);
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn described(&self) -> &[Described] {
        &self.described
    }
}
