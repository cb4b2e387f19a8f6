//! How many sessions a user may have, and what becomes of a login beyond that.

use serde::{Deserialize, Serialize};

use super::list::ListedSession;
use crate::Problem;

/// The largest limit of a user's sessions.
pub const MAX_SESSION_LIMIT: u64 = 2_000;

/// What becomes of a login of a user who has as many sessions as allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It is refused.
    Deny,
    /// As many sessions end as needed: the least recently used first, of two the one that was created first.
    #[default]
    EvictOldest,
    /// It succeeds, and the caller is told.
    Notify,
}

impl WhenFull {
    /// Every choice, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Deny, Self::EvictOldest, Self::Notify];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::EvictOldest => "evict_oldest",
            Self::Notify => "notify",
        }
    }
}

/// The problem `session_limit_reached`, with the way out of it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionLimitProblem {
    /// The problem.
    #[serde(flatten)]
    pub problem: Problem,
    /// How many sessions the user may have.
    pub max_sessions: u64,
    /// The first of the sessions that the user has, the one that expires last first.
    pub sessions: Vec<ListedSession>,
    /// Names this login for five minutes: once, the same login with this as `takeover` succeeds, and ends the session
    /// that it `replaces`, or the least recently used one. A credential; none: the call was no `POST /v1/login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<String>,
}

impl std::fmt::Debug for SessionLimitProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { problem, max_sessions, sessions, takeover: _ } = self;
        f.debug_struct("SessionLimitProblem")
            .field("problem", problem)
            .field("max_sessions", max_sessions)
            .field("sessions", &sessions.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProblemCode;

    #[test]
    fn every_choice_has_one_name() {
        for choice in WhenFull::ALL {
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.as_str());
        }
    }

    #[test]
    fn the_problem_is_flat_and_debug_output_lacks_the_handle() {
        let problem = SessionLimitProblem {
            problem: Problem::new(ProblemCode::SessionLimitReached),
            max_sessions: 3,
            sessions: Vec::new(),
            takeover: Some("secret".to_owned()),
        };
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!((&json["code"], &json["status"]), (&"session_limit_reached".into(), &409.into()));
        assert_eq!(json["takeover"], "secret");
        assert!(!format!("{problem:?}").contains("secret"));
    }
}
