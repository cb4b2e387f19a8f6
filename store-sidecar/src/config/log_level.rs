//! What is logged.

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;

/// Reads a level, and levels of single modules: `warn`, or `info,store_sidecar::http=debug`. What is said
/// of no module is logged from `info` on.
///
/// # Errors
/// The part that is none: a word that is no level is not taken for a module's name.
pub(super) fn targets(text: &str) -> Result<Targets, &str> {
    let mut targets = Targets::new().with_default(Level::INFO);
    for part in text.split(',').map(str::trim) {
        targets = match part.split_once('=') {
            None => targets.with_default(level(part).ok_or(part)?),
            Some((module, of_module)) if is_module(module) => {
                targets.with_target(module, level(of_module).ok_or(part)?)
            }
            Some(_) => return Err(part),
        };
    }
    Ok(targets)
}

fn level(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_lowercase().as_str() {
        "error" => LevelFilter::ERROR,
        "warn" | "warning" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

fn is_module(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_logged_at_warning_however_it_is_written() {
        for text in ["WARNING", "warning", "Warn", "warn", " warn "] {
            let targets = targets(text).unwrap();
            assert!(targets.would_enable("store_sidecar", &Level::WARN), "{text}");
            assert!(!targets.would_enable("store_sidecar", &Level::INFO), "{text}");
        }
        let targets = targets("error,store_sidecar::http=debug").unwrap();
        assert!(targets.would_enable("store_sidecar::http::auth", &Level::DEBUG));
        assert!(!targets.would_enable("store_sidecar", &Level::WARN));
    }

    #[test]
    fn what_is_no_level_is_refused_and_not_taken_for_a_module() {
        for (text, wrong) in [
            ("none", "none"),
            ("inf", "inf"),
            ("debugg", "debugg"),
            ("trace=5", "trace=5"),
            ("info,loud", "loud"),
            ("", ""),
            ("info,", ""),
            ("=info", "=info"),
            ("a b=info", "a b=info"),
        ] {
            assert_eq!(targets(text).unwrap_err(), wrong, "{text}");
        }
    }
}
