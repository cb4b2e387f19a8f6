//! Promises on the question that filters ask.

use serde_json::json;
use session_gate_protocol::{
    CheckVerdict, CheckedSession, Claims, OwnToken, Scopes, SessionData, SessionStatus, SlotTag, UnixSeconds,
};

use super::{
    Harness, SETTINGS, Store, check, check_token, create, get, id, idle_after, now, op, patch, plain, secs, token,
    update, user,
};

/// The protocol's one table says which.
pub async fn each_status_has_its_verdict<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let mut new = plain(&alice, 1);
    new.session.pending_2fa = true;
    let session = create(harness.store(), new).await;
    let id = &session.session_id;
    assert_eq!(check(harness.store(), &alice, id).await, CheckVerdict::SessionPending2fa);
    for status in [SessionStatus::Active, SessionStatus::Suspended, SessionStatus::Terminated] {
        harness.store().update_session(id, &patch(json!({ "status": status })), None, op()).await.unwrap();
        assert_eq!(check(harness.store(), &alice, id).await, status.verdict());
    }
}

/// And not longer: the blacklist does not grow for ever.
pub async fn a_revoked_token_is_refused_until_it_has_expired<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::Live);
    let now = now(store).await;
    store.revoke_token(&alice, &token("t"), now.after(secs(400))).await.unwrap();
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::TokenRevoked);
    assert_eq!(check_token(store, &alice, &token("T")).await, CheckVerdict::Live);
    harness.pass(secs(380)).await;
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::TokenRevoked);
    harness.pass(secs(20)).await;
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::Live);
    store.revoke_token(&alice, &token("past"), now).await.unwrap();
    assert_eq!(check_token(store, &alice, &token("past")).await, CheckVerdict::Live, "it has expired before");
}

/// The later moment holds.
pub async fn revoking_never_shortens<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let now = now(store).await;
    store.revoke_token(&alice, &token("t"), now.after(secs(900))).await.unwrap();
    for earlier in [now.after(secs(300)), now, now.before(secs(1))] {
        store.revoke_token(&alice, &token("t"), earlier).await.unwrap();
    }
    harness.pass(secs(600)).await;
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::TokenRevoked);
}

/// In this direction too.
pub async fn revoking_can_lengthen<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let now = now(store).await;
    store.revoke_token(&alice, &token("t"), now.after(secs(300))).await.unwrap();
    store.revoke_token(&alice, &token("t"), now.after(secs(900))).await.unwrap();
    harness.pass(secs(600)).await;
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::TokenRevoked);
    harness.pass(secs(300)).await;
    assert_eq!(check_token(store, &alice, &token("t")).await, CheckVerdict::Live);
}

/// Whatever the session is.
pub async fn revoked_wins_over_the_session<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let expires_at = now(store).await.after(secs(900));
    create(store, plain(&alice, 1)).await;
    create(store, plain(&alice, 2)).await;
    store.revoke_token(&alice, &token("token"), expires_at).await.unwrap();
    store.terminate_session(&id(&alice, 2), op()).await.unwrap();
    for session in [id(&alice, 1), id(&alice, 2), id(&alice, 3), id(&user("bob"), 1)] {
        assert_eq!(check(store, &alice, &session).await, CheckVerdict::TokenRevoked);
    }
}

/// Never created is not live.
pub async fn an_unknown_session_is_unknown<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    assert_eq!(check(harness.store(), &alice, &id(&alice, 1)).await, CheckVerdict::SessionUnknown);
}

/// A token's `sid` counts only together with its `sub`; the session's activity is not touched.
pub async fn another_users_session_is_unknown<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (alice, mallory) = (user("alice"), user("mallory"));
    let session = create(harness.store(), plain(&alice, 1)).await;
    harness.pass(secs(300)).await;
    assert_eq!(check(harness.store(), &mallory, &session.session_id).await, CheckVerdict::SessionUnknown);
    let read = get(harness.store(), &session.session_id).await;
    assert_eq!(read.last_activity, read.created_at);
}

/// Two issuers may give out the same id.
pub async fn a_token_id_belongs_to_its_user<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let expires_at = now(store).await.after(secs(900));
    store.revoke_token(&user("alice"), &token("t"), expires_at).await.unwrap();
    assert_eq!(check_token(store, &user("bob"), &token("t")).await, CheckVerdict::Live);
    assert_eq!(check_token(store, &user("alice"), &token("t")).await, CheckVerdict::TokenRevoked);
}

/// Not with each request, and not never.
pub async fn activity_is_noted_when_it_is_older_than_the_resolution<H: Harness>() {
    let harness = H::start(super::StoreSettings { activity_resolution: secs(200), ..SETTINGS }).await;
    let alice = user("alice");
    let session = create(harness.store(), plain(&alice, 1)).await;
    let noted_after = async || {
        assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::Live);
        let session = get(harness.store(), &session.session_id).await;
        session.last_activity.since(session.created_at)
    };
    harness.pass(secs(100)).await;
    assert_eq!(noted_after().await, secs(0));
    harness.pass(secs(200)).await;
    let noted = noted_after().await;
    assert!(noted >= secs(300));
    harness.pass(secs(100)).await;
    assert_eq!(noted_after().await, noted);
}

/// An ETag stays good while the session is used; a token without a session touches none.
pub async fn activity_is_no_change<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let session = create(harness.store(), plain(&alice, 1)).await;
    harness.pass(secs(300)).await;
    let asked = OwnToken { user_id: alice.clone(), session_id: None, token_id: token("token") };
    harness.store().check(&asked).await.unwrap();
    let read = get(harness.store(), &session.session_id).await;
    assert_eq!(read.last_activity, read.created_at);
    check(harness.store(), &alice, &session.session_id).await;
    let read = get(harness.store(), &session.session_id).await;
    assert!(read.last_activity > read.created_at);
    assert_eq!(read.version, 1);
    assert_eq!(update(harness.store(), &session.session_id, json!({})).await.last_activity, read.last_activity);
}

/// What requests have used, as the filter tells it afterwards.
pub async fn what_is_touched_is_in_use<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    let used = create(store, idle_after(&alice, 1, 400)).await;
    let others = create(store, idle_after(&bob, 1, 400)).await;
    let unused = create(store, idle_after(&alice, 2, 400)).await;
    let touched = [used.session_id.clone(), id(&alice, 9), others.session_id.clone()];
    for _ in 0..2 {
        harness.pass(secs(300)).await;
        store.touch(&touched).await.unwrap();
    }
    for session in [&used, &others] {
        let read = get(store, &session.session_id).await;
        assert_eq!((read.status, read.version), (SessionStatus::Active, 1));
    }
    assert_eq!(get(store, &unused.session_id).await.status, SessionStatus::Expired);
    let read = get(store, &used.session_id).await;
    store.touch(&touched).await.unwrap();
    assert_eq!(get(store, &used.session_id).await, read, "not with each request");
    store.touch(&[]).await.unwrap();
}

/// It neither wakes the dead nor keeps alive what is suspended.
pub async fn touching_changes_no_session_that_may_not_be_used<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let ended = create(store, plain(&alice, 1)).await;
    let suspended = create(store, plain(&alice, 2)).await;
    let idle = create(store, idle_after(&alice, 3, 100)).await;
    store.terminate_session(&ended.session_id, op()).await.unwrap();
    update(store, &suspended.session_id, json!({ "status": "suspended" })).await;
    harness.pass(secs(300)).await;
    let ids = [ended, suspended, idle].map(|session| session.session_id);
    let before = [get(store, &ids[0]).await, get(store, &ids[1]).await, get(store, &ids[2]).await];
    store.touch(&ids).await.unwrap();
    for (id, before) in ids.iter().zip(before) {
        assert_eq!(get(store, id).await, before);
    }
}

/// A worker needs to know no more of it.
pub async fn a_session_that_may_be_used_comes_with_its_verdict<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let mut pending = idle_after(&alice, 1, 400);
    pending.session.pending_2fa = true;
    pending.session.scopes = Some(Scopes::parse_list("read").unwrap());
    let pending = create(store, pending).await;
    let plain = create(store, plain(&alice, 2)).await;
    let ask = async |session: &SessionData| {
        let session_id = Some(session.session_id.clone());
        store.check(&OwnToken { user_id: alice.clone(), session_id, token_id: token("t") }).await.unwrap()
    };
    for session in [&pending, &plain] {
        let expected = CheckedSession {
            session_id: session.session_id.clone(),
            expires_at: session.expires_at,
            idle_timeout: session.idle_timeout,
            scopes: session.scopes.clone(),
            version: 1,
            generation: session.generation,
        };
        let checked = ask(session).await;
        assert_eq!((checked.verdict, checked.session), (session.status.verdict(), Some(expected)));
    }
    for status in ["suspended", "terminated"] {
        update(store, &plain.session_id, json!({ "status": status })).await;
        assert_eq!(ask(&plain).await.session, None);
    }
    let other = OwnToken { user_id: user("bob"), session_id: Some(pending.session_id), token_id: token("t") };
    assert_eq!(store.check(&other).await.unwrap().session, None);
}

fn claims(jti: &str) -> Claims {
    let claims = json!({
        "iss": "i", "sub": "alice", "aud": "b", "exp": 1, "nbf": 1, "iat": 1, "jti": jti, "scope": "read",
        "metadata": { "n": 18_446_744_073_709_551_615_u64, "a": [], "o": {} },
    });
    serde_json::from_value(claims).unwrap()
}

/// And comes back as it went in.
pub async fn an_opaque_token_is_known_until_it_has_expired<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, tag) = (harness.store(), SlotTag::of_user(&user("alice")));
    assert_eq!(store.opaque(&tag, "hash").await.unwrap(), None);
    let now = now(store).await;
    store.put_opaque(&tag, "hash", &claims("t"), now.after(secs(400))).await.unwrap();
    store.put_opaque(&tag, "past", &claims("t"), now).await.unwrap();
    assert_eq!(store.opaque(&tag, "hash").await.unwrap(), Some(claims("t")));
    assert_eq!(store.opaque(&tag, "past").await.unwrap(), None);
    harness.pass(secs(380)).await;
    assert_eq!(store.opaque(&tag, "hash").await.unwrap(), Some(claims("t")));
    harness.pass(secs(20)).await;
    assert_eq!(store.opaque(&tag, "hash").await.unwrap(), None);
}

/// Two users' tokens are two.
pub async fn an_opaque_token_is_found_by_its_tag_and_hash_alone<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, end) = (harness.store(), UnixSeconds(u64::MAX));
    let [alice, bob] = ["alice", "bob"].map(|name| SlotTag::of_user(&user(name)));
    store.put_opaque(&alice, "hash", &claims("t1"), end).await.unwrap();
    store.put_opaque(&bob, "hash", &claims("t2"), end).await.unwrap();
    store.put_opaque(&bob, "other", &claims("t3"), end).await.unwrap();
    for (tag, hash, jti) in [(&alice, "hash", "t1"), (&bob, "hash", "t2"), (&bob, "other", "t3")] {
        assert_eq!(store.opaque(tag, hash).await.unwrap(), Some(claims(jti)));
    }
    assert_eq!(store.opaque(&alice, "other").await.unwrap(), None);
}
