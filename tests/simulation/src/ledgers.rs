//! What is held against the promises on logins and their tokens, one ledger for each.

use std::collections::BTreeMap;

use crate::{
    crowd::Crowd,
    guesses::Guesses,
    refresh::Families,
    renewals::{Question, Renewals},
};

/// The ledgers of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    pub(crate) crowd: Crowd,
    pub(crate) families: Families,
    pub(crate) guesses: Guesses,
    /// Tokens whose successors sidecars are asked for, by their tasks.
    pub(crate) questions: BTreeMap<u64, Question>,
    pub(crate) renewals: Renewals,
}
