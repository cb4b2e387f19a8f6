//! The log: to standard error, so that standard output stays free for commands that print.

use std::io;

use tracing_subscriber::{fmt, layer::SubscriberExt as _, registry::Registry, util::SubscriberInitExt as _};

use crate::config::{LogFormat, MonitoringConfig};

/// Starts the log of this process. A second call changes nothing.
pub fn init(config: &MonitoringConfig) {
    let filtered = Registry::default().with(config.log.clone());
    let started = match config.log_format {
        LogFormat::Json => filtered.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init(),
        LogFormat::Text => filtered.with(fmt::layer().with_ansi(false).with_writer(io::stderr)).try_init(),
    };
    // Only a log that exists already can be in the way, and then there is one.
    drop(started);
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
