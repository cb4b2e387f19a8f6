//! Cookies whose token's time is over, and not their session's.

use session_gate_protocol::DenyReason;

use super::Case;
use crate::{numbers::TokenNumber, truth::Token};

impl Case<'_> {
    /// Whether the request was refused because its token has expired, and nothing has taken its place: whoever could not
    /// be asked, or what was said of the session. (Once something has, that is what is judged.)
    pub(super) fn may_lack_successor(&self, reason: DenyReason, number: TokenNumber, token: &Token) -> bool {
        if self.renewed_from.is_some() {
            // Of a session that it knows to be over a worker renews nothing.
            return reason == DenyReason::TokenExpired && self.mind.knows_end_of(number, token);
        }
        let is_about_renewal = matches!(
            reason,
            DenyReason::Blocked
                | DenyReason::Overloaded
                | DenyReason::SessionExpired
                | DenyReason::SessionSuspended
                | DenyReason::SessionTerminated
                | DenyReason::SessionUnknown
                | DenyReason::StoreUnavailable
                | DenyReason::TokenExpired
                | DenyReason::TokenRevoked
        );
        self.is_cookie && token.is_renewed && is_about_renewal && self.is_expired(token)
    }
}
