use std::time::Duration;

use session_gate_protocol::{
    Audience, CheckRequest, CheckVerdict, Claims, FeedCursor, FieldProblem, Introspection, MAX_LEEWAY, NewToken,
    SessionData, SessionStatus, TokenData, TokenId, TokenType, UnixSeconds, UserId,
};

use super::{Service, ServiceError, Told, duration, invalid};
use crate::{keys::VerifiedClaims, rng::random_bytes};

/// Largest token, in bytes: a browser drops a cookie of more than 4096, and its name and attributes
/// count too.
pub const MAX_TOKEN_BYTES: usize = 3800;

/// More than any real login names.
const MAX_AMR: usize = 16;
const MAX_AMR_BYTES: usize = 64;

impl Service {
    /// Mints a token, of a session or of a user alone.
    ///
    /// # Errors
    /// `Invalid`, `SessionNotFound`, `StateConflict` where the session's status allows no tokens, or
    /// those of the store.
    pub async fn create_token(&self, new: NewToken) -> Result<TokenData, ServiceError> {
        let mut problems = self.token_problems(&new);
        let Some(id) = &new.session_id else {
            let Some(user) = new.user_id.clone() else {
                problems.push(invalid("user_id", "is needed where session_id is not given"));
                return Err(ServiceError::Invalid(problems));
            };
            ServiceError::unless_empty(problems)?;
            return self.mint(new, user, None);
        };
        ServiceError::unless_empty(problems)?;
        let session = self.session(id).await?;
        if new.user_id.as_ref().is_some_and(|user| *user != session.user_id) {
            return Err(ServiceError::Invalid(vec![invalid("user_id", "is not the session's user")]));
        }
        if !session.status.may_mint() {
            return Err(ServiceError::StateConflict(format!("the session is {}", session.status.as_str())));
        }
        self.mint(new, session.user_id.clone(), Some(&session))
    }

    /// Mints a token whose fields have been judged.
    pub(super) fn mint(
        &self,
        new: NewToken,
        user: UserId,
        session: Option<&SessionData>,
    ) -> Result<TokenData, ServiceError> {
        let claims = self.claims(&new, user, session)?;
        if claims.exp <= claims.iat {
            // Its last second has begun since it was read.
            return Err(ServiceError::StateConflict("the session is expired".to_owned()));
        }
        self.check_size(&claims)?;
        let token = self.keys().mint(&claims)?;
        self.tools.metrics.token_issued();
        Ok(TokenData {
            token,
            token_type: TokenType::Bearer,
            token_id: claims.jti,
            user_id: claims.sub,
            session_id: claims.sid,
            scopes: new.scopes,
            issued_at: claims.iat,
            expires_at: claims.exp,
            metadata: claims.metadata,
        })
    }

    /// The claims that such a token has now.
    pub(super) fn claims(
        &self,
        new: &NewToken,
        user: UserId,
        session: Option<&SessionData>,
    ) -> Result<Claims, ServiceError> {
        let now = self.now();
        let lifetime = new.duration.map_or(self.tokens.duration, Duration::from_secs);
        let session_end = session.map_or(UnixSeconds(u64::MAX), |session| session.expires_at);
        Ok(Claims {
            iss: self.tokens.issuer.clone(),
            sub: user,
            aud: Audience::One(self.tokens.audience.clone()),
            exp: now.after(lifetime).min(session_end),
            nbf: now,
            iat: now,
            jti: TokenId::new(&random_bytes(&*self.tools.random)?),
            sid: session.map(|session| session.session_id.clone()),
            scope: new.scopes.to_string(),
            auth_time: session.map(|session| session.created_at),
            amr: new.amr.clone(),
            idle: session.and_then(|session| session.idle_timeout),
            pending_2fa: session.is_some_and(|session| session.status == SessionStatus::Pending2fa),
            metadata: new.metadata.clone(),
        })
    }

    /// Refuses claims whose token would not fit into a cookie.
    pub(super) fn check_size(&self, claims: &Claims) -> Result<(), ServiceError> {
        let bytes = self.keys().minted_bytes(claims)?;
        if bytes <= MAX_TOKEN_BYTES {
            return Ok(());
        }
        let message = format!(
            "the token would have {bytes} bytes, and a cookie holds {MAX_TOKEN_BYTES}: keep less metadata or fewer \
             scopes in it"
        );
        Err(ServiceError::Invalid(vec![invalid("metadata", message)]))
    }

    /// What is wrong with the fields of a new token.
    pub(super) fn token_problems(&self, new: &NewToken) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        duration(new.duration, self.tokens.duration, &mut problems);
        if new.amr.len() > MAX_AMR {
            problems.push(invalid("amr", format!("must have at most {MAX_AMR} entries")));
        }
        for (i, method) in new.amr.iter().enumerate() {
            if method.is_empty() || method.len() > MAX_AMR_BYTES || !method.bytes().all(|b| b.is_ascii_graphic()) {
                problems.push(invalid(
                    format!("amr[{i}]"),
                    format!("must be 1 to {MAX_AMR_BYTES} visible ASCII characters"),
                ));
            }
        }
        problems
    }

    /// Whether a token may be used now, and what it says (RFC 7662). Counts as a use of its session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn introspect(&self, token: &str) -> Result<Introspection, ServiceError> {
        let verified = self.verify(token).filter(|verified| verified.in_force(self.now(), Duration::ZERO));
        let Some(verified) = verified else {
            self.tools.metrics.introspected(None);
            return Ok(Introspection::default());
        };
        let verdict = self.tools.store.check(&check_of(verified.claims())).await?;
        self.tools.metrics.introspected(Some(verdict));
        Ok(match verdict {
            CheckVerdict::Live => introspection(verified.claims().clone()),
            CheckVerdict::SessionExpired
            | CheckVerdict::SessionPending2fa
            | CheckVerdict::SessionSuspended
            | CheckVerdict::SessionTerminated
            | CheckVerdict::SessionUnknown
            | CheckVerdict::TokenRevoked => Introspection::default(),
        })
    }

    /// Revokes a token (RFC 7009). One that is none of ours, or that no verifier accepts any more, is
    /// as good as revoked.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke(&self, token: &str) -> Result<Told<()>, ServiceError> {
        let at = match self.verify(token) {
            Some(verified) => self.revoke_verified(&verified).await?,
            None => None,
        };
        Ok(Told { done: (), at })
    }

    pub(super) async fn revoke_verified(&self, verified: &VerifiedClaims) -> Result<Option<FeedCursor>, ServiceError> {
        let claims = verified.claims();
        let until = claims.exp.after(MAX_LEEWAY);
        if until <= self.now() {
            return Ok(None);
        }
        self.revoke_token(&claims.sub, &claims.jti, until).await.map(Some)
    }

    /// The claims of a token of ours, expired or not.
    pub(super) fn verify(&self, token: &str) -> Option<VerifiedClaims> {
        self.keys().verify(token, &self.tokens.issuer, &self.tokens.audience).ok()
    }
}

fn check_of(claims: &Claims) -> CheckRequest {
    CheckRequest { user_id: claims.sub.clone(), session_id: claims.sid.clone(), token_id: claims.jti.clone() }
}

fn introspection(claims: Claims) -> Introspection {
    Introspection {
        active: true,
        scope: Some(claims.scope).filter(|scope| !scope.is_empty()),
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
