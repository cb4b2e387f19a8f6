//! How often what happened.

use std::{collections::BTreeMap, fmt};

use crate::{
    crowd, faults::Fault, foreign, guesses, header_logins, idle, opaque, refresh, renewals, rules, scopes,
    second_factor,
};

/// Counts, by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<(&'static str, &'static str), u64>);

/// What must have happened in a large run, lest it has shown nothing.
const NEEDED: [(&str, &str); 57] = [
    ("admitted", "failure_mode"),
    ("admitted", "last_known"),
    ("admitted", "token"),
    ("calls", "elevate"),
    ("calls", "login"),
    ("calls", "logout"),
    ("calls", "mint"),
    ("calls", "resume"),
    ("calls", "revoke"),
    ("calls", "suspend"),
    ("calls", "suspend, refused"),
    ("calls", "terminate"),
    ("calls", "terminate by patch"),
    ("calls", "terminate user"),
    ("calls", "token of a user"),
    ("feed", "ambushes"),
    ("feed", "failed polls"),
    ("feed", "first replies"),
    ("feed", "new epochs"),
    ("feed", "pages with more to come"),
    ("feed", "polls"),
    ("limits", "admitted"),
    ("limits", "calls come twice"),
    ("limits", "calls of a worker that stops"),
    ("limits", "denied"),
    ("limits", "denied, store away"),
    ("limits", "leases"),
    ("limits", "leases handed back"),
    ("limits", "leases lost with a worker"),
    ("limits", "leases settled again"),
    ("limits", "probes"),
    ("limits", "questions with nothing left"),
    ("network", "calls come twice"),
    ("network", "messages lost"),
    ("receipts", "applied"),
    ("receipts", "pending"),
    ("refused", "overloaded"),
    ("refused", "session_expired"),
    ("refused", "session_pending_2fa"),
    ("refused", "session_suspended"),
    ("refused", "session_terminated"),
    ("refused", "session_unknown"),
    ("refused", "store_unavailable"),
    ("refused", "token_algorithm_refused"),
    ("refused", "token_expired"),
    ("refused", "token_key_unknown"),
    ("refused", "token_revoked"),
    ("refused", "token_signature_invalid"),
    ("requests", "at a boundary"),
    ("requests", "decided after asking"),
    ("requests", "decided alone"),
    ("requests", "held and abandoned"),
    ("rotations", "done"),
    ("store", "changes refused"),
    ("store", "full, and takes back"),
    ("streams", "ended by the gate"),
    ("streams", "opened"),
];

impl Counts {
    /// Counts one.
    pub fn one(&mut self, group: &'static str, name: &'static str) {
        self.add(group, name, 1);
    }

    /// Counts several.
    pub fn add(&mut self, group: &'static str, name: &'static str, number: u64) {
        *self.0.entry((group, name)).or_default() += number;
    }

    /// Counts a fault.
    pub fn fault(&mut self, fault: Fault) {
        self.one("faults", fault.name());
    }

    /// How often that was counted.
    pub fn get(&self, group: &'static str, name: &'static str) -> u64 {
        self.0.get(&(group, name)).copied().unwrap_or_default()
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        for ((group, name), number) in &other.0 {
            self.add(group, name, *number);
        }
    }

    /// What should have happened and never has.
    pub fn missing(&self) -> Vec<String> {
        let faults = Fault::NAMES.into_iter().map(|name| ("faults", name));
        let subjects = foreign::NEEDED
            .into_iter()
            .chain(crowd::NEEDED)
            .chain(guesses::NEEDED)
            .chain(refresh::NEEDED)
            .chain(header_logins::NEEDED)
            .chain(idle::NEEDED)
            .chain(opaque::NEEDED)
            .chain(renewals::NEEDED)
            .chain(rules::NEEDED)
            .chain(scopes::NEEDED)
            .chain(second_factor::NEEDED);
        let needed = NEEDED.into_iter().chain(subjects).chain(faults);
        needed
            .filter(|(group, name)| self.get(group, name) == 0)
            .map(|(group, name)| format!("{group}: {name}"))
            .collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for ((group, name), number) in &self.0 {
            if *group != before {
                writeln!(f, "{group}")?;
                before = group;
            }
            writeln!(f, "  {name:<28} {number:>12}")?;
        }
        Ok(())
    }
}
