//! What is wrong with a request.

use std::time::Duration;

use session_gate_protocol::FieldProblem;

/// One field that is wrong.
pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> FieldProblem {
    FieldProblem { field: field.into(), message: message.into() }
}

/// The duration asked for, or the configured one; more than that is not to be had.
pub(super) fn duration(asked: Option<u64>, configured: Duration, problems: &mut Vec<FieldProblem>) -> Duration {
    match asked {
        Some(seconds) if seconds == 0 || seconds > configured.as_secs() => {
            problems.push(invalid("duration", format!("must be 1 to {} seconds", configured.as_secs())));
            configured
        }
        Some(seconds) => Duration::from_secs(seconds),
        None => configured,
    }
}
