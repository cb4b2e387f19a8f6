use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{InvalidText, id::text_type};

text_type!(
    /// One scope: a scope-token of RFC 6749, section 3.3.
    Scope,
    "a scope",
    "1 to 128 visible ASCII characters other than \" and \\",
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
);

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0)
    }
}

/// A set of scopes. In JSON an array of strings; in a JWT's `scope` claim one string, blank between
/// two (RFC 9068, section 2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads the `scope` claim's form. Empty text is the empty set.
    ///
    /// # Errors
    /// A token that RFC 6749 does not allow, two blanks in a row included.
    pub fn parse_list(text: &str) -> Result<Self, InvalidText> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(' ').map(str::parse).collect()
    }

    /// Whether the set has `scope`.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }

    /// Whether the set has no scope.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that `other` has, too.
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The scopes, in order of their text.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// The `scope` claim's form.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_list_round_trips_sorted_and_without_repeats() {
        let scopes = Scopes::parse_list("write read write").unwrap();
        assert_eq!(scopes.to_string(), "read write");
        assert_eq!(serde_json::to_string(&scopes).unwrap(), r#"["read","write"]"#);
        assert!(Scopes::parse_list("").unwrap().is_empty());
    }

    #[test]
    fn a_scope_list_to_the_letter_of_rfc_6749() {
        for bad in [" read", "read ", "read  write", "re\"ad", "re\\ad", "re\tad", "é"] {
            assert!(Scopes::parse_list(bad).is_err(), "{bad:?}");
        }
    }
}
