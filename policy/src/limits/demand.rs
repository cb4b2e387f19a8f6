//! What a limit says to a request, by the key that the request counts by.

use std::{fmt, rc::Rc};

use session_gate_protocol::{CounterId, LimitKey, Quota};

use super::limit::Limit;

/// The text of a [`LimitKey`]. `Debug` hides it: there are users and headers in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyText(Rc<str>);

impl From<&LimitKey> for KeyText {
    fn from(key: &LimitKey) -> Self {
        Self(key.to_string().into())
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

impl KeyText {
    /// By what the store knows the key.
    pub(super) fn counter(&self) -> CounterId {
        LimitKey::counter_of(&self.0)
    }
}

/// What a limit says to a request: whose key, and what that may.
#[derive(Clone, Debug)]
pub struct LimitDemand {
    /// The limit.
    pub limit: Rc<Limit>,
    /// The key.
    pub key: KeyText,
    /// What the limit allows this key.
    pub quotas: Vec<Quota>,
}
