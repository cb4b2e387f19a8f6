//! Opaque tokens, of which only a sidecar can tell what they say.

use super::{Case, Promise, Verdict, broken};
use crate::{numbers::TokenNumber, truth::Token};

/// By how much the walls of the store, of a sidecar and of a worker differ at most, in seconds.
const SLACK: u64 = 3;

impl Case<'_> {
    /// Whether the worker surely knows what the token says: of an opaque one it was told.
    pub(super) fn can_read(&self, number: TokenNumber, token: &Token) -> bool {
        !token.is_opaque() || self.mind.opaque.holds(number)
    }

    /// Nobody passes by a token that nobody has read, whatever the failure mode is.
    pub(super) fn judge_read(&self, number: TokenNumber, token: &Token) -> Verdict {
        if !token.is_opaque() || self.mind.opaque.has_read(number) || self.asked == Some(true) {
            return Ok(());
        }
        broken(Promise::Forged, "an opaque token passed, and nobody has said what it is")
    }

    /// One without a session ends with the store's data: nobody could revoke it any more.
    pub(super) fn judge_kept(&self, token: &Token) -> Verdict {
        let is_lost = token.is_opaque() && token.session.is_none() && token.generation < self.truth.generation;
        let is_asked = self.asked == Some(true) && self.truth.lost_at.is_some_and(|lost| lost < self.arrived);
        if !(is_lost && is_asked) {
            return Ok(());
        }
        broken(Promise::StoreLoss, "an opaque token passed, asked about after the store has lost it")
    }

    /// Whether a sidecar may say that there is no such token: its time is over, or the store has lost it.
    pub(super) fn may_be_unknown(&self, token: &Token) -> bool {
        let is_over = self.clock.now(self.now).wall.0 + SLACK >= token.expires;
        token.is_opaque() && (is_over || token.generation < self.truth.generation)
    }

    /// Whether the worker has to ask nobody to decide about its token.
    pub fn needs_nobody(&self) -> bool {
        let token = self.token.and_then(|number| Some((number, self.truth.token(number)?)));
        token.is_some_and(|(number, token)| !self.is_expired(token) && self.can_tell(number, token))
    }
}
