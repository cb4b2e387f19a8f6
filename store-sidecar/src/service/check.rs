//! Whether a credential may be used: what the store says of it, and what the feed says against it.
//!
//! What is asked here is what a worker cannot know, or not any more. So the answer must be newer than all
//! that was told before the question came: the store is asked, and the feed is read once more. The feed
//! also remembers what a store has lost.

use std::time::Duration;

use serde_json::{Map, Value};
use session_gate_protocol::{
    CheckReply, CheckRequest, CheckVerdict, CheckedCredential, Claims, OpaqueToken, OwnToken, SessionData, SessionId,
    SessionStatus, SlotTag, UserId,
};
use tokio::time::Instant;

use super::{Service, ServiceError, repair::Heard};
use crate::{
    feed::{Client, KnownSession},
    store::{Checked, LaterVersion, PageAsk, StoreError},
};

/// How long a check of a token of ours waits for the newest of the feed on a Cluster, where the feed may be away while the
/// user's node is not. The store has the last word on the session, so it does without the newest rules in the end.
pub(super) const OWN_PATIENCE: Duration = Duration::from_millis(100);

/// How long a check waits that cannot do without: of another issuer's token only the feed tells, and where the store is
/// one server it answers either way. As long as a step of the store may take.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many of a user's sessions are looked at first for one that is active: nearly always the first one is.
const NEWEST_LOOKED_AT: usize = 5;

/// How many are looked at then: as many as a user may have unless configured otherwise, or whoever begins logins without
/// finishing them could hide the one that is active. More are not, so that a check has a bound for any user.
const MOST_LOOKED_AT: usize = 1_000;

/// How often: again only where the feed knows better than the store of the one that was found.
const MOST_LOOKS: usize = 16;

/// Whether a check counts as a use of the session, which keeps it from being idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// It does.
    AsUse,
    /// It does not.
    AsNothing,
}

impl Service {
    /// Whether a credential may be used.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn check(&self, request: &CheckRequest) -> Result<CheckReply, ServiceError> {
        let CheckRequest { credential, address, user_agent, background } = request;
        let counts = if *background { Counts::AsNothing } else { Counts::AsUse };
        let client = Client { user: None, address: *address, user_agent: user_agent.as_deref() };
        self.tools.feed.may_answer(OWN_PATIENCE).await?;
        let (checked, claims) = match credential {
            CheckedCredential::Foreign { claims, require_session } => {
                (self.check_foreign(claims, *require_session, client, counts).await?, None)
            }
            CheckedCredential::Opaque { token } => match self.opaque_claims(token).await? {
                Some(claims) => (self.check_own(&own(&claims), client, counts).await?, Some(claims)),
                None => (CheckVerdict::CredentialUnknown.into(), None),
            },
            CheckedCredential::Own(token) => (self.check_own(token, client, counts).await?, None),
        };
        let Checked { verdict, session } = checked;
        self.tools.metrics.checked(verdict);
        Ok(CheckReply { verdict, claims, session })
    }

    /// Whether a token of ours may be used.
    pub(super) async fn check_own(
        &self,
        token: &OwnToken,
        client: Client<'_>,
        counts: Counts,
    ) -> Result<Checked, ServiceError> {
        let feed = &self.tools.feed;
        let asked_at = Instant::now();
        let caught_up = async {
            if self.tools.store.feed_may_be_away_alone() {
                feed.try_catch_up(asked_at, OWN_PATIENCE).await
            } else {
                feed.catch_up(asked_at, PATIENCE).await
            }
        };
        let stored = async {
            match counts {
                Counts::AsUse => self.tools.store.check(token).await,
                Counts::AsNothing => self.look_at(token).await,
            }
        };
        let (mut checked, ()) = tokio::try_join!(stored, caught_up)?;
        if feed.blocks(&Client { user: Some(token.user_id.as_str()), ..client })? {
            return Ok(CheckVerdict::Blocked.into());
        }
        if feed.is_revoked(&token.token_id)? {
            return Ok(CheckVerdict::TokenRevoked.into());
        }
        if let Some(session) = &mut checked.session {
            let known =
                KnownSession { id: &session.session_id, generation: session.generation, version: session.version };
            let Heard { against, later } = self.heard_of(&token.user_id, &known).await?;
            if let Some(against) = against {
                return Ok(against.verdict().into());
            }
            if let Some(LaterVersion { version, scopes, .. }) = later {
                session.version = version;
                session.scopes = scopes.unwrap_or_else(|| session.scopes.take());
            }
        }
        Ok(checked)
    }

    /// What the store says of a token, in two steps of which neither is a use of its session: both see what
    /// had been done when they began.
    async fn look_at(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        let store = &self.tools.store;
        let alone = OwnToken { session_id: None, ..token.clone() };
        let checked = store.check(&alone).await?;
        let Some(id) = token.session_id.as_ref().filter(|_| checked.verdict == CheckVerdict::Live) else {
            return Ok(checked);
        };
        let session = store.session(id).await?.filter(|session| session.user_id == token.user_id);
        Ok(session.map_or_else(|| CheckVerdict::SessionUnknown.into(), |session| Checked::of(&session)))
    }

    async fn check_foreign(
        &self,
        claims: &Map<String, Value>,
        require_session: bool,
        client: Client<'_>,
        counts: Counts,
    ) -> Result<Checked, ServiceError> {
        let feed = &self.tools.feed;
        feed.catch_up(Instant::now(), PATIENCE).await?;
        let user = claims.get("sub").and_then(Value::as_str);
        if feed.blocks(&Client { user, ..client })? {
            return Ok(CheckVerdict::Blocked.into());
        }
        if feed.revokes(claims)? {
            return Ok(CheckVerdict::TokenRevoked.into());
        }
        let user = user.and_then(|user| user.parse::<UserId>().ok());
        let named = user.as_ref().and_then(|user| session_named_by(claims, user));
        match user {
            Some(user) if require_session => self.check_session_of(&user, named, counts).await,
            // Nobody of that name can have a session.
            None if require_session => Ok(CheckVerdict::SessionUnknown.into()),
            user => match user.zip(named) {
                Some((user, id)) => Ok(self.against_named(&user, &id)?.into()),
                None => Ok(CheckVerdict::Live.into()),
            },
        }
    }

    /// What the feed says against a session that a token names and is not served in: what a worker that follows the feed
    /// refuses by itself.
    fn against_named(&self, user: &UserId, id: &SessionId) -> Result<CheckVerdict, StoreError> {
        // Of the session itself nothing is known here: no cut-off of all counts, and any suspension.
        let known = KnownSession { id, generation: u64::MAX, version: 0 };
        Ok(self.tools.feed.against(user, &known)?.map_or(CheckVerdict::Live, |against| against.verdict()))
    }

    /// The session that another issuer's token stands for: the one that it names, else the user's newest that is
    /// active.
    async fn check_session_of(
        &self,
        user: &UserId,
        named: Option<SessionId>,
        counts: Counts,
    ) -> Result<Checked, ServiceError> {
        let store = &self.tools.store;
        let session = match named {
            Some(id) => store.session(&id).await?.filter(|session| session.user_id == *user),
            None => self.newest_active(user).await?,
        };
        let Some(session) = session else { return Ok(CheckVerdict::SessionUnknown.into()) };
        let session = self.corrected(session).await?;
        let checked = Checked::of(&session);
        if checked.session.is_some() && counts == Counts::AsUse {
            self.note_use(&session).await;
        }
        Ok(checked)
    }

    pub(super) async fn newest_active(&self, user: &UserId) -> Result<Option<SessionData>, ServiceError> {
        let mut ask = PageAsk { after: None, limit: NEWEST_LOOKED_AT };
        for _ in 0..MOST_LOOKS {
            let page = self.tools.store.active_sessions(user, &ask).await?;
            let found = !page.sessions.is_empty();
            for session in page.sessions {
                let session = self.corrected(session).await?;
                if session.status == SessionStatus::Active {
                    return Ok(Some(session));
                }
            }
            match page.next {
                Some(next) if ask.limit == NEWEST_LOOKED_AT || found => {
                    ask = PageAsk { after: Some(next), limit: MOST_LOOKED_AT };
                }
                _ => break,
            }
        }
        Ok(None)
    }

    /// Notes a use of the session where the noted one is old. What was asked is right all the same where
    /// that fails.
    async fn note_use(&self, session: &SessionData) {
        let resolution = self.session.store.resolution_for(session.idle_timeout);
        if self.now().since(session.last_activity).as_secs() > resolution {
            drop(self.tools.store.touch(std::slice::from_ref(&session.session_id)).await);
        }
    }

    /// What an opaque token of ours says, while it has not expired.
    pub(super) async fn opaque_claims(&self, token: &str) -> Result<Option<Claims>, ServiceError> {
        let claims = self.kept_claims(token).await?;
        Ok(claims.filter(|claims| self.now() < claims.exp))
    }

    /// What an opaque token of ours says, expired or not, for as long as any verifier may accept it.
    pub(super) async fn kept_claims(&self, token: &str) -> Result<Option<Claims>, ServiceError> {
        let Ok(token) = OpaqueToken::parse(token) else { return Ok(None) };
        Ok(self.tools.store.opaque(token.tag(), &token.hash()).await?)
    }
}

/// The session that another issuer's token names by its `sid`, if that can be one of its user's.
fn session_named_by(claims: &Map<String, Value>, user: &UserId) -> Option<SessionId> {
    let id = claims.get("sid")?.as_str()?.parse::<SessionId>().ok()?;
    (id.tag() == SlotTag::of_user(user)).then_some(id)
}

/// What a token of ours says of itself.
pub(super) fn own(claims: &Claims) -> OwnToken {
    OwnToken { user_id: claims.sub.clone(), session_id: claims.sid.clone(), token_id: claims.jti.clone() }
}
