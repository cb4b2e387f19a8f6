//! How fast revocations were known.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::How;
use crate::rounds::{ByCredential, Late, Revocation};
use crate::stats::{Spread, spread_by};

/// Revocations whose reply did not wait for the workers.
#[derive(Debug, Serialize)]
pub struct Plain {
    pub(super) revocations: usize,
    /// From the reply until the last admission anywhere; 0 where there was none after the reply.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// The same, by how it was revoked.
    pub(super) by_kind: BTreeMap<How, Spread>,
    /// From the reply until the last worker had answered a refusal: an upper bound of the same.
    pub(super) refused_everywhere: Spread,
    /// The median gap between two requests with what is revoked at one worker: the resolution.
    pub(super) sampling_ms: f64,
}

impl Plain {
    /// What these requests say of these revocations.
    pub fn of(revocations: &[Revocation], samples: &ByCredential) -> Self {
        let last = |revocation: &Revocation| samples.last_admission(revocation);
        let all = Spread::of(revocations.iter().map(last));
        Self {
            revocations: all.count,
            p50_ms: all.p50_ms,
            p99_ms: all.p99_ms,
            max_ms: all.max_ms,
            by_kind: spread_by(revocations.iter().map(|revocation| (revocation.how, last(revocation)))),
            refused_everywhere: Spread::of(revocations.iter().map(|revocation| samples.refused_everywhere(revocation))),
            sampling_ms: Spread::of(revocations.iter().flat_map(|revocation| samples.gaps(revocation))).p50_ms,
        }
    }
}

/// Revocations with `?wait=applied`.
#[derive(Debug, Serialize)]
pub struct Waited {
    pub(super) waited: usize,
    /// Admissions after the reply.
    pub(super) admitted_after_wait_applied: usize,
    /// Each of them.
    pub(super) late_admissions: Vec<Late>,
    /// Replies that did not say `applied`.
    pub(super) not_applied: usize,
    /// How long the calls took.
    pub(super) wait_applied: Spread,
}

impl Waited {
    /// What these requests say of these revocations.
    pub fn of(revocations: &[Revocation], samples: &ByCredential) -> Self {
        let late_admissions: Vec<Late> = revocations.iter().flat_map(|it| samples.admitted_after(it)).collect();
        Self {
            waited: revocations.len(),
            admitted_after_wait_applied: late_admissions.len(),
            late_admissions,
            not_applied: revocations.iter().filter(|it| it.applied != Some(true)).count(),
            wait_applied: Spread::of(revocations.iter().map(|it| it.replied - it.called)),
        }
    }
}
