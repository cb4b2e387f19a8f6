//! Names of headers that are looked for in every message.

use super::headers::collide_as_cgi_variables;

/// Names of headers, found in every spelling that a server might take for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet {
    names: Vec<String>,
    /// Which lengths they have, a bit for each: most other names are told apart by theirs.
    lengths: u64,
}

impl NameSet {
    /// Whether a server might take a header of that name for one of these.
    pub fn has(&self, name: &str) -> bool {
        self.lengths & bit(name) != 0 && self.names.iter().any(|one| collide_as_cgi_variables(one, name))
    }

    /// Adds a name. `false`: it cannot be told from one that is there.
    pub fn insert(&mut self, name: String) -> bool {
        let is_new = !self.has(&name);
        self.lengths |= bit(&name);
        self.names.push(name);
        is_new
    }
}

/// All names of 63 bytes or more share one.
fn bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_every_spelling_and_no_other() {
        let long = |last: char| format!("x-{}{last}", "a".repeat(100));
        let mut names = NameSet::default();
        assert!(!names.has("x-user-id") && !names.has(""));
        assert!(names.insert("x-user-id".to_owned()) && names.insert(long('b')));
        assert!(!names.insert("x-user_id".to_owned()));
        for name in ["x-user-id", "X_User-ID", "x.user.id", &long('b'), &long('B')] {
            assert!(names.has(name), "{name}");
        }
        for name in ["x-user-ie", "x-user-ids", "x-user-i", "", &long('c'), &long('b').repeat(2)] {
            assert!(!names.has(name), "{name}");
        }
    }
}
