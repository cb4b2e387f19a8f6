//! What a session is at the moment, and what it can become.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::CheckVerdict;

/// What a session is at the moment. The one place that says what each status may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Requests are served.
    Active,
    /// Its time, or its idle time, has run out. Final.
    Expired,
    /// The password was right, the second factor is still missing: only routes that say
    /// `accept_pending_2fa` serve it.
    #[serde(rename = "pending_2fa")]
    Pending2fa,
    /// Held by an operator: nothing is served until it is active again.
    Suspended,
    /// Ended by a logout or by an operator. Final.
    Terminated,
}

impl SessionStatus {
    /// Every status, in the order of their names.
    pub const ALL: [Self; 5] = [Self::Active, Self::Expired, Self::Pending2fa, Self::Suspended, Self::Terminated];

    /// The name in JSON, in Redis and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Pending2fa => "pending_2fa",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
        }
    }

    /// The status with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the session has ended for good: it is not listed, not changed and never comes back.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::Terminated)
    }

    /// What a request of such a session is told.
    pub const fn verdict(self) -> CheckVerdict {
        match self {
            Self::Active => CheckVerdict::Live,
            Self::Expired => CheckVerdict::SessionExpired,
            Self::Pending2fa => CheckVerdict::SessionPending2fa,
            Self::Suspended => CheckVerdict::SessionSuspended,
            Self::Terminated => CheckVerdict::SessionTerminated,
        }
    }

    /// Whether new tokens may be minted for such a session. A session that waits for its second
    /// factor needs one to reach the route where that is entered.
    pub const fn may_mint(self) -> bool {
        matches!(self, Self::Active | Self::Pending2fa)
    }

    /// Checks that a client of the API may change the status from this to `next`.
    ///
    /// # Errors
    /// [`InvalidTransition`] out of a final status, into `expired` (only time does that), and back
    /// to `pending_2fa`.
    pub const fn check_transition(self, next: Self) -> Result<(), InvalidTransition> {
        let allowed = match (self, next) {
            (Self::Expired | Self::Terminated, _) | (_, Self::Expired) => false,
            (Self::Pending2fa, Self::Pending2fa) => true,
            (_, Self::Pending2fa) => false,
            (_, Self::Active | Self::Suspended | Self::Terminated) => true,
        };
        if allowed { Ok(()) } else { Err(InvalidTransition { from: self, to: next }) }
    }
}

/// A change of status that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a session that is {} cannot become {}", from.as_str(), to.as_str())]
pub struct InvalidTransition {
    /// What the session is.
    pub from: SessionStatus,
    /// What it was asked to become.
    pub to: SessionStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_leads_out_of_a_final_status_nor_into_expired() {
        for from in SessionStatus::ALL {
            for to in SessionStatus::ALL {
                let allowed = from.check_transition(to).is_ok();
                assert!(!(allowed && from.is_final()), "{from:?} -> {to:?}");
                assert!(!(allowed && to == SessionStatus::Expired), "{from:?} -> {to:?}");
            }
            assert_eq!(SessionStatus::from_name(from.as_str()), Some(from));
            assert_eq!(serde_json::to_value(from).unwrap(), from.as_str());
        }
        assert!(SessionStatus::Pending2fa.check_transition(SessionStatus::Active).is_ok());
        assert!(SessionStatus::Active.check_transition(SessionStatus::Pending2fa).is_err());
    }
}
