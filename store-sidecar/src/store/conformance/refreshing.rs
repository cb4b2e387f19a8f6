//! Promises on what is kept of refresh tokens.

use std::sync::Arc;

use serde_json::json;
use session_gate_protocol::{CheckVerdict, SessionId, SessionStatus};

use super::{Harness, SETTINGS, Store, check, create, end_all, get, id, idle_after, op, plain, secs, update, user};
use crate::store::{RefreshPut, Rotated, Rotation};

async fn put(store: &impl Store, id: &SessionId, before: Option<&str>, after: &str) -> RefreshPut {
    store.put_refresh_record(id, before, after).await.unwrap()
}

async fn text(store: &impl Store, id: &SessionId) -> Option<String> {
    store.refresh_record(id).await.unwrap().map(|record| record.text)
}

pub async fn a_record_is_replaced_if_it_is_still_what_was_read<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let session = create(store, plain(&alice, 1)).await;
    let id = &session.session_id;
    assert_eq!(text(store, id).await, None);
    assert_eq!(put(store, id, Some("one"), "two").await, RefreshPut::Changed, "there is none");
    let one = r#"{"a":["\"é\n"]}"#;
    assert_eq!(put(store, id, None, one).await, RefreshPut::Done);
    assert_eq!(text(store, id).await.as_deref(), Some(one));
    assert_eq!(put(store, id, None, one).await, RefreshPut::Done, "an answer may have been lost");
    assert_eq!(put(store, id, None, "two").await, RefreshPut::Changed);
    assert_eq!(put(store, id, Some(one), "two").await, RefreshPut::Done);
    assert_eq!(put(store, id, Some(one), "three").await, RefreshPut::Changed);
    let record = store.refresh_record(id).await.unwrap().unwrap();
    assert_eq!(record.text, "two");
    assert!((session.created_at..=session.created_at.after(secs(60))).contains(&record.now), "{record:?}");
    assert_eq!(get(store, id).await.version, session.version, "the session is the same");
    let unknown = super::id(&alice, 9);
    assert_eq!((text(store, &unknown).await, put(store, &unknown, None, "x").await), (None, RefreshPut::NotFound));
}

pub async fn a_session_that_may_not_be_used_changes_no_record<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    for number in 1..=4 {
        create(store, plain(&alice, number)).await;
        assert_eq!(put(store, &id(&alice, number), None, "one").await, RefreshPut::Done);
    }
    let [ended, suspended, patched, cut_off] = [1, 2, 3, 4].map(|number| id(&alice, number));
    store.terminate_session(&ended, op()).await.unwrap();
    update(store, &suspended, json!({"status": "suspended"})).await;
    update(store, &patched, json!({"status": "terminated"})).await;
    let idle = create(store, idle_after(&bob, 1, 5)).await.session_id;
    assert_eq!(put(store, &idle, None, "one").await, RefreshPut::Done);
    harness.pass(secs(10)).await;
    for (id, status, known) in [
        (&ended, SessionStatus::Terminated, None),
        (&suspended, SessionStatus::Suspended, Some("one")),
        (&patched, SessionStatus::Terminated, None),
        (&idle, SessionStatus::Expired, None),
    ] {
        assert_eq!(put(store, id, Some("one"), "two").await, RefreshPut::Refused(status));
        assert_eq!(text(store, id).await.as_deref(), known, "{status:?}");
    }
    end_all(store, &alice).await;
    assert_eq!(text(store, &cut_off).await, None);
    assert_eq!(put(store, &cut_off, Some("one"), "two").await, RefreshPut::Refused(SessionStatus::Terminated));
}

pub async fn a_refresh_is_a_use_of_its_session<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let session = create(store, idle_after(&alice, 1, 400)).await;
    let id = &session.session_id;
    assert_eq!(put(store, id, None, "0").await, RefreshPut::Done);
    for number in 0..3_u8 {
        harness.pass(secs(200)).await;
        let before = get(store, id).await;
        assert_eq!(put(store, id, Some(&number.to_string()), &(number + 1).to_string()).await, RefreshPut::Done);
        let after = get(store, id).await;
        assert!(after.last_activity >= before.last_activity.after(secs(200)));
        assert_eq!((after.expires_at, after.version), (before.expires_at, before.version), "its end does not move");
    }
    assert_eq!(check(store, &alice, id).await, CheckVerdict::Live);
}

pub async fn a_record_does_not_go_on_under_a_new_id<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let old = create(store, plain(&alice, 1)).await.session_id;
    assert_eq!(put(store, &old, None, "one").await, RefreshPut::Done);
    let rotation = Rotation { user_id: alice.clone(), id: id(&alice, 2), scopes: None };
    assert!(matches!(store.rotate_session(&old, &rotation, op()).await.unwrap(), Rotated::Done(_)));
    assert_eq!((text(store, &old).await, text(store, &rotation.id).await), (None, None));
    assert_eq!(put(store, &rotation.id, None, "new").await, RefreshPut::Done);
}

pub async fn of_concurrent_changes_one_wins<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let session = create(harness.store(), plain(&user("alice"), 0)).await.session_id;
    assert_eq!(put(harness.store(), &session, None, "before").await, RefreshPut::Done);
    let changes = (0..16).map(|number| {
        let (harness, session) = (Arc::clone(&harness), session.clone());
        tokio::spawn(async move { put(harness.store(), &session, Some("before"), &number.to_string()).await })
    });
    let mut won = Vec::new();
    for (number, change) in changes.collect::<Vec<_>>().into_iter().enumerate() {
        match change.await.unwrap() {
            RefreshPut::Done => won.push(number.to_string()),
            refused => assert_eq!(refused, RefreshPut::Changed),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(text(harness.store(), &session).await.as_ref(), won.first());
}
