use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{InvalidText, SessionId, TokenType};

/// What every refresh token begins with, so that scanners for leaked secrets know it.
pub const REFRESH_PREFIX: &str = "sgr_";

const FAMILY_BYTES: usize = 16;
const NUMBER_BYTES: usize = 4;
const SECRET_BYTES: usize = 32;

/// A refresh token: [`REFRESH_PREFIX`], the id of its session, a dot, and in base64url 128 random bits that all refresh tokens
/// of the session share, its number among them, and 256 random bits. A credential: stored only as its hash.
///
/// What all share tells a token that was one of the session's once from one that somebody has made up: only the first is theft.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RefreshToken {
    session: SessionId,
    family: [u8; FAMILY_BYTES],
    number: u32,
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    /// The first one of a session. `family` and `secret` must come from the operating system's CSPRNG.
    pub const fn first(session: SessionId, family: [u8; 16], secret: [u8; 32]) -> Self {
        Self { session, family, number: 0, secret }
    }

    /// The one after this. `secret` must come from the operating system's CSPRNG.
    #[must_use]
    pub fn next(&self, secret: [u8; 32]) -> Self {
        Self { session: self.session.clone(), family: self.family, number: self.number.saturating_add(1), secret }
    }

    /// Whether `text` can only be meant as a refresh token.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with(REFRESH_PREFIX)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Any other form.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let refused =
            || InvalidText::new("a refresh token", "sgr_, a session's id, a dot and 70 characters of base64url");
        let parts = text.strip_prefix(REFRESH_PREFIX).and_then(|rest| rest.rsplit_once('.'));
        let (session, rest) = parts.ok_or_else(refused)?;
        let session = session.parse::<SessionId>().map_err(|_| refused())?;
        let bytes = URL_SAFE_NO_PAD.decode(rest).map_err(|_| refused())?;
        let read = |bytes: &[u8]| {
            let (family, rest) = bytes.split_first_chunk::<FAMILY_BYTES>()?;
            let (number, rest) = rest.split_first_chunk::<NUMBER_BYTES>()?;
            let secret = rest.try_into().ok()?;
            Some((*family, u32::from_be_bytes(*number), secret))
        };
        let (family, number, secret) = read(&bytes).ok_or_else(refused)?;
        Ok(Self { session, family, number, secret })
    }

    /// Its session.
    pub const fn session(&self) -> &SessionId {
        &self.session
    }

    /// How many of its session's refresh tokens came before it.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What all refresh tokens of the session share, as it is stored: SHA-256 in base64url.
    pub fn family_hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.family))
    }

    /// What it is stored as: SHA-256 in base64url. With 256 random bits in it, no salt is needed.
    pub fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.expose()))
    }

    /// The token itself.
    pub fn expose(&self) -> String {
        let bytes = [&self.family[..], &self.number.to_be_bytes(), &self.secret].concat();
        format!("{REFRESH_PREFIX}{}.{}", self.session, URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl From<RefreshToken> for String {
    fn from(token: RefreshToken) -> Self {
        token.expose()
    }
}

impl TryFrom<String> for RefreshToken {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        Self::parse(&text)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

/// The form of `POST /v1/tokens/refresh` (RFC 6749, section 6). Unknown members are ignored.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefreshForm {
    /// `refresh_token`.
    pub grant_type: String,
    /// The refresh token.
    pub refresh_token: String,
    /// What the access token is to permit, no more than without: scopes with blanks between; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl fmt::Debug for RefreshForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grant_type, refresh_token: _, scope } = self;
        f.debug_struct("RefreshForm").field("grant_type", grant_type).field("scope", scope).finish_non_exhaustive()
    }
}

/// Reply of `POST /v1/tokens/refresh` (RFC 6749, section 5.1). `Debug` hides the tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefreshReply {
    /// The access token. A credential.
    pub access_token: String,
    /// Its kind.
    pub token_type: TokenType,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// The next refresh token. A credential.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub refresh_token: RefreshToken,
    /// What the access token permits: scopes with blanks between.
    pub scope: String,
}

impl fmt::Debug for RefreshReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_token: _, token_type, expires_in, refresh_token: _, scope } = self;
        f.debug_struct("RefreshReply")
            .field("token_type", token_type)
            .field("expires_in", expires_in)
            .field("scope", scope)
            .finish_non_exhaustive()
    }
}

/// Why a refresh was refused (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefreshErrorCode {
    /// The refresh token is not valid, or not any more: log in again.
    InvalidGrant,
    /// A parameter is missing, is given twice, or has no valid value.
    InvalidRequest,
    /// The scope is more than the session permits, or too large for a token.
    InvalidScope,
    /// `grant_type` is not `refresh_token`.
    UnsupportedGrantType,
}

/// Reply of `POST /v1/tokens/refresh` with 400 (RFC 6749, section 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefreshError {
    /// What is wrong.
    pub error: RefreshErrorCode,
    /// The same for developers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    fn token() -> RefreshToken {
        let user: UserId = "alice".parse().unwrap();
        RefreshToken::first(SessionId::new(&user, &[7; 32]), [1; 16], [2; 32])
    }

    #[test]
    fn refresh_tokens_round_trip_and_nothing_else_is_one() {
        let first = token();
        let next = first.next([3; 32]);
        for token in [&first, &next] {
            assert_eq!(&RefreshToken::parse(&token.expose()).unwrap(), token);
            assert!(RefreshToken::looks_like_one(&token.expose()));
            let json = serde_json::to_string(token).unwrap();
            assert_eq!(&serde_json::from_str::<RefreshToken>(&json).unwrap(), token);
        }
        assert_eq!((first.number(), next.number()), (0, 1));
        assert_eq!((first.family_hash(), first.session()), (next.family_hash(), next.session()));
        assert_ne!(first.hash(), next.hash());
        let (mut cut, longer) = (first.expose(), format!("{}A", first.expose()));
        cut.pop();
        let bare = first.expose().replace(REFRESH_PREFIX, "");
        for bad in ["", "sgr_", "sgr_K9gGyX.x", "sgt_K9gGyX.BwcH", &cut, &longer, &bare] {
            assert!(RefreshToken::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_output_lacks_the_tokens() {
        let text = token().expose();
        let form = RefreshForm { grant_type: "refresh_token".to_owned(), refresh_token: text.clone(), scope: None };
        let reply = RefreshReply {
            access_token: "secret".to_owned(),
            token_type: TokenType::Bearer,
            expires_in: 1,
            refresh_token: token(),
            scope: String::new(),
        };
        let shown = format!("{:?} {form:?} {reply:?}", token());
        assert!(!shown.contains("secret") && !shown.contains(&text), "{shown}");
    }
}
