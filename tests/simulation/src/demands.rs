//! Routes that ask for more than a good token, or for less, one for each failure mode.

use serde_json::{Value, json};

/// What such a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// Not even for the second factor.
    NoSecondFactor,
    /// For a session of the user's here, whoever issued the token.
    Session,
    /// That the token permits to write, or its session.
    Write,
}

/// What happens where nobody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It refuses.
    Deny,
    /// It lets pass.
    Allow,
    /// It goes by what was known last.
    LastKnown,
}

impl Demand {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::NoSecondFactor, Self::Session, Self::Write];

    const fn name(self) -> &'static str {
        match self {
            Self::NoSecondFactor => "no-second-factor",
            Self::Session => "session",
            Self::Write => "write",
        }
    }

    fn config(self) -> (&'static str, Value) {
        match self {
            Self::NoSecondFactor => ("accept_pending_2fa", json!(true)),
            Self::Session => ("require_session", json!(true)),
            Self::Write => ("scopes", json!({"any": ["write"]})),
        }
    }
}

impl Mode {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Deny, Self::Allow, Self::LastKnown];

    const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::LastKnown => "last-known",
        }
    }
}

/// The path of such a route.
pub fn path(demand: Demand, mode: Mode) -> String {
    format!("/{}/{}", demand.name(), mode.name())
}

/// All such routes. `last_known`: what the mode of that name says.
pub fn routes(last_known: &str) -> Vec<Value> {
    let all = Demand::ALL.into_iter().flat_map(|demand| Mode::ALL.map(|mode| (demand, mode)));
    all.map(|(demand, mode)| {
        let (key, value) = demand.config();
        let failure_mode = match mode {
            Mode::Deny => json!("deny"),
            Mode::Allow => json!("allow"),
            Mode::LastKnown => json!({"last_known": last_known}),
        };
        let name = format!("{}-{}", demand.name(), mode.name());
        let path = json!({"exact": path(demand, mode)});
        json!({"name": name, "match": {"path": path}, "failure_mode": failure_mode, key: value})
    })
    .collect()
}
