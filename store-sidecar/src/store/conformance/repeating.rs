//! Promises on operations that are asked for twice, since the answer to the first was lost.

use serde_json::json;
use session_gate_protocol::{ETag, SessionStatus, UnixSeconds};

use super::{Harness, SETTINGS, Store, check_token, create, get, id, op, patch, plain, token, user};
use crate::store::{StoreErrorKind, Termination, Update};

pub async fn a_repeated_creation_answers_as_the_first_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, op) = (harness.store(), user("alice"), op());
    let first = store.create_session(plain(&alice, 1), op).await.unwrap();
    assert_eq!(store.create_session(plain(&alice, 1), op).await.unwrap(), first);
    assert_eq!(store.user_sessions(&alice).await.unwrap(), [first]);
}

/// Also where it expects a version that it has changed itself, or has ended the session.
pub async fn a_repeated_update_answers_as_the_first_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let before = create(store, plain(&alice, 1)).await;
    for change in [json!({"metadata": {"a": 1}}), json!({"scopes": ["read"]}), json!({"status": "terminated"})] {
        let (op, expected) = (op(), Some(ETag(get(store, &before.session_id).await.version)));
        let first = store.update_session(&before.session_id, &patch(change.clone()), expected, op).await.unwrap();
        assert!(matches!(first, Update::Applied(_)), "{first:?}");
        let again = store.update_session(&before.session_id, &patch(change), expected, op).await.unwrap();
        assert_eq!(again, first);
    }
    assert_eq!(get(store, &before.session_id).await.version, before.version + 3);
}

pub async fn a_repeated_end_answers_as_the_first_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, op) = (harness.store(), user("alice"), op());
    let session = create(store, plain(&alice, 1)).await;
    for _ in 0..2 {
        assert_eq!(store.terminate_session(&session.session_id, op).await.unwrap(), Termination::Ended);
    }
    assert_eq!(get(store, &session.session_id).await.version, session.version + 1);
}

/// So nobody need know it again. (Leases have their own.)
pub async fn what_is_the_same_twice_as_once_may_be_repeated<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, revoked) = (harness.store(), user("alice"), token("t"));
    let until = create(store, plain(&alice, 1)).await.expires_at;
    let claims = json!({
        "iss": "i", "sub": "alice", "aud": "a", "exp": until, "nbf": 1, "iat": 1, "jti": "t",
    });
    let claims = serde_json::from_value(claims).unwrap();
    let tag = id(&alice, 1).tag();
    for _ in 0..2 {
        store.revoke_token(&alice, &revoked, until).await.unwrap();
        store.put_opaque(&tag, "hash", &claims, until).await.unwrap();
        assert_eq!(store.opaque(&tag, "hash").await.unwrap().as_ref(), Some(&claims));
    }
    assert_eq!(check_token(store, &alice, &revoked).await.as_str(), "token_revoked");
}

pub async fn another_operation_is_none_repeated<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let created = op();
    let session = store.create_session(plain(&alice, 1), created).await.unwrap();
    let conflict = store.create_session(plain(&alice, 1), op()).await.unwrap_err();
    assert_eq!(conflict.kind(), StoreErrorKind::Conflict);
    let suspend = patch(json!({"status": "suspended"}));
    let expected = Some(ETag(session.version));
    let updated = op();
    store.update_session(&session.session_id, &suspend, expected, updated).await.unwrap();
    let refused = store.update_session(&session.session_id, &suspend, expected, op()).await.unwrap();
    assert!(matches!(refused, Update::VersionMismatch { .. }), "{refused:?}");
    assert_eq!(store.terminate_session(&session.session_id, updated).await.unwrap(), Termination::Ended);
    assert_eq!(store.terminate_session(&session.session_id, op()).await.unwrap(), Termination::AlreadyEnded);
    let ended = get(store, &session.session_id).await;
    assert!(ended.status == SessionStatus::Terminated && ended.expires_at > UnixSeconds(0));
}
