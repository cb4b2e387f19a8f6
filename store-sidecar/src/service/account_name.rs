//! Which names are one account's.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use session_gate_protocol::bounded_account;

use crate::store::LoginHash;

/// What an account's failed logins are counted under. None: the name is empty, and nobody's.
pub(super) fn account(name: &str, folds: bool) -> Option<LoginHash> {
    let name = bounded_account(name);
    let name = if folds { folded(name) } else { name.to_owned() };
    (!name.trim().is_empty()).then(|| LoginHash::of(&name))
}

/// The name without what most applications pass over: compatibility forms, case, and spaces around it. (The Unicode
/// Standard, section 3.13, has the order; a fold may undo a normalization.)
fn folded(name: &str) -> String {
    let normalizer = ComposingNormalizer::new_nfkc();
    let normalized = normalizer.normalize(name);
    let cased = CaseMapper::new();
    normalizer.normalize(&cased.fold_string(&normalized)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use session_gate_protocol::MAX_ACCOUNT_BYTES;

    use super::*;

    #[test]
    fn names_of_one_account_are_counted_as_one() {
        let alice = account("alice@example.com", true);
        for same in
            ["Alice@Example.COM", " alice@example.com ", "\u{ff21}lice@example.com\u{a0}", "alice@example.com\t"]
        {
            assert_eq!(account(same, true), alice, "{same:?}");
        }
        for other in ["alice", "alice @example.com", "\u{430}lice@example.com"] {
            assert_ne!(account(other, true), alice, "{other:?}");
        }
        for (one, same) in
            [("zo\u{eb}", "ZOE\u{308}"), ("stra\u{df}e", "STRASSE"), ("\u{1e9e}", "ss"), ("\u{345}", "\u{3b9}")]
        {
            assert_eq!(account(one, true), account(same, true), "{one:?}");
        }
    }

    #[test]
    fn as_they_are_they_are_as_many_as_there_are_texts() {
        assert_ne!(account("Alice", false), account("alice", false));
        assert_ne!(account("alice ", false), account("alice", false));
        assert_eq!(account("alice", false), account("alice", true));
    }

    #[test]
    fn an_empty_name_is_nobodys_and_of_a_long_one_the_beginning_counts() {
        for empty in ["", " ", "\u{a0}\u{3000}\n"] {
            assert_eq!(account(empty, true), None, "{empty:?}");
            assert_eq!(account(empty, false), None, "{empty:?}");
        }
        for (blank, folds) in [(" ", true), (" ", false), ("\u{a0}", true), ("\u{3000}", true)] {
            for times in [1, 300, MAX_ACCOUNT_BYTES, 5000] {
                let padded = account(&format!("{}alice", blank.repeat(times)), folds);
                assert!(padded.is_some());
                assert_eq!(padded == account("alice", folds), folds || times >= MAX_ACCOUNT_BYTES, "{times} {blank:?}");
            }
        }
        let long = "a".repeat(MAX_ACCOUNT_BYTES);
        assert_eq!(account(&format!("{long}b"), true), account(&long, true));
        assert_ne!(account(&long, true), account("a", true));
    }
}
