use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_gate_protocol::{Jwk, KeyId};
use sha2::{Digest as _, Sha256};

/// The key's thumbprint (RFC 7638, section 3): SHA-256 of its required members, in the order of
/// their names and without blanks. None where a required member is missing.
///
/// For a shared secret the thumbprint can be used to try guesses of the secret (section 7). So can
/// every token signed with it, which is why such secrets are long.
pub(super) fn thumbprint(jwk: &Jwk) -> Option<KeyId> {
    let json = match jwk.kty.as_str() {
        "EC" => {
            let (crv, x, y) = (jwk.crv.as_ref()?, jwk.x.as_ref()?, jwk.y.as_ref()?);
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        "OKP" => {
            let (crv, x) = (jwk.crv.as_ref()?, jwk.x.as_ref()?);
            format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#)
        }
        "RSA" => {
            let (e, n) = (jwk.e.as_ref()?, jwk.n.as_ref()?);
            format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
        }
        "oct" => {
            let k = jwk.k.as_ref()?;
            format!(r#"{{"k":"{k}","kty":"oct"}}"#)
        }
        _ => return None,
    };
    URL_SAFE_NO_PAD.encode(Sha256::digest(json)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = Jwk { kty: "RSA".into(), n: Some(n.into()), e: Some("AQAB".into()), ..Jwk::default() };
        assert_eq!(thumbprint(&key).unwrap().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_example_of_rfc_8037() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = Jwk { kty: "OKP".into(), crv: Some("Ed25519".into()), x: Some(x.into()), ..Jwk::default() };
        assert_eq!(thumbprint(&key).unwrap().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_that_lacks_a_member_has_no_thumbprint() {
        assert_eq!(thumbprint(&Jwk { kty: "EC".into(), ..Jwk::default() }), None);
        assert_eq!(thumbprint(&Jwk::default()), None);
    }
}
