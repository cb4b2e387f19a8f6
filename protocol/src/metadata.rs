//! The application's own JSON, kept as it was written.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Unexpected, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::RawValue;

/// Free JSON that the application keeps with a session or puts into a token: an object. It is kept as it
/// was written, every digit of a number and the order of members; only whitespace between its parts is
/// left out. No member's name is there twice, at any depth. Its size is limited by the sidecar's
/// configuration. `Debug` hides it.
#[derive(Clone, Default)]
pub struct Metadata(Option<Box<RawValue>>);

/// The members of an object, each as it was written, in their order.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Metadata {
    /// No metadata.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("{}", |raw| raw.get())
    }

    /// Whether it has no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Applies a merge patch (RFC 7396, section 2).
    #[must_use]
    pub fn merged(&self, patch: &Self) -> Self {
        let merged = Members::of(self.as_str()).merged(Members::of(patch.as_str()));
        Self(merged.to_raw().filter(|raw| raw.get() != "{}"))
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.as_str().len())
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Metadata {}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = without_whitespace(raw.get());
        if !text.starts_with('{') {
            return Err(D::Error::invalid_type(Unexpected::Other("another value"), &"a map"));
        }
        let mut json = serde_json::Deserializer::from_str(&text);
        UniqueMembers.deserialize(&mut json).map_err(|_| D::Error::custom(UNUSABLE))?;
        if text == "{}" {
            return Ok(Self(None));
        }
        RawValue::from_string(text).map(|raw| Self(Some(raw))).map_err(D::Error::custom)
    }
}

const UNUSABLE: &str = "must not have a member twice, a number beyond what a double can hold, or more than 127 levels";

/// JSON without the whitespace between its parts.
fn without_whitespace(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        let inside = in_string;
        match *c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        inside || !matches!(*c, ' ' | '\t' | '\r' | '\n')
    };
    json.chars().filter(keep).collect()
}

// === impl Members ===

impl Members {
    /// The members of a text that is an object; of any other, none.
    fn of(object: &str) -> Self {
        serde_json::from_str(object).unwrap_or_default()
    }

    fn to_raw(&self) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(self).ok()
    }

    fn put(&mut self, name: String, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// The depth is bounded by what [`Metadata`] lets in.
    fn merged(mut self, patch: Self) -> Self {
        for (name, change) in patch.0 {
            if change.get() == "null" {
                self.0.retain(|(known, _)| *known != name);
            } else if change.get().starts_with('{') {
                let known = self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.get());
                // Merging into an empty object drops the patch's nulls, as the RFC asks.
                let inner = known.map(Self::of).unwrap_or_default().merged(Self::of(change.get()));
                if let Some(inner) = inner.to_raw() {
                    self.put(name, inner);
                }
            } else {
                self.put(name, change);
            }
        }
        self
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Reads any JSON, and refuses a member that is there twice.
struct UniqueMembers;

impl<'de> DeserializeSeed<'de> for UniqueMembers {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            entries.next_value_seed(Self)?;
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Metadata {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn it_is_kept_as_it_was_written() {
        for json in [
            "{}",
            r#"{"n":123456789012345678901234567890,"f":0.10,"e":1E+2,"z":-0}"#,
            r#"{"zebra":1,"ape":{"b":[],"a":{}},"\u00e9":"\u00e9 \"  \\"}"#,
        ] {
            let metadata = read(json);
            assert_eq!((metadata.as_str(), serde_json::to_string(&metadata).unwrap()), (json, json.to_owned()));
        }
        assert_eq!(read(" {\n \"a b\" :\t[ 1 , \"c  d\" ] } ").as_str(), r#"{"a b":[1,"c  d"]}"#);
        assert!(read(" { } ").is_empty() && read("{}") == Metadata::new());
        assert!(!format!("{:?}", read(r#"{"secret":1}"#)).contains("secret"));
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused_at_any_depth_and_so_is_what_is_no_object() {
        for json in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1e999}"#,
            "[]",
            "null",
            "1",
            "\"{}\"",
            &format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200)),
        ] {
            assert!(serde_json::from_str::<Metadata>(json).is_err(), "{json}");
        }
    }

    /// The test cases of RFC 7396, appendix A, that are objects on both sides.
    #[test]
    fn merging_follows_the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"{"b":1.50,"a":{"d":1}}"#, r#"{"a":{"c":2.0}}"#, r#"{"b":1.50,"a":{"d":1,"c":2.0}}"#),
        ] {
            assert_eq!(read(target).merged(&read(patch)), read(result), "{target} {patch}");
        }
    }
}
