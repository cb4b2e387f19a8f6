//! JSON as RFC 8259 and 8725 want it in a token: no duplicate member names, at any depth.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Reads `bytes` as one JSON object. `None`: not JSON, not an object, or a member name repeated
/// somewhere. Depth is bounded by serde_json's own limit (128).
pub fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match parse_json(bytes).ok()? {
        Value::Object(members) => Some(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// Reads `bytes` as one JSON value.
///
/// # Errors
/// It is none, or a member name is repeated somewhere: which, and where in the text.
pub fn parse_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = UniqueMembers.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct UniqueMembers;

impl<'de> DeserializeSeed<'de> for UniqueMembers {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(UniqueMembers)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
            }
            let value = entries.next_value_seed(UniqueMembers)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        assert!(parse_object(br#"{"a":1,"b":{"a":2}}"#).is_some());
        assert!(parse_object(br#"{"a":1,"a":2}"#).is_none());
        assert!(parse_object(br#"{"a":[{"b":1,"b":1}]}"#).is_none());
        let error = parse_json(b"{\"a\":1,\n \"b\":{\"c\":1,\"c\":2}}").unwrap_err();
        assert_eq!(error.to_string(), "duplicate member \"c\" at line 2 column 15");
        // The same name, once spelled with an escape.
        assert!(parse_object(b"{\"a\":1,\"\\u0061\":2}").is_none());
    }

    #[test]
    fn what_is_not_one_json_object_is_refused() {
        for bad in [
            "",
            "null",
            "[]",
            "\"{}\"",
            "{} {}",
            "{},",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
            "{\"a\":1}//",
        ] {
            assert!(parse_object(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_none());
        assert!(parse_object(format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)).as_bytes()).is_none());
        assert!(parse_object(b" \t\r\n{}\n").is_some());
    }

    #[test]
    fn values_are_kept_as_they_are() {
        let text = r#"{"a":[1,-2,3.5,"x",null,true,{"b":[]}]}"#;
        let parsed = parse_object(text.as_bytes()).unwrap();
        assert_eq!(Value::Object(parsed), serde_json::from_str::<Value>(text).unwrap());
    }
}
