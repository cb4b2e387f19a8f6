//! Tokens of ours that are presented: introspection and revocation.

use std::time::Duration;

use session_gate_protocol::{
    CheckVerdict, Claims, FeedCursor, Introspection, MAX_LEEWAY, OpaqueToken, RefreshToken, Scopes, TokenType,
};

use super::{
    Service, ServiceError, Told,
    check::{Counts, own},
};
use crate::{feed::Client, keys::VerifiedClaims, metrics::EndReason, store::Checked};

impl Service {
    /// Whether a token may be used now, and what it says (RFC 7662). A use of its session only where that
    /// is asked for.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn introspect(&self, token: &str, counts: Counts) -> Result<Introspection, ServiceError> {
        if RefreshToken::looks_like_one(token) {
            return self.introspect_refresh(token).await;
        }
        let Some(claims) = self.claims_in_force(token).await? else {
            self.tools.metrics.introspected(None);
            return Ok(Introspection::default());
        };
        let Checked { verdict, session } = self.check_own(&own(&claims), Client::default(), counts).await?;
        self.tools.metrics.introspected(Some(verdict));
        Ok(match verdict {
            CheckVerdict::Live => introspection(claims, session.and_then(|session| session.scopes)),
            CheckVerdict::Blocked
            | CheckVerdict::CredentialUnknown
            | CheckVerdict::SessionExpired
            | CheckVerdict::SessionPending2fa
            | CheckVerdict::SessionSuspended
            | CheckVerdict::SessionTerminated
            | CheckVerdict::SessionUnknown
            | CheckVerdict::TokenRevoked => Introspection::default(),
        })
    }

    /// What a token of ours says that has not expired.
    pub(super) async fn claims_in_force(&self, token: &str) -> Result<Option<Claims>, ServiceError> {
        if OpaqueToken::looks_like_one(token) {
            return self.opaque_claims(token).await;
        }
        let verified = self.verify(token).filter(|verified| verified.in_force(self.now(), Duration::ZERO));
        Ok(verified.map(|verified| verified.claims().clone()))
    }

    /// Revokes a token (RFC 7009), and ends its session where it is a token that is renewed, or a refresh token. One that is none of ours, or that no verifier accepts any more, is
    /// as good as revoked.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke(&self, token: &str) -> Result<Told<()>, ServiceError> {
        if RefreshToken::looks_like_one(token) {
            return Ok(Told { done: (), at: self.revoke_refresh(token).await? });
        }
        let at = match self.presented(token).await? {
            Some(claims) if claims.renewal.is_some() => self.revoke_renewable(&claims).await?,
            Some(claims) => self.revoke_presented(&claims).await?,
            None => None,
        };
        Ok(Told { done: (), at })
    }

    /// Revokes a token that may have a successor: its session ends, or that would live on, and the feed forgets the token when
    /// no verifier accepts it any more.
    async fn revoke_renewable(&self, claims: &Claims) -> Result<Option<FeedCursor>, ServiceError> {
        let revoked = self.revoke_presented(claims).await?;
        match &claims.sid {
            Some(id) => Ok(revoked.max(self.end_session(id, EndReason::TokenRevoked).await?.at)),
            None => Ok(revoked),
        }
    }

    pub(super) async fn revoke_presented(&self, claims: &Claims) -> Result<Option<FeedCursor>, ServiceError> {
        let until = claims.exp.after(MAX_LEEWAY);
        if until <= self.now() {
            return Ok(None);
        }
        self.revoke_token(&claims.sub, &claims.jti, until).await.map(Some)
    }

    /// What a token of ours says, expired or not: a JWT, or an opaque one for as long as any verifier may accept it.
    pub(super) async fn presented(&self, token: &str) -> Result<Option<Claims>, ServiceError> {
        if OpaqueToken::looks_like_one(token) {
            return self.kept_claims(token).await;
        }
        Ok(self.verify(token).map(|verified| verified.claims().clone()))
    }

    /// The claims of a JWT of ours, expired or not.
    pub(super) fn verify(&self, token: &str) -> Option<VerifiedClaims> {
        self.keys().verify(token, &self.tokens.issuer, &self.tokens.audience).ok()
    }
}

/// What the token permits by now, as a list.
pub(super) fn scope_by_now(claims: &Claims, of_session: Option<&Scopes>) -> String {
    match of_session {
        Some(all) if claims.narrowed => {
            // What the token names is a list that we wrote; one that is none names nothing.
            let own = Scopes::parse_list(&claims.scope).unwrap_or_default();
            own.iter().filter(|scope| all.contains(scope)).cloned().collect::<Scopes>().to_string()
        }
        Some(all) => all.to_string(),
        None => claims.scope.clone(),
    }
}

/// What the token says, and permits by now.
fn introspection(claims: Claims, of_session: Option<Scopes>) -> Introspection {
    let scope = scope_by_now(&claims, of_session.as_ref());
    Introspection {
        active: true,
        scope: Some(scope).filter(|scope| !scope.is_empty()),
        token_type: Some(TokenType::Bearer),
        exp: Some(claims.exp),
        iat: Some(claims.iat),
        nbf: Some(claims.nbf),
        sub: Some(claims.sub),
        aud: Some(claims.aud),
        iss: Some(claims.iss),
        jti: Some(claims.jti),
        sid: claims.sid,
    }
}
