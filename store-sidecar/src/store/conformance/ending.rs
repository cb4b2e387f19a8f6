//! Promises on how sessions end, and on what is known of them afterwards.

use serde_json::json;
use session_gate_protocol::{CheckVerdict, SessionStatus};

use super::{
    Harness, LIFETIME, SETTINGS, Store, StoreSettings, check, create, end_all, get, id, idle_after, metadata, op,
    plain, secs, update, user,
};
use crate::store::Termination;

/// From the moment that terminate returns.
pub async fn a_terminated_session_is_dead_at_once<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let session = create(harness.store(), plain(&alice, 1)).await;
    assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::Live);
    let ended = harness.store().terminate_session(&session.session_id, op()).await.unwrap();
    assert_eq!(ended, Termination::Ended);
    assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::SessionTerminated);
    let known = get(harness.store(), &session.session_id).await;
    assert_eq!((known.status, known.version), (SessionStatus::Terminated, 2));
}

/// However it ends: nobody needs to know any more where its user was, or what the application kept.
pub async fn an_ended_session_has_no_data_of_its_user<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    for number in 0..3 {
        let mut new = plain(&alice, number);
        new.session.ip_address = Some("192.0.2.1".to_owned());
        new.session.user_agent = Some("agent".to_owned());
        new.session.device_type = Some("tv".to_owned());
        new.session.location = Some("CH".to_owned());
        new.session.metadata = metadata(json!({ "plan": "pro" }));
        let created = create(store, new).await;
        assert_eq!(created.ip_address.as_deref(), Some("192.0.2.1"));
    }
    store.terminate_session(&id(&alice, 0), op()).await.unwrap();
    let patched = update(store, &id(&alice, 1), json!({ "status": "terminated", "location": "DE" })).await;
    assert_eq!(patched, patched.clone().bare());
    end_all(store, &alice).await;
    for number in 0..3 {
        let known = get(store, &id(&alice, number)).await;
        assert_eq!((known.status, &known), (SessionStatus::Terminated, &known.clone().bare()), "{number}");
    }
}

/// The first time counts.
pub async fn terminating_again_changes_nothing<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let session = create(harness.store(), plain(&user("alice"), 1)).await;
    harness.store().terminate_session(&session.session_id, op()).await.unwrap();
    let known = get(harness.store(), &session.session_id).await;
    for _ in 0..2 {
        let again = harness.store().terminate_session(&session.session_id, op()).await.unwrap();
        assert_eq!(again, Termination::AlreadyEnded);
    }
    assert_eq!(get(harness.store(), &session.session_id).await, known);
}

/// All of that user's, of whatever status, and of nobody else's.
pub async fn terminating_all_leaves_none_live<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let (alice, bob) = (user("alice"), user("bob"));
    for number in 0..5 {
        create(store, plain(&alice, number)).await;
    }
    let bobs = create(store, plain(&bob, 1)).await;
    update(store, &id(&alice, 1), json!({ "status": "suspended" })).await;
    store.terminate_session(&id(&alice, 2), op()).await.unwrap();
    end_all(store, &alice).await;
    for number in 0..5 {
        assert_eq!(check(store, &alice, &id(&alice, number)).await, CheckVerdict::SessionTerminated);
    }
    assert_eq!(store.user_sessions(&alice).await.unwrap(), []);
    assert_eq!(store.user_sessions(&bob).await.unwrap(), [bobs]);
}

/// Whatever its activity.
pub async fn a_session_ends_at_its_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let session = create(store, plain(&alice, 1)).await;
    harness.pass(LIFETIME - secs(100)).await;
    assert_eq!(check(store, &alice, &session.session_id).await, CheckVerdict::Live);
    harness.pass(secs(100)).await;
    assert_eq!(check(store, &alice, &session.session_id).await, CheckVerdict::SessionExpired);
    assert_eq!(get(store, &session.session_id).await.status, SessionStatus::Expired);
    assert_eq!(store.terminate_session(&session.session_id, op()).await.unwrap(), Termination::AlreadyEnded);
}

/// Without a request for its idle time.
pub async fn an_idle_session_ends<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let session = create(store, idle_after(&alice, 1, 400)).await;
    harness.pass(secs(300)).await;
    assert_eq!(get(store, &session.session_id).await.status, SessionStatus::Active, "reading it is no activity");
    harness.pass(secs(100)).await;
    assert_eq!(check(store, &alice, &session.session_id).await, CheckVerdict::SessionExpired);
    assert_eq!(store.terminate_session(&session.session_id, op()).await.unwrap(), Termination::AlreadyEnded);
    assert_eq!(get(store, &session.session_id).await.status, SessionStatus::Expired);
    end_all(store, &alice).await;
    assert!(get(store, &session.session_id).await.status.is_final());
}

/// Each request starts the idle time anew.
pub async fn activity_keeps_a_session_from_being_idle<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    let session = create(store, idle_after(&alice, 1, 400)).await;
    for _ in 0..3 {
        harness.pass(secs(300)).await;
        assert_eq!(check(store, &alice, &session.session_id).await, CheckVerdict::Live);
    }
    harness.pass(secs(400)).await;
    assert_eq!(check(store, &alice, &session.session_id).await, CheckVerdict::SessionExpired);
}

/// A resolution beyond the idle timeout must not make a busy session look idle.
pub async fn steady_use_is_not_idle_however_coarse_the_resolution<H: Harness>() {
    let harness = H::start(StoreSettings { activity_resolution: secs(100_000), ..SETTINGS }).await;
    let alice = user("alice");
    let session = create(harness.store(), idle_after(&alice, 1, 200)).await;
    for _ in 0..6 {
        harness.pass(secs(60)).await;
        assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::Live);
    }
}

/// Its idle time runs on.
pub async fn a_suspended_session_is_not_kept_alive_by_requests<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let session = create(harness.store(), idle_after(&alice, 1, 400)).await;
    update(harness.store(), &session.session_id, json!({ "status": "suspended" })).await;
    harness.pass(secs(300)).await;
    assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::SessionSuspended);
    harness.pass(secs(100)).await;
    assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::SessionExpired);
}

/// Terminated, expired or idle: gone from the list, while suspended ones stay.
pub async fn ended_sessions_are_not_listed<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    create(store, idle_after(&alice, 1, 100)).await;
    create(store, plain(&alice, 2)).await;
    let mut short = plain(&alice, 3);
    short.duration = secs(100);
    create(store, short).await;
    create(store, plain(&alice, 4)).await;
    update(store, &id(&alice, 4), json!({ "status": "suspended" })).await;
    store.terminate_session(&id(&alice, 2), op()).await.unwrap();
    harness.pass(secs(100)).await;
    let listed = store.user_sessions(&alice).await.unwrap();
    let ids: Vec<_> = listed.into_iter().map(|session| session.session_id).collect();
    assert_eq!(ids, [id(&alice, 4)]);
}

/// A late request is told what became of it; later there was never such a session.
pub async fn an_expired_session_is_known_for_the_retention<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let session = create(harness.store(), plain(&alice, 1)).await;
    harness.pass(LIFETIME + SETTINGS.retention - secs(500)).await;
    assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::SessionExpired);
    harness.pass(secs(500)).await;
    assert_eq!(check(harness.store(), &alice, &session.session_id).await, CheckVerdict::SessionUnknown);
    assert_eq!(harness.store().session(&session.session_id).await.unwrap(), None);
    assert_eq!(harness.store().terminate_session(&session.session_id, op()).await.unwrap(), Termination::NotFound);
}

/// Counted from when it was terminated.
pub async fn a_terminated_session_is_known_for_the_retention<H: Harness>() {
    let harness = H::start(StoreSettings { retention: secs(400), ..SETTINGS }).await;
    let alice = user("alice");
    create(harness.store(), plain(&alice, 1)).await;
    create(harness.store(), plain(&alice, 2)).await;
    harness.store().terminate_session(&id(&alice, 1), op()).await.unwrap();
    end_all(harness.store(), &alice).await;
    assert_eq!(harness.store().sweep_sessions(&alice, None).await.unwrap().removed, 1);
    harness.pass(secs(300)).await;
    for number in [1, 2] {
        let verdict = check(harness.store(), &alice, &id(&alice, number)).await;
        assert_eq!(verdict, CheckVerdict::SessionTerminated);
    }
    harness.pass(secs(100)).await;
    for number in [1, 2] {
        assert_eq!(check(harness.store(), &alice, &id(&alice, number)).await, CheckVerdict::SessionUnknown);
        assert_eq!(harness.store().session(&id(&alice, number)).await.unwrap(), None);
    }
}
