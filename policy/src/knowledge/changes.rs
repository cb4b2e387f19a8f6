//! What a reply of the feed has changed.

use std::collections::HashSet;

use session_gate_protocol::{FeedChange, Fingerprint, Rule};

/// What has changed: for the open streams of every configuration that shares the knowledge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The signing keys.
    pub keys: bool,
    /// Sessions, tokens and users that may not be served any more, or may be permitted something else: what is known by
    /// now decides.
    pub touched: HashSet<Fingerprint>,
    /// What is refused beyond these: any stream may be meant.
    pub rules: bool,
    /// Whether more may have changed than the feed says by now: the sidecar is to be asked about each stream.
    pub unheard: bool,
}

impl Changes {
    /// Whether there is nothing that an open stream could be ended for.
    pub fn affect_no_stream(&self) -> bool {
        self.touched.is_empty() && !self.rules && !self.unheard
    }

    pub(super) fn note(&mut self, change: &FeedChange) {
        match change {
            FeedChange::KeysChanged => self.keys = true,
            FeedChange::RuleAdded { rule, .. } => self.rules |= !matches!(rule, Rule::Limit { .. }),
            FeedChange::SessionSuspended { session_id, .. } | FeedChange::SessionScopes { session_id, .. } => {
                self.touched.insert(Fingerprint::of_session(session_id.as_str()));
            }
            FeedChange::SessionEnded { .. } | FeedChange::TokenRevoked { .. } => self.touched.extend(change.ended()),
            FeedChange::UserSessionsEnded(cut_off) => {
                self.touched.insert(Fingerprint::of_user(cut_off.user_id.as_str()));
            }
            FeedChange::RuleRemoved { .. } | FeedChange::SessionResumed { .. } | FeedChange::Unknown(_) => {}
        }
    }
}
