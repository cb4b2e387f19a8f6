//! What the filter counts: every name in one place. Envoy shows them below `wasmcustom.`.

use session_gate_protocol::{AllowReason, DenyReason, LimitName};

/// A counter. Its label values come from closed sets, and from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// The sidecar was asked about limits, for requests or ahead of them.
    Leases(CallOutcome),
    /// What a limit has said to a request.
    Limit(LimitName, LimitOutcome),
    /// A key of a limit was forgotten for want of room.
    LimitKeyForgotten,
    /// The sidecar was asked whether an account is locked, before an upstream sees the login.
    LoginLock(CallOutcome),
    /// The sidecar was asked for what takes a session token's place.
    Renewal(CallOutcome),
    /// A client was told of the token that takes the place of its own.
    RenewalTold,
    /// What an answer says of sessions was followed, or was not.
    SessionCommand(CommandResult),
    /// An answer has said something of sessions on a route that allows nothing: it was taken out.
    SessionHeaderStripped,
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

/// What became of what an answer says of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandResult {
    /// It was done.
    Done,
    /// The sidecar has not done it, or nobody knows: the client got a 503.
    Failed,
    /// Its request cannot ask for it: a prefetch, for instance.
    Ignored,
    /// It cannot be read.
    Invalid,
    /// Too many logins have failed: the client got a 429.
    Locked,
    /// The route, or the sidecar, does not allow it.
    Refused,
}

impl CommandResult {
    const ALL: [Self; 6] = [Self::Done, Self::Failed, Self::Ignored, Self::Invalid, Self::Locked, Self::Refused];

    /// Its name in metrics and the access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
            Self::Invalid => "invalid",
            Self::Locked => "locked",
            Self::Refused => "refused",
        }
    }
}

/// Whether a token was in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// It was.
    Hit,
    /// It was not.
    Miss,
}

/// What a limit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitOutcome {
    /// It admits it.
    Allowed,
    /// The old name of `Unavailable`, under which it is counted too for one release.
    Away,
    /// It refuses it.
    Denied,
    /// It would refuse it, and only reports that.
    ShadowDenied,
    /// It could not be asked about, and `on_store_unavailable` has decided.
    Unavailable,
}

impl Counter {
    /// The counter's name in Envoy's statistics.
    pub fn name(&self) -> String {
        match self {
            Self::Allow(reason) => format!("session_gate.decision.allow.{}", reason.as_str()),
            Self::Check(outcome) => format!("session_gate.check.{}", outcome.as_str()),
            Self::CheckShared => "session_gate.check.shared".to_owned(),
            Self::Deny(reason) => format!("session_gate.decision.deny.{}", reason.as_str()),
            Self::Feed(outcome) => format!("session_gate.feed.{}", outcome.as_str()),
            Self::Keys(outcome) => format!("session_gate.keys.{}", outcome.as_str()),
            Self::Leases(outcome) => format!("session_gate.leases.{}", outcome.as_str()),
            Self::Limit(name, outcome) => format!("session_gate.limit.{name}.{}", outcome.as_str()),
            Self::LimitKeyForgotten => "session_gate.limit_keys.forgotten".to_owned(),
            Self::LoginLock(outcome) => format!("session_gate.login_lock.{}", outcome.as_str()),
            Self::Renewal(outcome) => format!("session_gate.renewal.{}", outcome.as_str()),
            Self::RenewalTold => "session_gate.renewal.told".to_owned(),
            Self::SessionCommand(result) => format!("session_gate.session_command.{}", result.as_str()),
            Self::SessionHeaderStripped => "session_gate.session_header.stripped".to_owned(),
            Self::TokenCache(CacheOutcome::Hit) => "session_gate.token_cache.hit".to_owned(),
            Self::TokenCache(CacheOutcome::Miss) => "session_gate.token_cache.miss".to_owned(),
        }
    }

    /// Every counter, for documentation and its test.
    pub fn all() -> Vec<Self> {
        let outcomes = [CallOutcome::Answered, CallOutcome::Failed];
        let allow = AllowReason::ALL.into_iter().map(Self::Allow);
        let deny = DenyReason::ALL.into_iter().map(Self::Deny);
        let calls = outcomes.into_iter().flat_map(|outcome| {
            let calls = [Self::Check, Self::Feed, Self::Keys, Self::Leases, Self::LoginLock, Self::Renewal];
            calls.map(|call| call(outcome))
        });
        // Stands for each limit that is configured.
        let name = "NAME".parse::<LimitName>();
        let limits = name.iter().flat_map(|name| {
            let outcomes = [
                LimitOutcome::Allowed,
                LimitOutcome::Away,
                LimitOutcome::Denied,
                LimitOutcome::ShadowDenied,
                LimitOutcome::Unavailable,
            ];
            outcomes.map(|outcome| Self::Limit(name.clone(), outcome))
        });
        let cache = [CacheOutcome::Hit, CacheOutcome::Miss].into_iter().map(Self::TokenCache);
        let commands = CommandResult::ALL.into_iter().map(Self::SessionCommand);
        let single = [Self::CheckShared, Self::LimitKeyForgotten, Self::RenewalTold, Self::SessionHeaderStripped];
        allow.chain(deny).chain(calls).chain(limits).chain(single).chain(commands).chain(cache).collect()
    }
}

impl LimitOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Away => "away",
            Self::Denied => "denied",
            Self::ShadowDenied => "shadow_denied",
            Self::Unavailable => "unavailable",
        }
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
        let names = Counter::all().into_iter().map(|counter| counter.name()).chain([VM_MEMORY.to_owned()]);
        let names: String = names.map(|name| format!("- `{name}`\n")).collect();
        assert_eq!(listed, names, "docs/metrics.md must list:\n{names}");
    }
}
