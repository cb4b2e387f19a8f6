//! Refresh tokens, for clients that are no browsers (RFC 6749, section 6; RFC 9700, section 4.14.2).
//!
//! Each is used once, and answered with the next. Its predecessor gets the same answer again until that was used, and for a
//! while after: an answer may have been lost, and two requests may have been under way. Whoever shows an older one shows that
//! there are two who have the session: it ends.

use session_gate_protocol::{
    Claims, FeedCursor, Introspection, NewToken, RefreshErrorCode, RefreshReply, RefreshToken, Scopes, SessionData,
    TokenData, TokenType,
};
use thiserror::Error;
use tokio::time::Instant;

use super::{
    Service, ServiceError,
    check::OWN_PATIENCE,
    presented::scope_by_now,
    refresh_family::{Family, Grant, Place},
};
use crate::{
    feed::Client,
    metrics::{EndReason, RefreshOutcome},
    rng::random_bytes,
    sealing::{Purpose, open, seal},
    store::{RefreshPut, StoreError, StoreErrorKind},
};

/// How often a refresh is tried anew because somebody else's came in between. Each time one of those who compete succeeds, and
/// the others are answered with its successor.
const MOST_ATTEMPTS: usize = 8;

/// Why there are no tokens.
#[derive(Debug, Error)]
pub enum RefreshRefused {
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] ServiceError),
    /// The request was refused; the text is for the client's developer.
    #[error("{1}")]
    Refused(RefreshErrorCode, String),
    /// A token was shown that was replaced long ago: its session has ended.
    #[error("the refresh token was used before")]
    Reused,
}

/// A refresh token, and what it is worth.
struct Shown {
    token: RefreshToken,
    session: SessionData,
}

impl From<StoreError> for RefreshRefused {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

fn invalid_grant() -> RefreshRefused {
    let why = "the refresh token is not valid, or its session has ended".to_owned();
    RefreshRefused::Refused(RefreshErrorCode::InvalidGrant, why)
}

fn invalid_scope(why: String) -> RefreshRefused {
    RefreshRefused::Refused(RefreshErrorCode::InvalidScope, why)
}

impl Service {
    /// An access token, and the next refresh token. A use of the session.
    ///
    /// # Errors
    /// [`RefreshRefused`]. Where something failed the same token may be shown again.
    pub async fn refresh(&self, token: &str, scope: Option<&str>) -> Result<RefreshReply, RefreshRefused> {
        let refreshed = self.refreshed(token, scope).await;
        self.tools.metrics.token_refreshed(match &refreshed {
            Ok((outcome, _)) => *outcome,
            Err(RefreshRefused::Failed(_)) => RefreshOutcome::Unavailable,
            Err(RefreshRefused::Refused(..)) => RefreshOutcome::Refused,
            Err(RefreshRefused::Reused) => RefreshOutcome::Reused,
        });
        refreshed.map(|(_, reply)| reply)
    }

    async fn refreshed(
        &self,
        token: &str,
        scope: Option<&str>,
    ) -> Result<(RefreshOutcome, RefreshReply), RefreshRefused> {
        let scopes = match scope.filter(|scope| !scope.is_empty()).map(Scopes::parse_list) {
            None => None,
            Some(Ok(scopes)) => Some(scopes),
            Some(Err(_)) => return Err(invalid_scope("the scope is no list of scopes".to_owned())),
        };
        let Some(shown) = self.shown(token).await? else { return Err(invalid_grant()) };
        for _ in 0..MOST_ATTEMPTS {
            let id = shown.token.session();
            let Some(record) = self.tools.store.refresh_record(id).await? else { return Err(invalid_grant()) };
            let family = family(&record.text)?;
            match family.place_of(&shown.token, record.now) {
                Place::Lost | Place::Stranger => return Err(invalid_grant()),
                Place::Stale => return Err(self.end_stolen(&shown).await?),
                Place::Replaced(sealed) => {
                    let claims = self.refreshed_claims(&shown.session, &family.grant, scopes.as_ref())?;
                    let opened = open(Purpose::Refresh, &shown.token.expose(), id.as_str(), &sealed);
                    let next = opened.and_then(|text| RefreshToken::parse(&text).ok()).ok_or_else(invalid_grant)?;
                    // It counts as a use of the session where the store can note it.
                    drop(self.tools.store.touch(std::slice::from_ref(id)).await);
                    let token = self.issue_refreshed(claims, family.grant.opaque).await?;
                    return Ok((RefreshOutcome::Repeated, reply(token, next)));
                }
                Place::Current => {
                    let claims = self.refreshed_claims(&shown.session, &family.grant, scopes.as_ref())?;
                    let random = &*self.tools.random;
                    let next = shown.token.next(random_bytes(random).map_err(ServiceError::from)?);
                    let sealed = seal(Purpose::Refresh, &shown.token.expose(), id.as_str(), &next.expose(), random);
                    let sealed = sealed.map_err(|error| ServiceError::Internal(Box::new(error)))?;
                    let after = text(&family.rotated(&next, sealed, record.now))?;
                    match self.tools.store.put_refresh_record(id, Some(&record.text), &after).await? {
                        RefreshPut::Done => {}
                        RefreshPut::Changed => continue,
                        RefreshPut::NotFound | RefreshPut::Refused(_) => return Err(invalid_grant()),
                    }
                    let token = self.issue_refreshed(claims, family.grant.opaque).await?;
                    return Ok((RefreshOutcome::Refreshed, reply(token, next)));
                }
            }
        }
        Err(StoreError::new(StoreErrorKind::Conflict, "too many others refreshed at the same time").into())
    }

    /// The token and its session, where that may be used.
    async fn shown(&self, token: &str) -> Result<Option<Shown>, ServiceError> {
        let Ok(token) = RefreshToken::parse(token) else { return Ok(None) };
        let feed = &self.tools.feed;
        feed.may_answer(OWN_PATIENCE).await?;
        feed.try_catch_up(Instant::now(), OWN_PATIENCE).await?;
        let session = match self.session(token.session()).await {
            Err(ServiceError::SessionNotFound) => return Ok(None),
            session => session?,
        };
        let is_blocked = feed.blocks(&Client { user: Some(session.user_id.as_str()), ..Client::default() })?;
        Ok((session.status.may_mint() && !is_blocked).then_some(Shown { token, session }))
    }

    /// Ends the session of a token that two have shown, and sees to it that workers know before the reply.
    async fn end_stolen(&self, shown: &Shown) -> Result<RefreshRefused, ServiceError> {
        let id = shown.token.session();
        self.end_session(id, EndReason::RefreshTokenReused).await?;
        self.everybody_knows().await;
        tracing::warn!(
            session_id = id.as_str(),
            "a refresh token was shown that had been replaced: its session has ended"
        );
        Ok(RefreshRefused::Reused)
    }

    /// What an access token says: what that of the login did, as the session is by now, and no more than is asked for.
    fn refreshed_claims(
        &self,
        session: &SessionData,
        grant: &Grant,
        asked: Option<&Scopes>,
    ) -> Result<Claims, RefreshRefused> {
        let new = NewToken {
            user_id: None,
            session_id: None,
            scopes: Scopes::default(),
            opaque: grant.opaque,
            amr: grant.amr.clone(),
            metadata: grant.metadata.clone(),
            duration: None,
        };
        let claims = self.claims(&new, session.user_id.clone(), Some(session))?;
        let claims = Claims { scope: grant.scope.clone(), narrowed: grant.narrowed, ..claims };
        let allowed = scope_by_now(&claims, session.scopes.as_ref());
        let claims = match asked {
            None => Claims { scope: allowed, ..claims },
            Some(asked) => {
                // A list that we wrote.
                let all = Scopes::parse_list(&allowed).unwrap_or_default();
                if !asked.iter().all(|scope| all.contains(scope)) {
                    return Err(invalid_scope("the scope is more than the session permits".to_owned()));
                }
                Claims { scope: asked.to_string(), narrowed: claims.narrowed || *asked != all, ..claims }
            }
        };
        match self.check_size(&claims) {
            Err(ServiceError::Invalid(_)) => Err(invalid_scope("the scope is too large for a token".to_owned())),
            checked => Ok(checked.map(|()| claims)?),
        }
    }

    async fn issue_refreshed(&self, claims: Claims, opaque: bool) -> Result<TokenData, RefreshRefused> {
        match self.issue(claims, opaque).await {
            // The session's last second has begun.
            Err(ServiceError::StateConflict(_)) => Err(invalid_grant()),
            issued => Ok(issued?),
        }
    }

    /// The first token of a session, which is renewed; or, where that is asked for, one that is not and a refresh token.
    pub(super) async fn first_tokens(
        &self,
        claims: Claims,
        opaque: bool,
        session: &SessionData,
        is_refreshed: bool,
    ) -> Result<(TokenData, Option<RefreshToken>), ServiceError> {
        if !is_refreshed {
            return Ok((self.issue(claims, opaque).await?, None));
        }
        let claims = Claims { renewal: None, ..claims };
        let random = &*self.tools.random;
        let first = RefreshToken::first(session.session_id.clone(), random_bytes(random)?, random_bytes(random)?);
        let Claims { scope, narrowed, amr, metadata, .. } = claims.clone();
        let record = text(&Family::of(&first, Grant { scope, narrowed, amr, opaque, metadata }))?;
        match self.tools.store.put_refresh_record(&session.session_id, None, &record).await? {
            RefreshPut::Done => Ok((self.issue(claims, opaque).await?, Some(first))),
            RefreshPut::Changed | RefreshPut::NotFound | RefreshPut::Refused(_) => {
                Err(ServiceError::StateConflict("the session has ended".to_owned()))
            }
        }
    }

    /// Ends the session of a refresh token (RFC 7009): of any that was the session's once. What is none is as good as revoked.
    pub(super) async fn revoke_refresh(&self, token: &str) -> Result<Option<FeedCursor>, ServiceError> {
        let Ok(token) = RefreshToken::parse(token) else { return Ok(None) };
        let Some(record) = self.tools.store.refresh_record(token.session()).await? else { return Ok(None) };
        if family(&record.text)?.place_of(&token, record.now) == Place::Stranger {
            return Ok(None);
        }
        Ok(self.end_session(token.session(), EndReason::TokenRevoked).await?.at)
    }

    /// Whether a refresh token may be used now, and what it says (RFC 7662).
    pub(super) async fn introspect_refresh(&self, token: &str) -> Result<Introspection, ServiceError> {
        let Some(Shown { token, session }) = self.shown(token).await? else { return Ok(Introspection::default()) };
        let Some(record) = self.tools.store.refresh_record(token.session()).await? else {
            return Ok(Introspection::default());
        };
        let is_good = matches!(family(&record.text)?.place_of(&token, record.now), Place::Current | Place::Replaced(_));
        Ok(if is_good {
            Introspection {
                active: true,
                exp: Some(session.expires_at),
                iss: Some(self.tokens.issuer.clone()),
                sub: Some(session.user_id),
                sid: Some(session.session_id),
                ..Introspection::default()
            }
        } else {
            Introspection::default()
        })
    }
}

fn reply(token: TokenData, refresh_token: RefreshToken) -> RefreshReply {
    RefreshReply {
        access_token: token.token,
        token_type: TokenType::Bearer,
        expires_in: token.expires_at.since(token.issued_at).as_secs(),
        refresh_token,
        scope: token.scopes.to_string(),
    }
}

fn family(text: &str) -> Result<Family, StoreError> {
    // Says nothing of the text.
    serde_json::from_str(text)
        .map_err(|_| StoreError::new(StoreErrorKind::Corrupt, "stored refresh tokens cannot be read"))
}

fn text(family: &Family) -> Result<String, ServiceError> {
    serde_json::to_string(family).map_err(|error| ServiceError::Internal(Box::new(error)))
}
