use std::{net::IpAddr, time::Duration};

use session_gate_protocol::{
    Audience, Claims, FieldProblem, MAX_LEEWAY, Network, NewToken, OpaqueToken, Scopes, SessionData, SessionStatus,
    TokenData, TokenId, TokenType, UnixSeconds, UserId,
};

use tokio::time::Instant;

use super::{
    Service, ServiceError,
    check::OWN_PATIENCE,
    input::{duration, invalid},
};
use crate::rng::random_bytes;

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
            return self.mint(new, user, None).await;
        };
        ServiceError::unless_empty(problems)?;
        // As after any other end: what everybody was told before this call counts, whatever the store says.
        self.tools.feed.try_catch_up(Instant::now(), OWN_PATIENCE).await?;
        let session = self.session(id).await?;
        if new.user_id.as_ref().is_some_and(|user| *user != session.user_id) {
            return Err(ServiceError::Invalid(vec![invalid("user_id", "is not the session's user")]));
        }
        if !session.status.may_mint() {
            return Err(ServiceError::StateConflict(format!("the session is {}", session.status.as_str())));
        }
        self.mint(new, session.user_id.clone(), Some(&session)).await
    }

    /// Mints a token whose fields have been judged.
    pub(super) async fn mint(
        &self,
        new: NewToken,
        user: UserId,
        session: Option<&SessionData>,
    ) -> Result<TokenData, ServiceError> {
        let claims = self.claims(&new, user, session)?;
        self.issue(claims, new.opaque).await
    }

    /// Mints the token of these claims.
    pub(super) async fn issue(&self, claims: Claims, opaque: bool) -> Result<TokenData, ServiceError> {
        if claims.exp <= claims.iat {
            // Its last second has begun since it was read.
            return Err(ServiceError::StateConflict("the session is expired".to_owned()));
        }
        self.check_size(&claims)?;
        let claims = if opaque { Claims { renewal: None, ..claims } } else { claims };
        let token = if opaque { self.keep(&claims).await? } else { self.sign(&claims).await? };
        self.tools.metrics.token_issued(opaque);
        Ok(TokenData {
            token,
            token_type: TokenType::Bearer,
            token_id: claims.jti,
            user_id: claims.sub,
            session_id: claims.sid,
            // A list that we wrote.
            scopes: Scopes::parse_list(&claims.scope).unwrap_or_default(),
            issued_at: claims.iat,
            expires_at: claims.exp,
            metadata: claims.metadata,
        })
    }

    /// Stores the claims, and answers the opaque token that stands for them. They are kept for as long as any verifier may
    /// accept it, so that it can be revoked until then.
    async fn keep(&self, claims: &Claims) -> Result<String, ServiceError> {
        let token = OpaqueToken::new(&claims.sub, &random_bytes(&*self.tools.random)?);
        self.tools.store.put_opaque(token.tag(), &token.hash(), claims, claims.exp.after(MAX_LEEWAY)).await?;
        Ok(token.expose().to_owned())
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
        let scopes = permitted(new, session)?;
        let narrowed = session.and_then(|session| session.scopes.as_ref()).is_some_and(|all| *all != scopes);
        let session_end = session.map_or(UnixSeconds(u64::MAX), |session| session.expires_at);
        Ok(Claims {
            iss: self.tokens.issuer.clone(),
            sub: user,
            aud: Audience::One(self.tokens.audience.clone()),
            exp: now.after(lifetime).min(session_end),
            // The clock of whoever verifies it may be behind: a token is good as soon as it is there.
            nbf: now.before(MAX_LEEWAY),
            iat: now,
            jti: TokenId::new(&random_bytes(&*self.tools.random)?),
            sid: session.map(|session| session.session_id.clone()),
            generation: session.map_or(0, |session| session.generation),
            session_exp: session.map(|session| session.expires_at),
            scope: scopes.to_string(),
            auth_time: session.map(|session| session.created_at),
            amr: new.amr.clone(),
            idle: session.and_then(|session| session.idle_timeout),
            pending_2fa: session.is_some_and(|session| session.status == SessionStatus::Pending2fa),
            narrowed,
            renewal: None,
            ip_hash: session.and_then(ip_hash),
            ua_hash: session.and_then(ua_hash),
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
        check_amr(&new.amr, &mut problems);
        problems
    }
}

pub(super) fn check_amr(amr: &[String], problems: &mut Vec<FieldProblem>) {
    if amr.len() > MAX_AMR {
        problems.push(invalid("amr", format!("must have at most {MAX_AMR} entries")));
    }
    for (i, method) in amr.iter().enumerate() {
        if method.is_empty() || method.len() > MAX_AMR_BYTES || !method.bytes().all(|b| b.is_ascii_graphic()) {
            problems
                .push(invalid(format!("amr[{i}]"), format!("must be 1 to {MAX_AMR_BYTES} visible ASCII characters")));
        }
    }
}

/// What such a token permits: what it asks for, which may not be more than its session permits; or what
/// that permits, if it asks for nothing.
fn permitted(new: &NewToken, session: Option<&SessionData>) -> Result<Scopes, ServiceError> {
    let Some(all) = session.and_then(|session| session.scopes.as_ref()) else { return Ok(new.scopes.clone()) };
    if new.scopes.is_empty() {
        return Ok(all.clone());
    }
    if new.scopes.iter().all(|scope| all.contains(scope)) {
        return Ok(new.scopes.clone());
    }
    let allowed = if all.is_empty() { "none".to_owned() } else { all.to_string() };
    Err(ServiceError::Invalid(vec![invalid("scopes", format!("is more than the session permits; allowed: {allowed}"))]))
}

/// The range of addresses that the session began in.
fn ip_hash(session: &SessionData) -> Option<String> {
    let address = session.ip_address.as_deref()?.parse::<IpAddr>().ok()?;
    Some(Claims::bound_to(&session.session_id, "ip", &Network::around(address).to_string()))
}

/// The user agent that the session began with.
fn ua_hash(session: &SessionData) -> Option<String> {
    Some(Claims::bound_to(&session.session_id, "ua", session.user_agent.as_deref()?))
}
