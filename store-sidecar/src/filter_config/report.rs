//! What a check says.

use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused, or does not protect.
    Error,
    /// It may be meant so, but few want it.
    Warning,
}

impl Severity {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A finding: which field, and what is allowed or why it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The field, from the document's root.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, place, message } = self;
        write!(f, "{}: ", severity.as_str())?;
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        f.write_str(message)
    }
}

/// All findings about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many configurations of the filter there are in it.
    pub configurations: usize,
    /// What was found, in the order of the file.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether there is no error. There may be warnings.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    pub(super) fn error(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, place, message);
    }

    pub(super) fn warning(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, place, message);
    }

    pub(super) fn add(&mut self, severity: Severity, place: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding { severity, place: place.into(), message: message.into() });
    }
}

/// The place of a field within `place`.
pub(super) fn join(place: &str, field: &str) -> String {
    match (place, field) {
        ("", field) => field.to_owned(),
        (place, "") => place.to_owned(),
        (place, field) => format!("{place}.{field}"),
    }
}
