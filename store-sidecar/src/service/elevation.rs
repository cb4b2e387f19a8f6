//! How a session goes on under a new id, with more rights: after a second factor, or the password once more.

use session_gate_protocol::{
    CheckVerdict, Claims, ElevateRequest, LoginGuard, LoginReply, NewToken, OpaqueToken, Scopes, SessionData,
    SessionId, SessionStatus, UserId,
};
use tokio::time::Instant;

use super::{
    Service, ServiceError,
    check::{Counts, OWN_PATIENCE, own},
    input::invalid,
    login::renamed,
    sessions::check_scopes,
    tokens::check_amr,
};
use crate::{
    feed::Client,
    metrics::EndReason,
    store::{LoginAttempt, Rotated, Rotation},
};

/// What the session's user has proved, and what comes of it.
#[derive(Debug)]
pub(super) struct Elevation {
    /// What the session permits from now on; none: what it did.
    pub(super) scopes: Option<Scopes>,
    /// What was proved now.
    pub(super) amr: Vec<String>,
    /// Whether the new token is an opaque one.
    pub(super) opaque: bool,
    /// Whether a refresh token comes with it.
    pub(super) is_refreshed: bool,
}

/// How a call names the session that it elevates.
enum Elevated {
    Session(SessionId),
    OfToken(Box<Claims>),
}

impl Service {
    /// Puts a session under a new id, active and with a new token. The old id is dead from before the answer.
    ///
    /// # Errors
    /// `Invalid`, `SessionNotFound`, `TokenUnknown`, `LoginLocked`, `StateConflict` where the session has ended or is
    /// suspended, or the token is revoked; or those of the store: then the session may have ended.
    pub async fn elevate(&self, request: ElevateRequest) -> Result<LoginReply, ServiceError> {
        let ElevateRequest { session_id, token, scopes, amr, refresh_token: is_refreshed, .. } = request;
        let opaque = token.as_deref().is_some_and(OpaqueToken::looks_like_one);
        let elevation = Elevation { scopes, amr, opaque, is_refreshed };
        let elevated = match (session_id, token) {
            (Some(id), None) => Elevated::Session(id),
            (None, Some(token)) => {
                let claims = self.presented(&token).await?.ok_or(ServiceError::TokenUnknown)?;
                Elevated::OfToken(Box::new(claims))
            }
            (Some(_), Some(_)) => {
                return Err(ServiceError::Invalid(vec![invalid("token", "is given beside session_id")]));
            }
            (None, None) => return Err(ServiceError::Invalid(vec![invalid("session_id", "is needed, or token")])),
        };
        let mut attempting = if request.lockout {
            let guard = LoginGuard { device_token: request.device_token, issue_device_token: true };
            self.attempting(self.user_of(&elevated).await?.as_str(), request.ip_address, &guard)
        } else {
            None
        };
        if let Some(attempting) = &mut attempting {
            // Before anything is said of the session: a right guess is refused as a wrong one.
            self.gate_login(attempting, LoginAttempt::Succeeded).await?.admitted()?;
        }
        let mut reply = match &elevated {
            Elevated::Session(id) => self.elevate_session(id, None, elevation).await?,
            Elevated::OfToken(claims) => self.elevate_by_token(claims, elevation).await?,
        };
        if let Some(attempting) = &attempting {
            reply.device = self.issue_device(attempting).await;
        }
        Ok(reply)
    }

    async fn user_of(&self, elevated: &Elevated) -> Result<UserId, ServiceError> {
        match elevated {
            Elevated::Session(id) => Ok(self.session(id).await?.user_id),
            Elevated::OfToken(claims) => Ok(claims.sub.clone()),
        }
    }

    /// The same for the session of a token of ours.
    pub(super) async fn elevate_by_token(
        &self,
        claims: &Claims,
        elevation: Elevation,
    ) -> Result<LoginReply, ServiceError> {
        let Some(id) = &claims.sid else {
            return Err(ServiceError::StateConflict("the token has no session".to_owned()));
        };
        self.elevate_session(id, Some(claims), elevation).await
    }

    async fn elevate_session(
        &self,
        id: &SessionId,
        carried: Option<&Claims>,
        elevation: Elevation,
    ) -> Result<LoginReply, ServiceError> {
        let Elevation { scopes, amr: proved, opaque, is_refreshed } = elevation;
        let mut amr = carried.map(|claims| claims.amr.clone()).unwrap_or_default();
        let mut problems = Vec::new();
        check_amr(&proved, &mut problems);
        check_scopes(scopes.as_ref(), &mut problems);
        for method in proved {
            if !amr.contains(&method) {
                amr.push(method);
            }
        }
        if problems.is_empty() {
            // With those from before.
            check_amr(&amr, &mut problems);
        }
        ServiceError::unless_empty(problems)?;
        let old = self.elevated_session(id, carried).await?;
        let rotation = Rotation { user_id: old.user_id.clone(), id: self.new_session_id(&old.user_id)?, scopes };
        let is_given = rotation.scopes.is_some();
        let claims = |session: &SessionData| self.elevated_claims(session, carried, amr.clone(), is_given);
        // A token that is too large is refused before the old id is dead.
        let draft = SessionData {
            session_id: rotation.id.clone(),
            status: SessionStatus::Active,
            scopes: rotation.scopes.clone().or_else(|| old.scopes.clone()),
            ..old.clone()
        };
        self.check_size(&claims(&draft)?).map_err(|error| renamed(error, "metadata", "scopes"))?;
        let session = match self.rotate(&old, &rotation).await {
            Ok(Rotated::Done(session)) => session,
            Ok(Rotated::NotFound) => return Err(ServiceError::SessionNotFound),
            Ok(Rotated::Refused(status)) => {
                self.abandon(&rotation.id).await;
                return Err(ServiceError::StateConflict(format!("the session is {}", status.as_str())));
            }
            Err(error) => {
                self.abandon(&rotation.id).await;
                return Err(error);
            }
        };
        self.tools.metrics.session_created();
        self.tools.metrics.sessions_ended(EndReason::Replaced, 1);
        let token = match claims(&session) {
            Ok(claims) => self.first_tokens(claims, opaque, &session, is_refreshed).await,
            Err(error) => Err(error),
        };
        match token {
            Ok((token, refresh_token)) => {
                Ok(LoginReply { session, token, refresh_token, sessions_over_limit: 0, device: None })
            }
            Err(error) => {
                self.abandon(&session.session_id).await;
                Err(error)
            }
        }
    }

    /// The session that is to go on under a new id, if that and the token that names it may be used now: expired or not,
    /// but not revoked.
    async fn elevated_session(&self, id: &SessionId, carried: Option<&Claims>) -> Result<SessionData, ServiceError> {
        self.tools.feed.try_catch_up(Instant::now(), OWN_PATIENCE).await?;
        self.bring_up_to_date(id).await?;
        let session = self.session(id).await?;
        if !session.status.may_mint() {
            return Err(ServiceError::StateConflict(format!("the session is {}", session.status.as_str())));
        }
        if let Some(claims) = carried {
            let checked = self.check_own(&own(claims), Client::default(), Counts::AsNothing).await?;
            if !matches!(checked.verdict, CheckVerdict::Live | CheckVerdict::SessionPending2fa) {
                let verdict = checked.verdict.as_str();
                return Err(ServiceError::StateConflict(format!("the token may not be used: {verdict}")));
            }
        }
        Ok(session)
    }

    /// What the new token says: what the one before said, but for what has been proved since.
    fn elevated_claims(
        &self,
        session: &SessionData,
        carried: Option<&Claims>,
        amr: Vec<String>,
        are_scopes_given: bool,
    ) -> Result<Claims, ServiceError> {
        let token = NewToken {
            user_id: None,
            session_id: None,
            scopes: Scopes::default(),
            opaque: false,
            amr,
            metadata: carried.map(|claims| claims.metadata.clone()).unwrap_or_default(),
            duration: None,
        };
        let claims = self.renewable_claims(&token, session)?;
        match carried.filter(|carried| !are_scopes_given && (carried.narrowed || session.scopes.is_none())) {
            Some(carried) => Ok(Claims { scope: carried.scope.clone(), narrowed: carried.narrowed, ..claims }),
            None => Ok(claims),
        }
    }
}
