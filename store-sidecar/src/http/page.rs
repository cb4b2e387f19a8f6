//! How long pages of lists are.

use serde::Deserialize;
use serde_json::Value;

/// How many entries a page has at most.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct PageLimit(pub usize);

impl PageLimit {
    const MAX: usize = 1_000;
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<Value> for PageLimit {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let limit = value.as_u64().and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=Self::MAX).contains(limit));
        limit.map(Self).ok_or_else(|| format!("must be a number of 1 to {}", Self::MAX))
    }
}
