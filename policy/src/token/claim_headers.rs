//! What upstreams are told of a token's claims: read once, when the token is verified, and kept with it.

use std::rc::Rc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Number, Value};

use crate::http::header_value::encode;

/// Which claims upstreams are told, and by which headers.
#[derive(Clone, Debug, Default)]
pub struct ClaimHeaders(Vec<ClaimHeader>);

/// A claim that upstreams are told.
#[derive(Clone, Debug)]
pub struct ClaimHeader {
    /// Its name; of one within another their names with dots between: `realm_access.roles`.
    pub claim: String,
    /// The header's, in lower case.
    pub header: Rc<str>,
    /// What becomes of its value.
    pub form: ClaimForm,
}

/// What becomes of a claim's value in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimForm {
    /// A text, a number or a boolean as it is; a list or an object as JSON in base64: as Envoy's `claim_to_headers` has it.
    Any,
    /// A number alone.
    Number,
    /// A list of words, with spaces between.
    Words,
}

/// A header's name, and its value.
pub type ClaimValue = (Rc<str>, Box<str>);

impl ClaimHeaders {
    /// Those.
    pub fn new(claims: Vec<ClaimHeader>) -> Self {
        Self(claims)
    }

    /// What there is to say of a token with these claims. One that it lacks, or that is `null`, empty or of another kind,
    /// gives no header.
    pub fn read(&self, payload: &Map<String, Value>) -> Box<[ClaimValue]> {
        let told = self.0.iter().filter_map(|claim| {
            let value = claim.form.of(find(payload, &claim.claim)?).filter(|value| !value.is_empty())?;
            Some((Rc::clone(&claim.header), value.into_boxed_str()))
        });
        told.collect()
    }
}

/// A claim of that very name, URLs among them; else one within others.
fn find<'v>(payload: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    if let Some(value) = payload.get(name) {
        return Some(value);
    }
    let mut names = name.split('.');
    let outermost = payload.get(names.next()?)?;
    names.try_fold(outermost, |value, name| value.as_object()?.get(name))
}

impl ClaimForm {
    fn of(self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::Any, Value::String(text)) => Some(encode(text).into_owned()),
            (Self::Any, Value::Bool(_)) => Some(value.to_string()),
            (Self::Any | Self::Number, Value::Number(number)) => is_exact(number).then(|| number.to_string()),
            (Self::Any, Value::Array(_) | Value::Object(_)) => Some(STANDARD.encode(value.to_string())),
            (Self::Words, Value::Array(words)) => Some(joined(words)),
            (_, Value::Null)
            | (Self::Number, Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_))
            | (Self::Words, Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => None,
        }
    }
}

/// Whether a number was read as it was written: an integer of 64 bits, or one that a double holds. Beyond 2^53 a double stands
/// for several (RFC 8259, section 6), which might be two tenants' numbers.
fn is_exact(number: &Number) -> bool {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    !number.is_f64() || number.as_f64().is_some_and(|double| double.abs() < LARGEST)
}

/// A space within a word is encoded, so that it parts none.
fn joined(words: &[Value]) -> String {
    let words = words.iter().filter_map(Value::as_str).filter(|word| !word.is_empty());
    words.map(|word| encode(word).replace(' ', "%20")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(claim: &str, form: ClaimForm, payload: &Value) -> Option<String> {
        let headers = ClaimHeaders::new(vec![ClaimHeader { claim: claim.to_owned(), header: "x-h".into(), form }]);
        let told = headers.read(payload.as_object().unwrap());
        told.first().map(|(name, value)| {
            assert_eq!(&**name, "x-h");
            value.to_string()
        })
    }

    #[test]
    fn a_claim_is_told_as_envoy_tells_it() {
        for (value, expected) in [
            (json!("alice@example.com"), Some("alice@example.com")),
            (json!("zoë"), Some("zo%C3%AB")),
            (json!("a\r\nx-user-id: root"), Some("a%0D%0Ax-user-id: root")),
            (json!(" "), Some("%20")),
            (json!(7), Some("7")),
            (json!(9_007_199_254_740_993_u64), Some("9007199254740993")),
            (json!(-1.5), Some("-1.5")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (serde_json::from_str("18446744073709551616").unwrap(), None),
            (json!(true), Some("true")),
            (json!(false), Some("false")),
            (json!(["manage-account", "zoë"]), Some("WyJtYW5hZ2UtYWNjb3VudCIsInpvw6siXQ==")),
            (json!({"a": 1}), Some("eyJhIjoxfQ==")),
            (json!([]), Some("W10=")),
            (json!(""), None),
            (json!(null), None),
        ] {
            assert_eq!(told("c", ClaimForm::Any, &json!({"c": value})).as_deref(), expected, "{value}");
        }
        assert_eq!(told("c", ClaimForm::Any, &json!({"d": 1})), None);
    }

    #[test]
    fn a_claim_within_another_is_named_with_dots_and_a_whole_name_comes_first() {
        let payload = json!({
            "realm_access": {"roles": ["r"], "deep": {"er": "x"}}, "https://a.example/role": "admin",
            "a": {"b": "within"}, "a.b": "whole",
        });
        for (claim, expected) in [
            ("realm_access.deep.er", Some("x")),
            ("realm_access.deep.er.more", None),
            ("realm_access.nothing", None),
            ("realm_access.roles.0", None),
            ("realm_access.", None),
            ("https://a.example/role", Some("admin")),
            ("a.b", Some("whole")),
        ] {
            assert_eq!(told(claim, ClaimForm::Any, &payload).as_deref(), expected, "{claim}");
        }
    }

    #[test]
    fn words_have_one_space_between_them_and_none_within() {
        for (value, expected) in [
            (json!(["pwd", "otp"]), Some("pwd otp")),
            (json!(["pwd otp", "zoë", "%"]), Some("pwd%20otp zo%C3%AB %25")),
            (json!(["", 7, "pwd", null]), Some("pwd")),
            (json!([]), None),
            (json!("pwd"), None),
        ] {
            assert_eq!(told("amr", ClaimForm::Words, &json!({"amr": value})).as_deref(), expected, "{value}");
        }
        for (value, expected) in [(json!(1_800_000_000), Some("1800000000")), (json!("1800000000"), None)] {
            assert_eq!(told("t", ClaimForm::Number, &json!({"t": value})).as_deref(), expected, "{value}");
        }
    }
}
