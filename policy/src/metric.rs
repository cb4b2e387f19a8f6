//! What the filter counts: every name in one place. Envoy shows them below `wasmcustom.`.

use session_gate_protocol::{AllowReason, DenyReason};

/// A counter. Its label values come from closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// A request was let through.
    Allow(AllowReason),
    /// The sidecar was asked about a token, for one request or several.
    Check(CallOutcome),
    /// A request waits for an answer about its token that another has asked for.
    CheckShared,
    /// A request was refused.
    Deny(DenyReason),
    /// The sidecar was asked what has changed.
    Feed(CallOutcome),
    /// The sidecar was asked for its keys.
    Keys(CallOutcome),
    /// A token's signature was known to be good.
    TokenCache(CacheOutcome),
}

/// The gauge of the linear memory of the largest VM there was, in bytes. A VM never gives memory back, so
/// it only rises until Envoy starts anew.
pub const VM_MEMORY: &str = "session_gate.vm_memory_bytes";

/// What became of a call to the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// It answered as it should.
    Answered,
    /// It did not answer in time, could not be reached, or answered otherwise.
    Failed,
}

/// Whether a token was in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// It was.
    Hit,
    /// It was not.
    Miss,
}

impl Counter {
    /// The counter's name in Envoy's statistics.
    pub fn name(self) -> String {
        match self {
            Self::Allow(reason) => format!("session_gate.decision.allow.{}", reason.as_str()),
            Self::Check(outcome) => format!("session_gate.check.{}", outcome.as_str()),
            Self::CheckShared => "session_gate.check.shared".to_owned(),
            Self::Deny(reason) => format!("session_gate.decision.deny.{}", reason.as_str()),
            Self::Feed(outcome) => format!("session_gate.feed.{}", outcome.as_str()),
            Self::Keys(outcome) => format!("session_gate.keys.{}", outcome.as_str()),
            Self::TokenCache(CacheOutcome::Hit) => "session_gate.token_cache.hit".to_owned(),
            Self::TokenCache(CacheOutcome::Miss) => "session_gate.token_cache.miss".to_owned(),
        }
    }

    /// Every counter, for documentation and its test.
    pub fn all() -> Vec<Self> {
        let outcomes = [CallOutcome::Answered, CallOutcome::Failed];
        let allow = AllowReason::ALL.into_iter().map(Self::Allow);
        let deny = DenyReason::ALL.into_iter().map(Self::Deny);
        let calls =
            outcomes.into_iter().flat_map(|outcome| [Self::Check(outcome), Self::Feed(outcome), Self::Keys(outcome)]);
        let cache = [CacheOutcome::Hit, CacheOutcome::Miss].into_iter().map(Self::TokenCache);
        allow.chain(deny).chain(calls).chain([Self::CheckShared]).chain(cache).collect()
    }
}

impl CallOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_metric() {
        let document = include_str!("../../docs/metrics.md");
        let (_, rest) = document.split_once("<!-- filter metrics -->\n").unwrap();
        let (listed, _) = rest.split_once("<!-- /filter metrics -->").unwrap();
        let names = Counter::all().into_iter().map(Counter::name).chain([VM_MEMORY.to_owned()]);
        let names: String = names.map(|name| format!("- `{name}`\n")).collect();
        assert_eq!(listed, names, "docs/metrics.md must list:\n{names}");
    }
}
