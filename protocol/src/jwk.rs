use std::fmt;

use serde::{Deserialize, Serialize};

/// A JSON Web Key (RFC 7517, 7518, 8037) as it stands in a document: not yet judged. `Debug` hides
/// the secret members. Members that this product has no use for are ignored (RFC 7517, section 4).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Jwk {
    /// Key type: `RSA`, `EC`, `OKP` or `oct`.
    pub kty: String,
    /// Key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The one algorithm it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, if given.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub key_use: Option<String>,
    /// Includes `verify`, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ops: Option<Vec<String>>,
    /// Curve of `EC` and `OKP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// Point of `EC` and `OKP`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Point of `EC`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus of `RSA`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent of `RSA`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// The secret of `oct`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<String>,
    /// The private part of the other types: never wanted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d: Option<String>,
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kty, kid, alg, key_use, key_ops, crv, x, y, n, e, k, d } = self;
        f.debug_struct("Jwk")
            .field("kty", kty)
            .field("kid", kid)
            .field("alg", alg)
            .field("use", key_use)
            .field("key_ops", key_ops)
            .field("crv", crv)
            .field("x", x)
            .field("y", y)
            .field("n", n)
            .field("e", e)
            .field("k", &k.as_ref().map(|_| "…"))
            .field("d", &d.as_ref().map(|_| "…"))
            .finish()
    }
}

/// A set of keys (RFC 7517, section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_lacks_secret_members() {
        let key = Jwk { kty: "oct".into(), k: Some("c2VjcmV0".into()), d: Some("cHJpdmF0ZQ".into()), ..Jwk::default() };
        let shown = format!("{key:?}");
        assert!(!shown.contains("c2VjcmV0") && !shown.contains("cHJpdmF0ZQ"));
    }
}
