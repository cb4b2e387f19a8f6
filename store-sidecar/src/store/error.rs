//! Why a store could not do what it was asked.

use thiserror::Error;

/// Why a store could not do what it was asked.
#[derive(Debug, Error)]
#[error("the store failed: {}", kind.as_str())]
pub struct StoreError {
    kind: StoreErrorKind,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong, as far as callers act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The step contradicts what is stored.
    Conflict,
    /// What is stored cannot be read.
    Corrupt,
    /// There is no room for more of it, until something is removed.
    Full,
    /// The store answers, but accepts no changes at the moment: its memory is full, it has too few replicas, or it
    /// cannot write to its disk. Nothing was changed.
    Refused,
    /// No answer in time: the step may have been done or not.
    Timeout,
    /// The store cannot be reached.
    Unavailable,
    /// The store must not be used as it is set up: it may evict what must not be lost, for one.
    Unfit,
}

impl StoreErrorKind {
    /// The stable name, the metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Unfit => "unfit",
        }
    }
}

impl StoreError {
    /// An error of that kind, caused by `source`.
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// An error of that kind that nothing else explains.
    pub fn of_kind(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// What went wrong. Only this decides what a caller does.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}
