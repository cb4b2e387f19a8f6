//! The rules in force, of all kinds.

use session_gate_protocol::{RuleData, RuleId};
use session_gate_revocation::ActiveRule;

use super::known::Known;
use crate::store::UNLIMITED;

/// The rules in force, in the order of their ids.
pub(super) fn rules_in_force(known: &Known) -> impl Iterator<Item = (&RuleId, &ActiveRule)> {
    let mut rules: Vec<(&RuleId, &ActiveRule)> = known.facts().iter().flat_map(|facts| facts.rules().iter()).collect();
    // Of two under one id the newer comes first, and stays.
    rules.sort_by_key(|(id, _)| *id);
    rules.dedup_by_key(|(id, _)| *id);
    rules.into_iter().filter(|(_, held)| known.now() < held.until)
}

/// The rule of that id, if it is in force.
pub(super) fn rule_in_force<'a>(known: &'a Known, id: &RuleId) -> Option<&'a ActiveRule> {
    let mut newest_first = known.facts().into_iter();
    newest_first.find_map(|facts| facts.rules().get(id)).filter(|held| known.now() < held.until)
}

/// The rule of that id, as the API shows it.
pub(super) fn shown(id: &RuleId, active: &ActiveRule) -> RuleData {
    let ActiveRule { rule, until, note } = active;
    let expires_at = (*until < UNLIMITED).then_some(*until);
    RuleData { rule_id: id.clone(), rule: rule.clone(), expires_at, note: note.clone() }
}
