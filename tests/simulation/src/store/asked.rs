//! Each question to the store, with what it needs in its own hands: its asker may be gone when it arrives.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use session_gate_protocol::{
    CheckVerdict, Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SessionStatus,
    SlotTag, TokenId, UnixSeconds, UserId,
};
use store_sidecar::store::{
    Admission, Admitted, BegunCutOff, Checked, CreateSession, EndedSession, FeedPage, FeedPosition, Followers, Health,
    IndexPlace, LaterVersion, Leased, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, RefreshPut,
    RefreshRecord, Renewal, Renewed, Rotated, Rotation, SessionPage, Store, StoreError, Swept, Termination, Untold,
    Update,
};

use crate::crowd::AdmissionStep;

use super::{
    LeaseStep, Op, ReplicaStore, SharedStore, StoreLink,
    refusing::Does::{Add, Read, TakeBack},
    session_steps::SessionStep,
};

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLink").finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplicaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for ReplicaStore {
    fn feed_may_be_away_alone(&self) -> bool {
        self.shared.is_cluster
    }

    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        let admission = admission.clone();
        let create = move |shared: Arc<SharedStore>| async move {
            let (store, user, limit) = (shared.current(), new.session.user_id.clone(), admission.limit);
            let before = if limit.is_some() { store.user_sessions(&user).await? } else { Vec::new() };
            let admitted = store.admit_session(new, &admission, op).await?;
            // What everybody but the store knew to have ended it knows from here on.
            let (before, cut_off): (Vec<_>, Vec<_>) =
                before.into_iter().partition(|session| session.generation >= admission.floor);
            cut_off.iter().for_each(|session| shared.note_end(&session.session_id));
            if let Some(limit) = limit {
                let after = store.user_sessions(&user).await?;
                let ids = |ended: &[EndedSession]| ended.iter().map(|one| one.id.clone()).collect();
                let (created, ended) = match &admitted {
                    Admitted::Created { session, ended, .. } => (Some(session.session_id.clone()), ids(ended)),
                    Admitted::Full(ended) => (None, ids(ended)),
                    Admitted::Partly(_) | Admitted::NotNoted | Admitted::Unknown(_) => return Ok(admitted),
                };
                let step = AdmissionStep { limit, before, after, created, ended };
                shared.session_steps.note(SessionStep::Admitted(Box::new(step)));
            }
            if let Admitted::Created { session, .. } = &admitted {
                shared.note_birth(&session.session_id);
                admission.replaces.iter().for_each(|id| shared.note_end(id));
            }
            if let Admitted::Created { ended, .. } | Admitted::Full(ended) | Admitted::Partly(ended) = &admitted {
                ended.iter().for_each(|one| shared.note_end(&one.id));
            }
            Ok(admitted)
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(create(shared)))).await
    }

    async fn note_evictions(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        let user = user.clone();
        let note = move |shared: Arc<SharedStore>| async move { shared.current().note_evictions(&user, op).await };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(note(shared)))).await
    }

    async fn evictions_told(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        let user = user.clone();
        let told = move |shared: Arc<SharedStore>| async move { shared.current().evictions_told(&user, op).await };
        self.ask((Op::Other, TakeBack), Box::new(move |shared| Box::pin(told(shared)))).await
    }

    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError> {
        let overdue = move |shared: Arc<SharedStore>| async move { shared.current().overdue_evictions().await };
        self.ask((Op::Other, Read), Box::new(move |shared| Box::pin(overdue(shared)))).await
    }

    async fn put_takeover(&self, user: &UserId, hash: &str, login: &str, lifetime: Duration) -> Result<(), StoreError> {
        let (user, hash, login) = (user.clone(), hash.to_owned(), login.to_owned());
        let put = move |shared: Arc<SharedStore>| async move {
            shared.current().put_takeover(&user, &hash, &login, lifetime).await
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(put(shared)))).await
    }

    async fn take_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError> {
        let (user, hash) = (user.clone(), hash.to_owned());
        let take = move |shared: Arc<SharedStore>| async move { shared.current().take_takeover(&user, &hash).await };
        self.ask((Op::Other, TakeBack), Box::new(move |shared| Box::pin(take(shared)))).await
    }

    async fn rotate_session(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError> {
        let (old, rotation) = (old.clone(), rotation.clone());
        let rotate = move |shared: Arc<SharedStore>| async move {
            let rotated = shared.current().rotate_session(&old, &rotation, op).await?;
            if let Rotated::Done(session) = &rotated {
                shared.note_birth(&session.session_id);
                shared.note_end(&old);
            }
            Ok(rotated)
        };
        self.ask((Op::Other, Add), Box::new(move |shared| Box::pin(rotate(shared)))).await
    }

    async fn renew_token(&self, session: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        let (session, renewal) = (session.clone(), renewal.clone());
        let renew = move |shared: Arc<SharedStore>| async move {
            let renewed = shared.current().renew_token(&session, &renewal).await?;
            if let Renewed::Stored { .. } | Renewed::Before { .. } = &renewed {
                let is_new = matches!(renewed, Renewed::Stored { .. });
                let Renewal { shown, replaced, .. } = renewal;
                shared.session_steps.note(SessionStep::Renewed { session, shown, replaced, is_new });
            }
            Ok(renewed)
        };
        self.ask((Op::Other, Add), Box::new(|shared| Box::pin(renew(shared)))).await
    }

    async fn refresh_record(&self, session: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        let session = session.clone();
        let read = move |shared: Arc<SharedStore>| async move { shared.current().refresh_record(&session).await };
        self.ask((Op::Other, Read), Box::new(|shared| Box::pin(read(shared)))).await
    }

    async fn put_refresh_record(
        &self,
        session: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        let (session, before, after) = (session.clone(), before.map(str::to_owned), after.to_owned());
        let put = move |shared: Arc<SharedStore>| async move {
            let store = shared.current();
            let put = store.put_refresh_record(&session, before.as_deref(), &after).await?;
            // A refresh is a use.
            shared.note_use(store.session(&session).await?);
            Ok(put)
        };
        self.ask((Op::Other, Add), Box::new(|shared| Box::pin(put(shared)))).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        let id = id.clone();
        self.ask((Op::Other, Read), Box::new(|shared| Box::pin(async move { shared.current().session(&id).await })))
            .await
    }

    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        let takes_back = patch.scopes.is_some() || patch.status.is_some_and(|status| status != SessionStatus::Active);
        let does = if takes_back { TakeBack } else { Add };
        let (id, patch) = (id.clone(), patch.clone());
        let update = move |shared: Arc<SharedStore>| async move {
            let update = shared.current().update_session(&id, &patch, expected, op).await?;
            if let Update::Applied(session) = &update {
                shared.note(session);
            }
            Ok(update)
        };
        self.ask((Op::Update, does), Box::new(move |shared| Box::pin(update(shared)))).await
    }

    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        let id = id.clone();
        let terminate = move |shared: Arc<SharedStore>| async move {
            let termination = shared.current().terminate_session(&id, op).await?;
            if termination == Termination::Ended {
                shared.note_end(&id);
            }
            Ok(termination)
        };
        self.ask((Op::Other, TakeBack), Box::new(|shared| Box::pin(terminate(shared)))).await
    }

    async fn restore_version(&self, id: &SessionId, later: &LaterVersion) -> Result<(), StoreError> {
        let (id, later) = (id.clone(), later.clone());
        let restore =
            move |shared: Arc<SharedStore>| async move { shared.current().restore_version(&id, &later).await };
        self.ask((Op::Other, TakeBack), Box::new(|shared| Box::pin(restore(shared)))).await
    }

    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        let (user, page) = (user.clone(), page.clone());
        self.ask(
            (Op::Other, Read),
            Box::new(|shared| Box::pin(async move { shared.current().list_sessions(&user, &page).await })),
        )
        .await
    }

    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        let (user, except) = (user.clone(), except.cloned());
        let begin = move |shared: Arc<SharedStore>| async move {
            shared.current().begin_cut_off(&user, except.as_ref(), floor).await
        };
        self.ask((Op::Other, TakeBack), Box::new(|shared| Box::pin(begin(shared)))).await
    }

    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        let (user, except) = (user.clone(), except.cloned());
        let finish = move |shared: Arc<SharedStore>| async move {
            let store = shared.current();
            let listed = store.user_sessions(&user).await?;
            store.finish_cut_off(&user, before, except.as_ref()).await?;
            let ended = listed.iter().filter(|session| session.generation < before);
            let ended = ended.map(|session| &session.session_id).filter(|id| except.as_ref() != Some(*id));
            ended.for_each(|id| shared.note_end(id));
            Ok(())
        };
        self.ask((Op::Other, TakeBack), Box::new(|shared| Box::pin(finish(shared)))).await
    }

    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        let (user, after) = (user.clone(), after.cloned());
        let sweep =
            move |shared: Arc<SharedStore>| async move { shared.current().sweep_sessions(&user, after.as_ref()).await };
        self.ask((Op::Other, TakeBack), Box::new(|shared| Box::pin(sweep(shared)))).await
    }

    async fn revoke_token(&self, user: &UserId, token: &TokenId, until: UnixSeconds) -> Result<(), StoreError> {
        let (user, token) = (user.clone(), token.clone());
        let revoke =
            move |shared: Arc<SharedStore>| async move { shared.current().revoke_token(&user, &token, until).await };
        self.ask((Op::Other, TakeBack), Box::new(|shared| Box::pin(revoke(shared)))).await
    }

    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        let token = token.clone();
        let check = move |shared: Arc<SharedStore>| async move {
            let store = shared.current();
            if shared.refusing.now().is_none() {
                let checked = store.check(&token).await?;
                if let Some(session) = checked.session.as_ref().filter(|session| session.idle_timeout.is_some()) {
                    shared.note_use(store.session(&session.session_id).await?);
                }
                return Ok(checked);
            }
            // Without noting the use.
            let alone = OwnToken { session_id: None, ..token.clone() };
            let checked = store.check(&alone).await?;
            let Some(id) = token.session_id.as_ref().filter(|_| checked.verdict == CheckVerdict::Live) else {
                return Ok(checked);
            };
            let session = store.session(id).await?.filter(|session| session.user_id == token.user_id);
            Ok(session.map_or_else(|| CheckVerdict::SessionUnknown.into(), |session| Checked::of(&session)))
        };
        self.ask((Op::Check, Read), Box::new(|shared| Box::pin(check(shared)))).await
    }

    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        until: UnixSeconds,
    ) -> Result<(), StoreError> {
        let (tag, hash, claims) = (tag.clone(), hash.to_owned(), claims.clone());
        let put = move |shared: Arc<SharedStore>| async move {
            shared.current().put_opaque(&tag, &hash, &claims, until).await?;
            shared.opaque.note(hash, claims, shared.generation.load(Ordering::Relaxed));
            Ok(())
        };
        self.ask((Op::Other, Add), Box::new(|shared| Box::pin(put(shared)))).await
    }

    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        let (tag, hash) = (tag.clone(), hash.to_owned());
        self.ask(
            (Op::Other, Read),
            Box::new(|shared| Box::pin(async move { shared.current().opaque(&tag, &hash).await })),
        )
        .await
    }

    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        let sessions = sessions.to_vec();
        let touch = move |shared: Arc<SharedStore>| async move {
            let store = shared.current();
            store.touch(&sessions).await?;
            for id in &sessions {
                shared.note_use(store.session(id).await?);
            }
            Ok(())
        };
        self.ask((Op::Other, Add), Box::new(|shared| Box::pin(touch(shared)))).await
    }

    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        let entries = entries.to_vec();
        let append = move |shared: Arc<SharedStore>| async move {
            let cursor = shared.current().append_feed(&entries).await?;
            shared.note_appended(entries);
            Ok(cursor)
        };
        self.ask((Op::Append, TakeBack), Box::new(|shared| Box::pin(append(shared)))).await
    }

    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        let known = known.cloned();
        let read =
            move |shared: Arc<SharedStore>| async move { shared.current().read_feed(known.as_ref(), limit).await };
        self.ask((Op::Read, Read), Box::new(move |shared| Box::pin(read(shared)))).await
    }

    async fn publish_followers(
        &self,
        replica: &str,
        told: &Followers,
        lives: Duration,
        overdue: Duration,
    ) -> Result<(), StoreError> {
        let (replica, told) = (replica.to_owned(), told.clone());
        let publish = move |shared: Arc<SharedStore>| async move {
            shared.current().publish_followers(&replica, &told, lives, overdue).await
        };
        self.ask((Op::Publish, TakeBack), Box::new(move |shared| Box::pin(publish(shared)))).await
    }

    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.ask((Op::Followers, Read), Box::new(|shared| Box::pin(async move { shared.current().followers().await })))
            .await
    }

    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        let (worker, ask) = (worker.to_owned(), ask.clone());
        let lease = move |shared: Arc<SharedStore>| async move {
            let leased = shared.current().lease(&worker, &ask).await?;
            let Leased { lease: given, returned, lapsed, .. } = &leased;
            shared.note_lease(LeaseStep {
                counter: ask.counter,
                worker,
                lease: ask.lease,
                granted: given.granted,
                lifetime_ms: given.lifetime_ms,
                returned: *returned,
                lapsed: *lapsed,
                outstanding: given.outstanding,
                left: given.quotas.iter().map(|quota| quota.remaining).min().unwrap_or_default(),
            });
            Ok(leased)
        };
        self.ask((Op::Lease, Add), Box::new(move |shared| Box::pin(lease(shared)))).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.ask((Op::Other, Read), Box::new(|shared| Box::pin(async move { shared.current().health().await }))).await
    }
}
