//! A gauge whose figure may not be known: then it has no series. An old figure would pass for a new one, and no
//! comparison in an alert is true of `NaN`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::MetricType,
};

/// Clones share the figure.
#[derive(Clone, Debug, Default)]
pub(super) struct OptionalGauge(Arc<Mutex<Option<f64>>>);

impl OptionalGauge {
    pub(super) fn set(&self, figure: Option<f64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figure;
    }

    /// Sets it to a number of things.
    pub(super) fn set_count(&self, count: Option<u64>) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge shows 53 bits; nobody has more of anything")]
        self.set(count.map(|count| count as f64));
    }
}

impl EncodeMetric for OptionalGauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(figure) => encoder.encode_gauge(&figure),
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
