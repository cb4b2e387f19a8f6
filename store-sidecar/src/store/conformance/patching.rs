//! Promises on changing a session.

use std::sync::Arc;

use serde_json::{Value, json};
use session_gate_protocol::{
    CheckVerdict, ETag, InvalidTransition, OwnToken, Scopes, SessionData, SessionId, SessionStatus,
};

use super::{Harness, SETTINGS, Store, check, create, get, id, metadata, op, patch, plain, secs, token, update, user};
use crate::store::{LaterVersion, Termination, Update};

/// Some store with one session, and the session.
async fn with_session<H: Harness>(stored: Value) -> (H, SessionData) {
    let harness = H::start(SETTINGS).await;
    let mut new = plain(&user("alice"), 1);
    new.session.ip_address = Some("192.0.2.1".to_owned());
    new.session.metadata = metadata(stored);
    let session = create(harness.store(), new).await;
    (harness, session)
}

/// A member that is there replaces, `null` removes, an absent one leaves; the version counts up.
pub async fn a_patch_replaces_removes_and_leaves<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({ "a": 1 })).await;
    let id = &before.session_id;
    let after = update(harness.store(), id, json!({ "ip_address": null, "location": "CH" })).await;
    let expected = SessionData { ip_address: None, location: Some("CH".to_owned()), version: 2, ..before.clone() };
    assert_eq!(after, expected);
    assert_eq!(get(harness.store(), id).await, expected);
    let unchanged = update(harness.store(), id, json!({})).await;
    assert_eq!(unchanged, SessionData { version: 3, ..expected });
}

/// RFC 7396 within the metadata.
pub async fn metadata_is_merged_at_every_depth<H: Harness>() {
    let (harness, before) =
        with_session::<H>(json!({ "keep": [1], "drop": 1, "deep": { "keep": [], "drop": {}, "change": 1 } })).await;
    let change = json!({ "drop": null, "absent": null, "new": { "x": null, "y": [null] },
        "deep": { "drop": null, "change": { "now": [] } } });
    let after = update(harness.store(), &before.session_id, json!({ "metadata": change })).await;
    let expected = json!({ "keep": [1], "new": { "y": [null] }, "deep": { "keep": [], "change": { "now": [] } } });
    assert_eq!(after.metadata, metadata(expected.clone()));
    assert_eq!(get(harness.store(), &before.session_id).await.metadata, metadata(expected));
}

/// `metadata: null` is no metadata.
pub async fn a_null_empties_the_metadata<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({ "a": 1 })).await;
    let after = update(harness.store(), &before.session_id, json!({ "metadata": null })).await;
    assert_eq!(after.metadata, metadata(json!({})));
    assert_eq!(get(harness.store(), &before.session_id).await, after);
}

/// If-Match: the version that it names, or nothing is changed.
pub async fn an_update_of_another_version_is_refused<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({})).await;
    let change = patch(json!({ "location": "x" }));
    let attempt = |version| harness.store().update_session(&before.session_id, &change, Some(ETag(version)), op());
    assert!(matches!(attempt(1).await.unwrap(), Update::Applied(_)));
    for wrong in [0, 1, 3, u64::MAX] {
        assert_eq!(attempt(wrong).await.unwrap(), Update::VersionMismatch { current: ETag(2) });
    }
    assert_eq!(get(harness.store(), &before.session_id).await.version, 2);
}

/// Sends as many updates at once as there are patches.
async fn at_once<H: Harness>(
    harness: &Arc<H>,
    id: &SessionId,
    patches: Vec<Value>,
    expected: Option<ETag>,
) -> Vec<Update> {
    let tasks: Vec<_> = patches
        .into_iter()
        .map(|value| {
            let (harness, id) = (Arc::clone(harness), id.clone());
            tokio::spawn(
                async move { harness.store().update_session(&id, &patch(value), expected, op()).await.unwrap() },
            )
        })
        .collect();
    let mut updates = Vec::new();
    for task in tasks {
        updates.push(task.await.unwrap());
    }
    updates
}

/// Exactly one, and the others are told.
pub async fn of_concurrent_updates_of_one_version_one_wins<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({})).await;
    let harness = Arc::new(harness);
    let patches = (0..8).map(|number| json!({ "metadata": { "winner": number } })).collect();
    let updates = at_once(&harness, &before.session_id, patches, Some(ETag(1))).await;
    let (applied, refused): (Vec<_>, Vec<_>) =
        updates.into_iter().partition(|update| matches!(update, Update::Applied(_)));
    assert_eq!((applied.len(), refused.len()), (1, 7));
    assert!(refused.iter().all(|update| *update == Update::VersionMismatch { current: ETag(2) }));
    assert_eq!(applied, [Update::Applied(get(harness.store(), &before.session_id).await)]);
}

/// Without If-Match every patch is merged into what the others left.
pub async fn concurrent_updates_lose_nothing<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({})).await;
    let harness = Arc::new(harness);
    let patches = (0..12).map(|number| json!({ "metadata": { format!("m{number}"): number } })).collect();
    let updates = at_once(&harness, &before.session_id, patches, None).await;
    assert!(updates.iter().all(|update| matches!(update, Update::Applied(_))));
    let after = get(harness.store(), &before.session_id).await;
    let after_metadata = serde_json::to_value(&after.metadata).unwrap();
    assert_eq!((after_metadata.as_object().unwrap().len(), after.version), (12, 13));
}

/// As the protocol's one table says; a refused change changes nothing.
pub async fn the_status_changes_where_it_may<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({})).await;
    let id = &before.session_id;
    let suspended = update(harness.store(), id, json!({ "status": "suspended" })).await;
    assert_eq!(suspended.status, SessionStatus::Suspended);
    for to in [SessionStatus::Pending2fa, SessionStatus::Expired] {
        let refused = Update::InvalidTransition(InvalidTransition { from: SessionStatus::Suspended, to });
        let change = patch(json!({ "status": to, "location": "x" }));
        assert_eq!(harness.store().update_session(id, &change, None, op()).await.unwrap(), refused);
    }
    assert_eq!(get(harness.store(), id).await, suspended);
    let active = update(harness.store(), id, json!({ "status": "active" })).await;
    assert_eq!((active.status, active.version), (SessionStatus::Active, 3));
    assert_eq!(check(harness.store(), &before.user_id, id).await, CheckVerdict::Live);
}

/// It is the same as terminating it, with the rest of the patch applied.
pub async fn a_patch_that_terminates_ends_the_session<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({})).await;
    let (store, id) = (harness.store(), &before.session_id);
    let ended = update(store, id, json!({ "status": "terminated", "metadata": { "why": "stolen" } })).await;
    assert_eq!((ended.status, ended.version), (SessionStatus::Terminated, 2));
    assert_eq!(get(store, id).await, ended);
    assert_eq!(check(store, &before.user_id, id).await, CheckVerdict::SessionTerminated);
    assert_eq!(store.user_sessions(&before.user_id).await.unwrap(), []);
    assert_eq!(store.terminate_session(id, op()).await.unwrap(), Termination::AlreadyEnded);
    assert_eq!(store.begin_cut_off(&before.user_id, None, 0).await.unwrap().listed, 0);
    harness.pass(SETTINGS.retention + secs(1)).await;
    assert_eq!(store.session(id).await.unwrap(), None);
}

/// Neither a terminated nor an expired one, whatever version is named.
pub async fn an_ended_session_is_not_changed<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let change = patch(json!({ "status": "active" }));
    for number in [1, 2] {
        create(harness.store(), plain(&alice, number)).await;
    }
    harness.store().terminate_session(&id(&alice, 1), op()).await.unwrap();
    harness.pass(super::LIFETIME).await;
    for (number, status) in [(1, SessionStatus::Terminated), (2, SessionStatus::Expired)] {
        let ended = get(harness.store(), &id(&alice, number)).await;
        assert_eq!(ended.status, status);
        for expected in [None, Some(ETag(ended.version)), Some(ETag(9))] {
            let refused = harness.store().update_session(&id(&alice, number), &change, expected, op()).await.unwrap();
            assert_eq!(refused, Update::Ended(ended.clone()));
        }
    }
}

/// The limit holds for what the patch makes, and nothing of the patch is applied.
pub async fn oversized_metadata_changes_nothing<H: Harness>() {
    let (harness, before) = with_session::<H>(json!({ "a": "x".repeat(600) })).await;
    let change = patch(json!({ "location": "x", "metadata": { "b": "x".repeat(600) } }));
    let refused = harness.store().update_session(&before.session_id, &change, None, op()).await.unwrap();
    assert_eq!(refused, Update::MetadataTooLarge { max_bytes: SETTINGS.max_metadata_bytes });
    assert_eq!(get(harness.store(), &before.session_id).await, before);
}

/// Whatever else changes, and from the start.
pub async fn scopes_are_set_shown_checked_and_removed<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let mut new = plain(&alice, 1);
    new.session.scopes = Some(Scopes::parse_list("write read").unwrap());
    let id = create(store, new.clone()).await.session_id;
    let scopes = async |expected: Option<&str>, version| {
        let expected = expected.map(|text| Scopes::parse_list(text).unwrap());
        let session = get(store, &id).await;
        assert_eq!((&session.scopes, session.version), (&expected, version));
        assert_eq!(store.user_sessions(&alice).await.unwrap()[0].scopes, expected);
        let token = OwnToken { user_id: alice.clone(), session_id: Some(id.clone()), token_id: token("t") };
        let checked = store.check(&token).await.unwrap().session.unwrap();
        assert_eq!((checked.scopes, checked.version), (expected, version));
    };
    scopes(Some("read write"), 1).await;
    update(store, &id, json!({ "location": "CH" })).await;
    scopes(Some("read write"), 2).await;
    update(store, &id, json!({ "scopes": ["read"] })).await;
    scopes(Some("read"), 3).await;
    update(store, &id, json!({ "scopes": [] })).await;
    scopes(Some(""), 4).await;
    update(store, &id, json!({ "scopes": null })).await;
    scopes(None, 5).await;
    update(store, &id, json!({ "scopes": ["a"], "status": "suspended" })).await;
    let session = get(store, &id).await;
    assert_eq!((session.status, session.scopes.unwrap().to_string()), (SessionStatus::Suspended, "a".to_owned()));
}

/// But not to a session that has ended, nor over a later change.
pub async fn what_is_known_of_a_lost_version_is_restored<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    for number in 1..=3 {
        create(store, plain(&alice, number)).await;
    }
    let suspended = |version| LaterVersion { version, is_suspended: true, scopes: None };
    store.restore_version(&id(&alice, 1), &suspended(5)).await.unwrap();
    let known = get(store, &id(&alice, 1)).await;
    assert_eq!((known.status, known.version), (SessionStatus::Suspended, 5));
    assert_eq!(update(store, &id(&alice, 1), json!({ "status": "active" })).await.version, 6);
    store.restore_version(&id(&alice, 1), &suspended(6)).await.unwrap();
    assert_eq!(get(store, &id(&alice, 1)).await.status, SessionStatus::Active);
    store.terminate_session(&id(&alice, 2), op()).await.unwrap();
    for number in [2, 9] {
        store.restore_version(&id(&alice, number), &suspended(50)).await.unwrap();
    }
    assert_eq!(get(store, &id(&alice, 2)).await.status, SessionStatus::Terminated);
    assert_eq!(check(store, &alice, &id(&alice, 9)).await, CheckVerdict::SessionUnknown);
    for (version, scopes) in [(8, Some("read")), (9, None)] {
        let scopes = scopes.map(|scopes| Scopes::parse_list(scopes).unwrap());
        let later = LaterVersion { version, is_suspended: false, scopes: Some(scopes.clone()) };
        store.restore_version(&id(&alice, 3), &later).await.unwrap();
        let known = get(store, &id(&alice, 3)).await;
        assert_eq!((known.status, known.version, known.scopes), (SessionStatus::Active, version, scopes));
    }
}
