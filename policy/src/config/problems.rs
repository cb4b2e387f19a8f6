//! Mistakes of meaning, collected while a configuration is built.

use std::{fmt, ops::RangeInclusive, time::Duration};

use session_gate_protocol::Misfit;

/// One mistake: where, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The field's path, such as `routes[2].match.path`.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl ConfigProblem {
    /// A mistake at that path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The document as a whole has no path.
        let path = if self.path.is_empty() { "." } else { &self.path };
        write!(f, "{path}: {}", self.message)
    }
}

/// The mistakes so far. A value that is wrong is noted and something harmless put in its place: with
/// a mistake noted no configuration comes of it.
pub(super) struct Problems {
    mistakes: Vec<ConfigProblem>,
    warnings: Vec<ConfigProblem>,
}

impl Problems {
    pub(super) fn new(misfits: Vec<Misfit>) -> Self {
        let mistakes = misfits.into_iter().map(|misfit| ConfigProblem::new(misfit.path, misfit.message));
        Self { mistakes: mistakes.collect(), warnings: Vec::new() }
    }

    // What it compiles to would stand in a hundred places otherwise.
    #[cold]
    #[inline(never)]
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.mistakes.push(ConfigProblem::new(path, message));
    }

    /// What is no mistake, and yet hardly meant. The same is said once.
    #[cold]
    #[inline(never)]
    pub(super) fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let warning = ConfigProblem::new(path, message);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Adds warnings that were found elsewhere.
    pub(super) fn warn_of(&mut self, warnings: Vec<ConfigProblem>) {
        self.warnings.extend(warnings);
    }

    pub(super) fn take_warnings(&mut self) -> Vec<ConfigProblem> {
        std::mem::take(&mut self.warnings)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<ConfigProblem> {
        self.mistakes
    }

    /// A text that must be there and not be empty. A field whose own mistake is noted already is not
    /// called missing on top.
    pub(super) fn required(&mut self, path: impl Into<String>, value: Option<String>) -> String {
        let path = path.into();
        match value {
            Some(text) if !text.is_empty() => text,
            _ => {
                if !self.has(&path) {
                    self.add(path, "is required");
                }
                String::new()
            }
        }
    }

    /// Whether a mistake at that path, or within it, is noted.
    pub(super) fn has(&self, path: &str) -> bool {
        self.mistakes.iter().any(|problem| {
            problem.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    pub(super) fn number(
        &mut self,
        path: &str,
        value: Option<u32>,
        allowed: RangeInclusive<u32>,
        default: u32,
    ) -> usize {
        let value = value.unwrap_or(default);
        if !allowed.contains(&value) {
            self.add(path, format!("must be {} to {}", allowed.start(), allowed.end()));
        }
        value as usize
    }

    /// A duration such as `250ms`, `30s`, `5min`.
    pub(super) fn duration(
        &mut self,
        path: impl Into<String>,
        value: Option<&str>,
        allowed: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(text) = value else { return default };
        match humantime::parse_duration(text) {
            Ok(duration) if allowed.contains(&duration) && has_usual_units(text) => duration,
            _ => {
                let range = format!("{} to {}", show(allowed.start()), show(allowed.end()));
                let message =
                    format!("must be a duration in ms, s, min, h or days, such as \"250ms\" or \"30s\", {range}");
                self.add(path, message);
                default
            }
        }
    }
}

/// Not months, which a capital letter would make of minutes, nor years.
fn has_usual_units(text: &str) -> bool {
    let units = text.split(|c: char| c.is_ascii_digit() || c == ' ').filter(|unit| !unit.is_empty());
    units.into_iter().all(|unit| {
        matches!(
            unit,
            "ms" | "msec" | "s" | "sec" | "secs" | "m" | "min" | "mins" | "h" | "hour" | "hours" | "d" | "day" | "days"
        )
    })
}

fn show(duration: &Duration) -> String {
    const DAY: u64 = 86_400;
    match duration.as_secs() {
        seconds if seconds > 0 && seconds % DAY == 0 && duration.subsec_nanos() == 0 => {
            format!("{}days", seconds / DAY)
        }
        _ => humantime::format_duration(*duration).to_string(),
    }
}
