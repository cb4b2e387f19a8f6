//! The claims of RFC 7519, section 4.1, with the types that it gives them.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};
use session_gate_protocol::{DenyReason, Scope, Scopes, UnixSeconds, UserId, is_header_safe};

/// What a token says, read from its payload: right in form, and nothing more.
#[derive(Clone, PartialEq)]
pub struct TokenClaims {
    /// `sub`.
    pub subject: UserId,
    /// `aud`; `None` where the token has none, which is not the same as an empty list.
    pub audiences: Option<Vec<String>>,
    /// `exp`, in seconds since 1970, with its fraction.
    pub expires_at: f64,
    /// `nbf`, likewise.
    pub not_before: Option<f64>,
    /// `iat`, likewise.
    pub issued_at: Option<f64>,
    /// Whether it names a key that its bearer must prove to have (`cnf`, RFC 7800): a DPoP- or mTLS-bound token.
    pub is_bound: bool,
    /// What the sidecar says in its own tokens; of other issuers' these mean nothing.
    pub own: OwnClaims,
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`.
    pub session_id: Option<String>,
    /// The scopes.
    pub scopes: Scopes,
}

/// Claims that only the sidecar's own tokens have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnClaims {
    /// `idle`: after how long without activity the session ends.
    pub idle_timeout: Option<Duration>,
    /// `pending_2fa`: the session waited for its second factor.
    pub pending_2fa: bool,
    /// `narrowed`: the token never permits more than it says.
    pub narrowed: bool,
    /// `gen`: the session's generation among its user's.
    pub generation: u64,
    /// `session_exp`: when the session ends whatever happens.
    pub session_ends: Option<UnixSeconds>,
    /// `renewal`: how often its session's token has been renewed before; none: it is not to be renewed.
    pub renewal: Option<u64>,
}

impl OwnClaims {
    fn read(payload: &Map<String, Value>) -> Self {
        let number = |name| payload.get(name).and_then(Value::as_u64);
        let is_true = |name| payload.get(name) == Some(&Value::Bool(true));
        Self {
            idle_timeout: number("idle").map(Duration::from_secs),
            pending_2fa: is_true("pending_2fa"),
            narrowed: is_true("narrowed"),
            generation: number("gen").unwrap_or_default(),
            session_ends: number("session_exp").map(UnixSeconds),
            renewal: number("renewal"),
        }
    }
}

impl fmt::Debug for TokenClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenClaims").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// The `iss` claim: read first, because it says whose keys to verify with.
///
/// # Errors
/// `TokenMalformed` where it is no string, `TokenIssuerUnknown` where it is missing.
pub fn issuer(payload: &Map<String, Value>) -> Result<&str, DenyReason> {
    match payload.get("iss") {
        Some(Value::String(issuer)) => Ok(issuer),
        Some(_) => Err(DenyReason::TokenMalformed),
        None => Err(DenyReason::TokenIssuerUnknown),
    }
}

impl TokenClaims {
    /// Reads the claims. `scope_claim` names the one with the scopes: a string with whitespace between
    /// them (RFC 9068), or an array of strings. What cannot be a scope (RFC 6749, section 3.3), such as the name of a
    /// group with a space in it, is left out: nobody can ask for it.
    ///
    /// # Errors
    /// - `TokenMalformed`: a registered claim of the wrong type.
    /// - `TokenClaimUnusable`: no `sub` or no `exp`; a `sub`, `jti` or `sid` whose bytes cannot be a
    ///   header's value; a date after the year 9999, as milliseconds in place of seconds are.
    pub fn read(payload: &Map<String, Value>, scope_claim: &str) -> Result<Self, DenyReason> {
        let subject = string(payload, "sub")?.ok_or(DenyReason::TokenClaimUnusable)?;
        Ok(Self {
            subject: UserId::try_from(subject).map_err(|_| DenyReason::TokenClaimUnusable)?,
            audiences: audiences(payload.get("aud"))?,
            expires_at: payload.get("exp").map(numeric_date).transpose()?.ok_or(DenyReason::TokenClaimUnusable)?,
            issued_at: payload.get("iat").map(numeric_date).transpose()?,
            is_bound: payload.get("cnf").is_some_and(|cnf| !cnf.is_null()),
            own: OwnClaims::read(payload),
            not_before: payload.get("nbf").map(numeric_date).transpose()?,
            token_id: header_text(payload, "jti")?,
            session_id: header_text(payload, "sid")?,
            scopes: payload.get(scope_claim).map(scopes).unwrap_or_default(),
        })
    }
}

fn string(payload: &Map<String, Value>, name: &str) -> Result<Option<String>, DenyReason> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(DenyReason::TokenMalformed),
    }
}

fn header_text(payload: &Map<String, Value>, name: &str) -> Result<Option<String>, DenyReason> {
    match string(payload, name)? {
        Some(text) if !is_header_safe(&text) => Err(DenyReason::TokenClaimUnusable),
        text => Ok(text),
    }
}

/// RFC 7519, section 2: a JSON number, a fraction allowed. Zero and negative numbers are dates like
/// any other: long past.
fn numeric_date(value: &Value) -> Result<f64, DenyReason> {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(date) if date.abs() < END_OF_DATES => Ok(date),
            Some(_) => Err(DenyReason::TokenClaimUnusable),
            None => Err(DenyReason::TokenMalformed),
        },
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(DenyReason::TokenMalformed)
        }
    }
}

/// The year 10000, in seconds since 1970: no honest date comes later.
const END_OF_DATES: f64 = 253_402_300_800.0;

fn audiences(value: Option<&Value>) -> Result<Option<Vec<String>>, DenyReason> {
    match value {
        None => Ok(None),
        Some(Value::String(one)) => Ok(Some(vec![one.clone()])),
        Some(Value::Array(many)) => strings(many).map(Some),
        Some(_) => Err(DenyReason::TokenMalformed),
    }
}

fn strings(values: &[Value]) -> Result<Vec<String>, DenyReason> {
    values.iter().map(|value| value.as_str().map(str::to_owned).ok_or(DenyReason::TokenMalformed)).collect()
}

fn scopes(claim: &Value) -> Scopes {
    let texts: Vec<&str> = match claim {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(entries) => entries.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    texts.into_iter().filter_map(|text| text.parse::<Scope>().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(payload: Value) -> Result<TokenClaims, DenyReason> {
        TokenClaims::read(payload.as_object().unwrap(), "scope")
    }

    #[test]
    fn claims_are_read_with_their_types() {
        let claims = read(json!({
            "sub": "alice", "aud": ["a", "b"], "exp": 1.5, "nbf": -3, "iat": 0, "jti": "t1", "sid": "s1", "scope": "read write"
        }))
        .unwrap();
        assert_eq!(claims.subject.as_str(), "alice");
        assert_eq!(claims.audiences, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((claims.expires_at, claims.not_before), (1.5, Some(-3.0)));
        assert_eq!((claims.token_id.as_deref(), claims.session_id.as_deref()), (Some("t1"), Some("s1")));
        assert_eq!(claims.scopes.to_string(), "read write");
        assert_eq!(read(json!({"sub": "a", "exp": 1, "scope": ["x", "y"]})).unwrap().scopes.to_string(), "x y");
    }

    #[test]
    fn a_claim_of_the_wrong_type_makes_the_token_malformed() {
        for (name, value) in [
            ("sub", json!(7)),
            ("sub", json!(null)),
            ("aud", json!(7)),
            ("aud", json!(["a", 7])),
            ("aud", json!(null)),
            ("exp", json!("1790000000")),
            ("exp", json!(null)),
            ("exp", json!(true)),
            ("nbf", json!("0")),
            ("nbf", json!([1])),
            ("iat", json!("0")),
            ("jti", json!(7)),
            ("sid", json!({})),
        ] {
            let mut payload = json!({"sub": "alice", "exp": 1});
            payload[name] = value.clone();
            assert_eq!(read(payload), Err(DenyReason::TokenMalformed), "{name}: {value}");
        }
    }

    #[test]
    fn a_claim_that_cannot_be_used_is_refused() {
        assert_eq!(read(json!({"sub": "alice"})), Err(DenyReason::TokenClaimUnusable));
        assert_eq!(read(json!({"exp": 1})), Err(DenyReason::TokenClaimUnusable));
        for (name, value) in [
            ("sub", "a\r\nx-user-id: root"),
            ("sub", "\0"),
            ("sub", ""),
            ("sub", " alice"),
            ("jti", "a\nb"),
            ("sid", "\u{7f}"),
        ] {
            let mut payload = json!({"sub": "alice", "exp": 1});
            payload[name] = json!(value);
            assert_eq!(read(payload), Err(DenyReason::TokenClaimUnusable), "{name}: {value:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_scope_is_left_out() {
        for (claim, expected) in [
            (json!("openid  read:orders "), "openid read:orders"),
            (json!(["admins", "Domain Users", "\u{fc}", "", 7]), "admins"),
            (json!("re\"ad write"), "write"),
            (json!(["a b", "c"]), "c"),
            (json!("x\tadmin read\nwrite z"), "z"),
            (json!(null), ""),
            (json!(7), ""),
        ] {
            let claims = read(json!({"sub": "a", "exp": 1, "scope": claim})).unwrap();
            assert_eq!(claims.scopes.to_string(), expected, "{claim}");
        }
    }

    #[test]
    fn dates_beyond_reason_are_refused() {
        for name in ["exp", "nbf", "iat"] {
            for value in [json!(1_800_000_000_000_u64), json!(1e300), json!(-1e300), json!(253_402_300_800_u64)] {
                let mut payload = json!({"sub": "alice", "exp": 1});
                payload[name] = value.clone();
                assert_eq!(read(payload), Err(DenyReason::TokenClaimUnusable), "{name}: {value}");
            }
        }
        assert!(read(json!({"sub": "alice", "exp": 253_402_300_799_u64})).is_ok());
    }

    #[test]
    fn a_token_that_is_bound_to_a_key_says_so() {
        assert!(read(json!({"sub": "a", "exp": 1, "cnf": {"jkt": "x"}})).unwrap().is_bound);
        assert!(!read(json!({"sub": "a", "exp": 1, "cnf": null})).unwrap().is_bound);
    }

    #[test]
    fn the_issuer_is_a_string_or_the_token_has_none() {
        assert_eq!(issuer(json!({"iss": "x"}).as_object().unwrap()), Ok("x"));
        assert_eq!(issuer(json!({}).as_object().unwrap()), Err(DenyReason::TokenIssuerUnknown));
        assert_eq!(issuer(json!({"iss": ["x"]}).as_object().unwrap()), Err(DenyReason::TokenMalformed));
    }
}
