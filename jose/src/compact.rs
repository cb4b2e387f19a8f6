//! The compact serialization of RFC 7515, section 7.1.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use session_gate_protocol::DenyReason;

use crate::{algorithm::Algorithm, json};

/// A token whose form is right and whose signature is not yet checked. Only what verification needs
/// is here: claims come out of [`Unverified::payload`] after the signature was found good.
pub struct Unverified<'a> {
    /// What its header says it was signed with.
    pub algorithm: Algorithm,
    /// Which key its header names.
    pub key_id: Option<String>,
    /// What was signed: the first two parts and the dot between them.
    pub signing_input: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    payload: &'a str,
    header: Map<String, Value>,
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Takes a token apart.
///
/// # Errors
/// - `TokenMalformed`: not three parts of base64url in its one canonical form, a header that is no
///   JSON object with unique members, members of the wrong type, or `crit`: this filter understands
///   no extension, so a token that insists on one is refused (RFC 7515, section 4.1.11).
/// - `TokenAlgorithmRefused`: an algorithm that does not exist here, `none` among them.
/// - `TokenTypeRefused`: the `typ` of another kind of token, or a token within the token (`cty`).
pub fn parse(token: &str) -> Result<Unverified<'_>, DenyReason> {
    let (signing_input, signature) = token.rsplit_once('.').ok_or(DenyReason::TokenMalformed)?;
    let (header, payload) = signing_input.split_once('.').ok_or(DenyReason::TokenMalformed)?;
    // A fourth dot stands in `payload` and is no base64url character.
    let header = decode_object(header).ok_or(DenyReason::TokenMalformed)?;
    if header.contains_key("crit") {
        return Err(DenyReason::TokenMalformed);
    }
    let algorithm = required_string(&header, "alg")?;
    let algorithm = Algorithm::from_name(algorithm).ok_or(DenyReason::TokenAlgorithmRefused)?;
    check_types(&header)?;
    let key_id = string(&header, "kid")?.map(str::to_owned);
    let signature = decode(signature).ok_or(DenyReason::TokenMalformed)?;
    Ok(Unverified { algorithm, key_id, signing_input: signing_input.as_bytes(), signature, payload, header })
}

impl Unverified<'_> {
    /// The payload as a JSON object. It is not to be believed before the signature is checked; it
    /// must be read before, for the issuer's name says whose keys to check with.
    ///
    /// # Errors
    /// `TokenMalformed` where it is no base64url, or no JSON object with unique members.
    pub fn payload(&self) -> Result<Map<String, Value>, DenyReason> {
        decode_object(self.payload).ok_or(DenyReason::TokenMalformed)
    }
}

impl Unverified<'_> {
    /// Claims that are replicated in the header must be those of the payload (RFC 7519, section 5.3).
    ///
    /// # Errors
    /// `TokenMalformed` where one differs.
    pub fn check_replicated(&self, payload: &Map<String, Value>) -> Result<(), DenyReason> {
        let differs = |name: &&str| self.header.get(*name).is_some_and(|value| payload.get(*name) != Some(value));
        if ["iss", "sub", "aud"].iter().any(differs) { Err(DenyReason::TokenMalformed) } else { Ok(()) }
    }
}

/// Without padding, without blanks, and with no bit set that no byte needs: the one text for these
/// bytes.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty())
}

fn decode_object(part: &str) -> Option<Map<String, Value>> {
    json::parse_object(&decode(part)?)
}

fn string<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, DenyReason> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(DenyReason::TokenMalformed),
    }
}

fn required_string<'a>(header: &'a Map<String, Value>, name: &str) -> Result<&'a str, DenyReason> {
    string(header, name)?.ok_or(DenyReason::TokenMalformed)
}

/// RFC 8725, section 3.11: a token that was made for another purpose (a logout token, a DPoP proof,
/// a security event) says so, and is no access token. RFC 7515, section 4.1.9: `application/` may be
/// left out, case does not matter.
fn check_types(header: &Map<String, Value>) -> Result<(), DenyReason> {
    if let Some(kind) = string(header, "typ")? {
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !matches!(kind, "jwt" | "at+jwt") {
            return Err(DenyReason::TokenTypeRefused);
        }
    }
    // Only a nested token has a content type (RFC 7519, section 5.2).
    match string(header, "cty")? {
        None => Ok(()),
        Some(_) => Err(DenyReason::TokenTypeRefused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn refusal(header: &str) -> Option<DenyReason> {
        parse(&token(header, "{}")).err()
    }

    #[test]
    fn a_token_comes_apart_into_its_parts() {
        let text = token(r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#, r#"{"sub":"alice"}"#);
        let parsed = parse(&text).unwrap();
        assert_eq!(parsed.algorithm, Algorithm::ES256);
        assert_eq!(parsed.key_id.as_deref(), Some("k1"));
        assert_eq!(parsed.signature, b"sig");
        assert_eq!(parsed.payload().unwrap().get("sub").unwrap(), "alice");
        assert_eq!(parsed.signing_input, text.rsplit_once('.').unwrap().0.as_bytes());
    }

    #[test]
    fn only_the_canonical_text_of_three_parts_is_a_token() {
        let good = token(r#"{"alg":"ES256"}"#, "{}");
        assert!(parse(&good).is_ok());
        // "c2ln" with the last character's unused bits, padding, blanks, or the other alphabet.
        let prefix = good.trim_end_matches("c2ln");
        for signature in
            ["", "c2l", "c2lnYR", "c2lnYQ=", "c2lnYQ==", " c2ln", "c2ln ", "c2\nln", "c2l+", "c2l/", "c2ln."]
        {
            assert_eq!(parse(&format!("{prefix}{signature}")).err(), Some(DenyReason::TokenMalformed), "{signature:?}");
        }
        for text in ["", ".", "..", "...", "a.b", "e30.e30.", ".e30.c2ln", "e30..c2ln", "e30.e30.e30.e30.e30"] {
            assert_eq!(parse(text).err(), Some(DenyReason::TokenMalformed), "{text:?}");
        }
        let four = format!("{good}.c2ln");
        assert!(parse(&four).and_then(|t| t.payload()).is_err());
    }

    #[test]
    fn algorithms_that_do_not_exist_here_are_refused() {
        for name in ["none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "HS1", "RS1", "ES256K", "dir"] {
            assert_eq!(refusal(&format!(r#"{{"alg":"{name}"}}"#)), Some(DenyReason::TokenAlgorithmRefused), "{name}");
        }
        assert_eq!(refusal(r#"{"alg":["ES256"]}"#), Some(DenyReason::TokenMalformed));
        assert_eq!(refusal(r#"{"alg":null}"#), Some(DenyReason::TokenMalformed));
        assert_eq!(refusal("{}"), Some(DenyReason::TokenMalformed));
    }

    #[test]
    fn critical_extensions_are_refused_and_others_ignored() {
        for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null"] {
            assert_eq!(refusal(&format!(r#"{{"alg":"ES256","crit":{crit}}}"#)), Some(DenyReason::TokenMalformed));
        }
        assert_eq!(refusal(r#"{"alg":"ES256","jku":"https://evil.example","x-own":1}"#), None);
    }

    #[test]
    fn other_kinds_of_token_are_refused() {
        for header in [r#""typ":"logout+jwt""#, r#""typ":"dpop+jwt""#, r#""typ":"secevent+jwt""#, r#""cty":"JWT""#] {
            assert_eq!(
                refusal(&format!(r#"{{"alg":"ES256",{header}}}"#)),
                Some(DenyReason::TokenTypeRefused),
                "{header}"
            );
        }
        for typ in ["JWT", "jwt", "application/at+jwt", "AT+JWT"] {
            assert_eq!(refusal(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#)), None, "{typ}");
        }
    }

    #[test]
    fn a_header_with_duplicate_members_is_refused() {
        assert_eq!(refusal(r#"{"alg":"ES256","alg":"none"}"#), Some(DenyReason::TokenMalformed));
        assert_eq!(refusal(r#"{"alg":"none","alg":"ES256"}"#), Some(DenyReason::TokenMalformed));
    }
}
