use std::net::IpAddr;

use session_gate_protocol::{
    ETag, FieldProblem, NewSession, Scopes, SessionData, SessionId, SessionList, SessionPatch, SessionStatus, UserId,
};

use super::{
    Service, ServiceError, Told,
    input::{duration, invalid},
    session_limit::Place,
};
use crate::{
    config::SessionClass,
    metrics::EndReason,
    rng::random_bytes,
    store::{CreateSession, PageAsk, Update},
};

/// Longest `user_agent`, `device_type` and `location`, in bytes. Clients choose their user agent, so a
/// login must not fail on an odd one; this is past any that browsers send.
pub(super) const MAX_TEXT_BYTES: usize = 2048;

/// Longest scopes of a session, in bytes of a token's `scope`: every token of it must hold them.
const MAX_SCOPES_BYTES: usize = 2048;

/// Sessions whose activity one call may note.
const MAX_ACTIVE_SESSIONS: usize = 1_000;

impl Service {
    /// Creates a session.
    ///
    /// # Errors
    /// `Invalid`, or those of the store.
    pub async fn create_session(&self, session: NewSession) -> Result<SessionData, ServiceError> {
        let new = self.new_session(session)?;
        Ok(self.admit(new, Place::default()).await?.session)
    }

    /// Judges a new session and gives it its id.
    pub(super) fn new_session(&self, session: NewSession) -> Result<CreateSession, ServiceError> {
        let mut problems = Vec::new();
        check_texts(
            session.ip_address.as_deref(),
            [&session.user_agent, &session.device_type, &session.location],
            &mut problems,
        );
        check_scopes(session.scopes.as_ref(), &mut problems);
        if !self.session.store.metadata_fits(&session.metadata) {
            problems.push(metadata_too_large(self.session.store.max_metadata_bytes));
        }
        let class = self.class(session.class.as_deref(), &mut problems);
        let duration = duration(session.duration, class.duration, &mut problems);
        ServiceError::unless_empty(problems)?;
        let id = self.new_session_id(&session.user_id)?;
        let SessionClass { duration: _, idle_timeout, is_persistent } = class;
        Ok(CreateSession { id, session, duration, idle_timeout, is_persistent })
    }

    pub(super) fn new_session_id(&self, user: &UserId) -> Result<SessionId, ServiceError> {
        Ok(SessionId::new(user, &random_bytes(&*self.tools.random)?))
    }

    fn class(&self, name: Option<&str>, problems: &mut Vec<FieldProblem>) -> SessionClass {
        let Some(name) = name else { return self.session.without_class() };
        let classes = &self.session.classes;
        classes.get(name).copied().unwrap_or_else(|| {
            let names = classes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let allowed = if names.is_empty() { "none: no classes are configured".to_owned() } else { names };
            problems.push(invalid("class", format!("is no class of sessions; allowed: {allowed}")));
            self.session.without_class()
        })
    }

    /// The session, ended ones too while they are known. What the feed says against it counts.
    ///
    /// # Errors
    /// `SessionNotFound`, or those of the store.
    pub async fn session(&self, id: &SessionId) -> Result<SessionData, ServiceError> {
        let session = self.stored_session(id).await?;
        self.corrected(session).await
    }

    /// The session as the store has it.
    pub(super) async fn stored_session(&self, id: &SessionId) -> Result<SessionData, ServiceError> {
        self.tools.store.session(id).await?.ok_or(ServiceError::SessionNotFound)
    }

    /// Applies a merge patch.
    ///
    /// # Errors
    /// `Invalid`, `SessionNotFound`, `StateConflict`, `VersionMismatch`, or those of the store.
    pub async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
    ) -> Result<Told<SessionData>, ServiceError> {
        let mut problems = Vec::new();
        let text = |given: &Option<Option<String>>| given.clone().flatten();
        check_texts(
            text(&patch.ip_address).as_deref(),
            [&text(&patch.user_agent), &text(&patch.device_type), &text(&patch.location)],
            &mut problems,
        );
        check_scopes(patch.scopes.as_ref().and_then(Option::as_ref), &mut problems);
        ServiceError::unless_empty(problems)?;
        let Told { done, at } = self.change_session(id, patch, expected).await?;
        match done {
            Update::Applied(session) => {
                if session.status == SessionStatus::Terminated {
                    self.tools.metrics.sessions_ended(EndReason::Patched, 1);
                    self.note_age(&session);
                }
                Ok(Told { done: session, at })
            }
            Update::Ended(session) => {
                Err(ServiceError::StateConflict(format!("the session is {}", session.status.as_str())))
            }
            Update::InvalidTransition(refused) => Err(ServiceError::StateConflict(refused.to_string())),
            Update::MetadataTooLarge { max_bytes } => Err(ServiceError::Invalid(vec![metadata_too_large(max_bytes)])),
            Update::NotFound => Err(ServiceError::SessionNotFound),
            Update::VersionMismatch { current } => Err(ServiceError::VersionMismatch { current }),
        }
    }

    /// A part of the user's sessions that have not ended, the one that expires last first, without their metadata.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn user_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionList, ServiceError> {
        let page = self.tools.store.list_sessions(user, page).await?;
        let mut sessions = Vec::with_capacity(page.sessions.len());
        for session in page.sessions {
            let session = self.corrected(session).await?;
            if !session.status.is_final() {
                sessions.push(session.into());
            }
        }
        Ok(SessionList { sessions, next: page.next.map(|next| next.to_string()) })
    }

    /// Notes that requests have used these sessions.
    ///
    /// # Errors
    /// `Invalid`, or those of the store.
    pub async fn note_activity(&self, sessions: &[SessionId]) -> Result<(), ServiceError> {
        if sessions.len() > MAX_ACTIVE_SESSIONS {
            let message = format!("must have at most {MAX_ACTIVE_SESSIONS} entries");
            return Err(ServiceError::Invalid(vec![invalid("sessions", message)]));
        }
        Ok(self.tools.store.touch(sessions).await?)
    }

    pub(super) fn note_age(&self, session: &SessionData) {
        self.tools.metrics.session_lived(self.now().since(session.created_at));
    }
}

fn check_texts(ip_address: Option<&str>, texts: [&Option<String>; 3], problems: &mut Vec<FieldProblem>) {
    if ip_address.is_some_and(|text| text.parse::<IpAddr>().is_err()) {
        problems.push(invalid("ip_address", "must be an IPv4 or IPv6 address"));
    }
    for (field, text) in ["user_agent", "device_type", "location"].into_iter().zip(texts) {
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES) {
            problems.push(invalid(field, format!("must be at most {MAX_TEXT_BYTES} bytes long")));
        }
    }
}

pub(super) fn check_scopes(scopes: Option<&Scopes>, problems: &mut Vec<FieldProblem>) {
    if scopes.is_some_and(|scopes| scopes.to_string().len() > MAX_SCOPES_BYTES) {
        problems.push(invalid("scopes", format!("must be at most {MAX_SCOPES_BYTES} bytes, with a blank between two")));
    }
}

fn metadata_too_large(max_bytes: usize) -> FieldProblem {
    invalid("metadata", format!("must be at most {max_bytes} bytes of JSON"))
}
