//! The buckets of histograms.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Makes the histogram of one series.
pub(super) type NewHistogram = fn() -> Histogram;

/// From half a millisecond to 8 seconds.
pub(super) fn request_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 15))
}

/// From a minute to 14 days.
pub(super) fn session_histogram() -> Histogram {
    Histogram::new(exponential_buckets(60.0, 3.0, 10))
}
