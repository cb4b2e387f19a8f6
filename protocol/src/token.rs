use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Audience, Metadata, Scopes, SessionId, TokenId, UnixSeconds, UserId};

/// What kind of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TokenType {
    /// A bearer token (RFC 6750).
    Bearer,
}

/// Body of `POST /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose token it is. May be left out where `session_id` is given.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// The session that it belongs to: it ends with it. Without one it lives until it expires or is
    /// revoked.
    #[serde(default)]
    pub session_id: Option<SessionId>,
    /// What it permits; none: nothing, or what its session permits where that is said.
    #[serde(default)]
    pub scopes: Scopes,
    /// Whether it is opaque: a random text that only the sidecar can read, in place of a JWT. Workers ask
    /// about it once and then know it like any other.
    #[serde(default)]
    pub opaque: bool,
    /// How the user proved who they are (RFC 8176).
    #[serde(default)]
    pub amr: Vec<String>,
    /// The application's own data, carried in the token: readable by whoever holds it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Metadata,
    /// Seconds until it expires, at most the configured duration; none: the configured duration. It
    /// never outlives its session.
    #[serde(default)]
    pub duration: Option<u64>,
}

/// A token that was minted. `Debug` hides the token itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenData {
    /// The token: a signed JWT, or a random text where an opaque one was asked for. A credential.
    pub token: String,
    /// Its kind.
    pub token_type: TokenType,
    /// Its id, the `jti` claim.
    pub token_id: TokenId,
    /// Whose token it is.
    pub user_id: UserId,
    /// The session that it belongs to.
    pub session_id: Option<SessionId>,
    /// What it permits.
    pub scopes: Scopes,
    /// When it was issued.
    pub issued_at: UnixSeconds,
    /// When it expires.
    pub expires_at: UnixSeconds,
    /// The application's own data.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Metadata,
}

impl fmt::Debug for TokenData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field is named here, so that a new one does not compile until someone decides.
        let Self { token: _, token_type, token_id, user_id, session_id, scopes, issued_at, expires_at, metadata } =
            self;
        f.debug_struct("TokenData")
            .field("token", &"…")
            .field("token_type", token_type)
            .field("token_id", token_id)
            .field("user_id", user_id)
            .field("session_id", session_id)
            .field("scopes", scopes)
            .field("issued_at", issued_at)
            .field("expires_at", expires_at)
            .field("metadata", metadata)
            .finish()
    }
}

/// The form of `POST /v1/tokens/revoke` (RFC 7009, section 2.1). Unknown members are ignored.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenForm {
    /// The token.
    pub token: String,
    /// A hint that RFC 7009 allows a server to ignore; this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type_hint: Option<String>,
}

/// The form of `POST /v1/tokens/introspect` (RFC 7662, section 2.1). Unknown members are ignored.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IntrospectionForm {
    /// The token.
    pub token: String,
    /// A hint that a server may ignore; this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type_hint: Option<String>,
    /// Whether this counts as a use of the token's session, and so keeps that from being idle: `true` where
    /// a request is served on the strength of it. `false` where left out.
    #[serde(default)]
    pub count_as_use: bool,
}

impl fmt::Debug for IntrospectionForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, token_type_hint, count_as_use } = self;
        f.debug_struct("IntrospectionForm")
            .field("token", &"…")
            .field("token_type_hint", token_type_hint)
            .field("count_as_use", count_as_use)
            .finish()
    }
}

impl fmt::Debug for TokenForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, token_type_hint } = self;
        f.debug_struct("TokenForm").field("token", &"…").field("token_type_hint", token_type_hint).finish()
    }
}

/// Reply of `POST /v1/tokens/introspect` (RFC 7662, section 2.2). A token that is not active is
/// answered with `{"active": false}` and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Introspection {
    /// Whether the token may be used now.
    pub active: bool,
    /// Its scopes, blank between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<TokenType>,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<UnixSeconds>,
    /// When it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<UnixSeconds>,
    /// When it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<UnixSeconds>,
    /// Whose token it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<UserId>,
    /// Who it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub aud: Option<Audience>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<TokenId>,
    /// The session that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_lacks_the_token() {
        let form = TokenForm { token: "secret-token".to_owned(), token_type_hint: None };
        assert!(!format!("{form:?}").contains("secret"));
        let data = TokenData {
            token: "secret-token".to_owned(),
            token_type: TokenType::Bearer,
            token_id: TokenId::new(&[1; 16]),
            user_id: "alice".parse().unwrap(),
            session_id: None,
            scopes: Scopes::default(),
            issued_at: UnixSeconds(1),
            expires_at: UnixSeconds(2),
            metadata: Metadata::new(),
        };
        assert!(!format!("{data:?}").contains("secret"));
    }

    #[test]
    fn an_inactive_token_is_answered_with_nothing_else() {
        assert_eq!(serde_json::to_string(&Introspection::default()).unwrap(), r#"{"active":false}"#);
    }
}
