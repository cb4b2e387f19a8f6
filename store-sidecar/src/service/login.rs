use session_gate_protocol::{
    CheckVerdict, Claims, LoginGuard, LoginReply, LoginRequest, LogoutReply, LogoutRequest, LogoutScope, NewSession,
    NewToken, SessionData, SessionId, SessionStatus, UnixSeconds,
};

use super::{
    Service, ServiceError, Told,
    changes::EndTold,
    check::{Counts, own},
    input::invalid,
    lockout::Attempting,
    session_limit::{Begun, Place},
    takeover,
};
use crate::{
    feed::Client,
    metrics::EndReason,
    store::{Checked, CreateSession, LoginAttempt, Termination},
};

impl Service {
    /// A new session and its first token, in the place of the session that it names. The application has checked the
    /// password.
    ///
    /// # Errors
    /// `Invalid`, `SessionLimitReached`, or those of the store: then nobody has logged in, and the session that was to be
    /// replaced may have ended.
    pub async fn login(&self, mut request: LoginRequest) -> Result<LoginReply, ServiceError> {
        let mut attempting = self.attempting_by_call(&request)?;
        let is_pending = request.pending_2fa;
        let mut device = None;
        if let Some(attempting) = &mut attempting {
            let gated = self.gate_login(attempting, attempt_of(is_pending)).await?;
            gated.admitted()?;
            device = attempting.known_device(gated);
        }
        let replaces = match request.replaces.take() {
            Some(named) => self.session_named(&named).await?,
            None => None,
        };
        let proven = takeover::proven(&request)?;
        if let Some(handle) = request.takeover.take() {
            self.take_over(&mut request, &handle, replaces.as_ref()).await?;
        }
        let user = request.user_id.clone();
        let is_refreshed = request.refresh_token;
        let (session, token) = request.split();
        let mut reply = match self.log_in(session, token, Place { replaces, device }, is_refreshed).await {
            Err(ServiceError::SessionLimitReached(refused)) => {
                return Err(self.with_handle(&user, &proven, refused).await?);
            }
            done => done?,
        };
        if let Some(attempting) = attempting.filter(|_| !is_pending) {
            reply.device = self.issue_device(&attempting).await;
        }
        Ok(reply)
    }

    /// Who logs in by a call, where the lock is to be asked.
    fn attempting_by_call(&self, request: &LoginRequest) -> Result<Option<Attempting>, ServiceError> {
        let LoginRequest { user_id, ip_address, lockout, device_token, .. } = request;
        if !lockout {
            return Ok(None);
        }
        let address = ip_address.as_deref().map(str::parse).transpose();
        let address = address
            .map_err(|_| ServiceError::Invalid(vec![invalid("ip_address", "must be an IP address, with lockout")]))?;
        let guard = LoginGuard { device_token: device_token.clone(), issue_device_token: true };
        Ok(self.attempting(user_id.as_str(), address, &guard))
    }

    /// The session that its id names, or one of its tokens.
    async fn session_named(&self, named: &str) -> Result<Option<SessionId>, ServiceError> {
        match named.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Ok(self.presented(named).await?.and_then(|claims| claims.sid)),
        }
    }

    /// A new session and its first token, in the place of another session.
    pub(super) async fn log_in(
        &self,
        session: NewSession,
        token: NewToken,
        place: Place,
        is_refreshed: bool,
    ) -> Result<LoginReply, ServiceError> {
        let mut problems = self.token_problems(&token);
        let new = match self.new_session(session) {
            Ok(new) => new,
            Err(ServiceError::Invalid(found)) => {
                problems.extend(found);
                return Err(ServiceError::Invalid(problems));
            }
            Err(other) => return Err(other),
        };
        ServiceError::unless_empty(problems)?;
        // A token that is too large is refused before there is a session.
        let claims = self.renewable_claims(&token, &draft(&new))?;
        self.check_size(&claims).map_err(|error| renamed(error, "metadata", "token_metadata"))?;
        let Begun { session, beyond } = self.admit_at(place, new).await?;
        let first = match self.renewable_claims(&token, &session) {
            Ok(claims) => self.first_tokens(claims, token.opaque, &session, is_refreshed).await,
            Err(error) => Err(error),
        };
        match first {
            Ok((token, refresh_token)) => {
                self.tools.metrics.logged_in();
                Ok(LoginReply { session, token, refresh_token, sessions_over_limit: beyond, device: None })
            }
            Err(error) => {
                self.abandon(&session.session_id).await;
                Err(error)
            }
        }
    }

    /// Stores a new session. The one before is dead from before this: of the same user it ends in the same step; of another
    /// before, so that a crash in between logs out.
    async fn admit_at(&self, place: Place, new: CreateSession) -> Result<Begun, ServiceError> {
        let alone = Place { replaces: None, device: place.device.clone() };
        let told = match &place.replaces {
            Some(old) => {
                self.expect_room(&new, old, place.device.as_ref()).await?;
                self.tell_end(old).await?
            }
            None => return self.admit(new, alone).await,
        };
        match told {
            EndTold::Now(old, _) if old.user_id == new.session.user_id => {
                let begun = self.admit(new, Place { replaces: Some(old.session_id.clone()), ..alone }).await?;
                if !old.status.is_final() {
                    self.tools.metrics.sessions_ended(EndReason::Replaced, 1);
                    self.note_age(&old);
                }
                Ok(begun)
            }
            EndTold::Now(old, _) => {
                self.end_in_store(&old, EndReason::Replaced).await?;
                self.admit(new, alone).await
            }
            EndTold::Before(_) | EndTold::OfLost(_) => self.admit(new, alone).await,
        }
    }

    /// Ends a session, named by its id or by one of its tokens, or all sessions of its user, or all others. A token that
    /// has expired still names its session: a logout only takes away.
    ///
    /// # Errors
    /// `Invalid`, `SessionNotFound` for an unknown session id, `TokenUnknown`, or those of the store: then call again.
    pub async fn logout(&self, request: LogoutRequest) -> Result<Told<LogoutReply>, ServiceError> {
        let LogoutRequest { session_id, token, all, others } = request;
        let sessions = match (all, others) {
            (false, false) => LogoutScope::Current,
            (true, false) => LogoutScope::All,
            (false, true) => LogoutScope::Others,
            (true, true) => return Err(ServiceError::Invalid(vec![invalid("others", "is given beside all")])),
        };
        let told = match (session_id, token) {
            (Some(id), None) if sessions != LogoutScope::Current => {
                let user = match self.session(&id).await {
                    Err(ServiceError::SessionNotFound) => {
                        self.tell_of_lost(&id).await?;
                        return Err(ServiceError::SessionNotFound);
                    }
                    session => session?.user_id,
                };
                let except = Some(&id).filter(|_| sessions == LogoutScope::Others);
                self.terminate_user_sessions(&user, except, EndReason::Logout).await?.map(|ended| ended.terminated)
            }
            (Some(id), None) => self.terminate_session(&id, EndReason::Logout).await?,
            (None, Some(token)) => {
                let claims = self.presented(&token).await?.ok_or(ServiceError::TokenUnknown)?;
                self.logout_by_token(&claims, sessions).await?
            }
            (Some(_), Some(_)) => {
                return Err(ServiceError::Invalid(vec![invalid("token", "is given beside session_id")]));
            }
            (None, None) => {
                let message = "is needed, or token";
                return Err(ServiceError::Invalid(vec![invalid("session_id", message)]));
            }
        };
        self.tools.metrics.logged_out();
        Ok(told.map(|terminated| LogoutReply { terminated }))
    }

    /// Ends what a token names, and the token, unless its session goes on. More than its own session it ends only for who is
    /// signed in.
    pub(super) async fn logout_by_token(
        &self,
        claims: &Claims,
        sessions: LogoutScope,
    ) -> Result<Told<u64>, ServiceError> {
        let of_user = async |except: Option<&SessionId>| {
            let told = self.terminate_user_sessions(&claims.sub, except, EndReason::Logout).await?;
            Ok::<_, ServiceError>(told.map(|ended| ended.terminated))
        };
        if sessions != LogoutScope::Current && !self.is_signed_in(claims).await? {
            return self.refuse_unless_all_have_ended(claims).await;
        }
        let told = match (sessions, &claims.sid) {
            (LogoutScope::All, _) => of_user(None).await?,
            (LogoutScope::Others, Some(id)) => return of_user(Some(id)).await,
            (LogoutScope::Others, None) => return Err(ServiceError::SessionNotFound),
            // One that the store does not know is long gone, or lost: it has ended all the same.
            (LogoutScope::Current, Some(id)) => {
                let ended = self.end_session(id, EndReason::Logout).await?;
                ended.map(|ended| u64::from(ended == Termination::Ended))
            }
            (LogoutScope::Current, None) => Told { done: 0, at: None },
        };
        let revoked = self.revoke_presented(claims).await?;
        Ok(Told { at: told.at.max(revoked), ..told })
    }
}

impl Service {
    /// Whether a token stands for its user, expired or not: its session lives, and it was not narrowed for somebody else.
    /// Otherwise whoever once had a token could log its owner out again and again.
    pub(super) async fn is_signed_in(&self, claims: &Claims) -> Result<bool, ServiceError> {
        let Checked { verdict, .. } = self.check_own(&own(claims), Client::default(), Counts::AsNothing).await?;
        Ok(verdict == CheckVerdict::Live && !claims.narrowed)
    }

    /// Where nothing is left to be ended it is done all the same: a logout may be sent twice.
    async fn refuse_unless_all_have_ended(&self, claims: &Claims) -> Result<Told<u64>, ServiceError> {
        match self.newest_active(&claims.sub).await? {
            Some(_) => Err(ServiceError::StateConflict("who is not signed in ends no other sessions".to_owned())),
            None => Ok(Told { done: 0, at: self.revoke_presented(claims).await? }),
        }
    }
}

/// What a login counts as. One that lacks its second factor has proved nothing that failures of that could be forgotten
/// for.
pub(super) const fn attempt_of(is_pending_2fa: bool) -> LoginAttempt {
    if is_pending_2fa { LoginAttempt::Ask } else { LoginAttempt::Succeeded }
}

/// The session as far as it is known before it is stored, as long in a token as the real one.
fn draft(new: &CreateSession) -> SessionData {
    // Any time of as many digits as the real one.
    const SOME_TIME: UnixSeconds = UnixSeconds(9_999_999_999);
    let session = new.session.clone();
    SessionData {
        session_id: new.id.clone(),
        user_id: session.user_id,
        ip_address: session.ip_address,
        user_agent: session.user_agent,
        device_type: session.device_type,
        location: session.location,
        created_at: SOME_TIME,
        last_activity: SOME_TIME,
        expires_at: SOME_TIME,
        idle_timeout: new.idle_timeout.map(|idle| idle.as_secs()),
        status: if session.pending_2fa { SessionStatus::Pending2fa } else { SessionStatus::Active },
        scopes: session.scopes,
        class: session.class,
        persistent: new.is_persistent,
        metadata: session.metadata,
        version: 1,
        // As many digits as a real one has.
        generation: 9_999_999_999_999_999,
    }
}

pub(super) fn renamed(error: ServiceError, from: &str, to: &str) -> ServiceError {
    match error {
        ServiceError::Invalid(mut problems) => {
            for problem in problems.iter_mut().filter(|problem| problem.field == from) {
                to.clone_into(&mut problem.field);
            }
            ServiceError::Invalid(problems)
        }
        other => other,
    }
}
