//! Promises on sessions that go on under a new id, and on those whose place another takes.

use std::sync::Arc;

use serde_json::json;
use session_gate_protocol::{CheckVerdict, Scopes, SessionData, SessionId, SessionStatus, UserId};

use super::{Harness, SETTINGS, Store, check, create, end_all, get, id, idle_after, op, plain, secs, update, user};
use crate::store::{CreateSession, Rotated, Rotation, StoreErrorKind};

fn rotation(user: &UserId, number: u8) -> Rotation {
    Rotation { user_id: user.clone(), id: id(user, number), scopes: None }
}

async fn rotated(store: &impl Store, old: &SessionId, rotation: &Rotation) -> SessionData {
    match store.rotate_session(old, rotation, op()).await.unwrap() {
        Rotated::Done(session) => session,
        refused => panic!("{refused:?}"),
    }
}

/// A session with something in each field.
fn full(user: &UserId, number: u8) -> CreateSession {
    let session = json!({
        "user_id": user, "ip_address": "192.0.2.1", "user_agent": "browser", "device_type": "laptop", "location": "CH",
        "metadata": {"a": [], "b": {}}, "scopes": ["read"], "pending_2fa": true, "class": "remember",
    });
    CreateSession {
        session: serde_json::from_value(session).unwrap(),
        is_persistent: true,
        ..idle_after(user, number, 300)
    }
}

pub async fn a_class_is_kept_with_its_session<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let created = create(store, full(&alice, 1)).await;
    assert_eq!((created.class.as_deref(), created.persistent), (Some("remember"), true));
    assert_eq!(get(store, &created.session_id).await, created);
    assert_eq!(store.user_sessions(&alice).await.unwrap(), std::slice::from_ref(&created));
    assert_eq!(update(store, &created.session_id, json!({"location": null})).await.class, created.class);
    let none = create(store, plain(&alice, 2)).await;
    assert_eq!((none.class, none.persistent), (None, false));
}

/// With all that it was, but for what has been proved.
pub async fn a_rotated_session_goes_on_under_its_new_id_alone<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let old = create(store, full(&alice, 1)).await;
    let old = update(store, &old.session_id, json!({"metadata": {"c": 1}})).await;
    assert_eq!(old.status, SessionStatus::Pending2fa);
    harness.pass(secs(10)).await;
    let old = get(store, &old.session_id).await;
    let new = rotated(store, &old.session_id, &rotation(&alice, 2)).await;
    assert!(new.created_at >= old.created_at.after(secs(10)), "it begins now, and ends when it would have");
    let expected = SessionData {
        session_id: id(&alice, 2),
        status: SessionStatus::Active,
        version: 1,
        created_at: new.created_at,
        last_activity: new.created_at,
        ..old.clone()
    };
    assert_eq!(new, expected);
    assert_eq!(get(store, &new.session_id).await, new);
    assert_eq!(store.user_sessions(&alice).await.unwrap(), std::slice::from_ref(&new));
    assert_eq!(check(store, &alice, &new.session_id).await, CheckVerdict::Live);
    assert_eq!(check(store, &alice, &old.session_id).await, CheckVerdict::SessionTerminated);
    let dead = get(store, &old.session_id).await;
    assert_eq!((dead.status, dead.version), (SessionStatus::Terminated, old.version + 1));
    assert!(dead.metadata.is_empty() && dead.ip_address.is_none(), "an ended session has no data of its user");
    // With other scopes, and again: its end never moves.
    let more = Scopes::parse_list("read write").unwrap();
    let again = Rotation { scopes: Some(more.clone()), ..rotation(&alice, 3) };
    let again = rotated(store, &new.session_id, &again).await;
    assert_eq!((again.scopes, again.expires_at), (Some(more), old.expires_at));
}

pub async fn only_a_users_own_session_that_may_be_used_is_rotated<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let (alice, bob) = (user("alice"), user("bob"));
    let [suspended, ended, cut_off] = [1, 2, 3].map(|number| id(&alice, number));
    for number in 1..=2 {
        create(store, plain(&alice, number)).await;
    }
    update(store, &suspended, json!({"status": "suspended"})).await;
    store.terminate_session(&ended, op()).await.unwrap();
    let idle = create(store, idle_after(&bob, 1, 5)).await.session_id;
    harness.pass(secs(10)).await;
    let rotate = async |old, user| store.rotate_session(old, &rotation(user, 9), op()).await.unwrap();
    assert_eq!(rotate(&suspended, &alice).await, Rotated::Refused(SessionStatus::Suspended));
    assert_eq!(rotate(&ended, &alice).await, Rotated::Refused(SessionStatus::Terminated));
    assert_eq!(rotate(&idle, &bob).await, Rotated::Refused(SessionStatus::Expired));
    create(store, plain(&alice, 3)).await;
    assert_eq!(rotate(&cut_off, &bob).await, Rotated::NotFound, "it is another's");
    end_all(store, &alice).await;
    assert_eq!(rotate(&cut_off, &alice).await, Rotated::Refused(SessionStatus::Terminated));
    assert_eq!(rotate(&id(&alice, 8), &alice).await, Rotated::NotFound);
    assert_eq!(store.session(&id(&alice, 9)).await.unwrap(), None, "nothing was changed");
    assert_eq!(get(store, &suspended).await.status, SessionStatus::Terminated, "by the cut-off");
}

/// Whoever is to be logged out must not be able to go on by an elevation at the same moment.
pub async fn a_rotated_session_does_not_escape_a_cut_off<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    for (name, spared) in [("a", None), ("b", Some(1)), ("c", Some(2))] {
        let alice = user(name);
        for number in 1..=2 {
            create(store, plain(&alice, number)).await;
        }
        let spared_id = spared.map(|number| id(&alice, number));
        let begun = store.begin_cut_off(&alice, spared_id.as_ref(), 0).await.unwrap();
        let new = rotated(store, &id(&alice, 1), &rotation(&alice, 3)).await;
        store.finish_cut_off(&alice, begun.before, spared_id.as_ref()).await.unwrap();
        let lives = check(store, &alice, &new.session_id).await == CheckVerdict::Live;
        assert_eq!(lives, spared == Some(1), "{name}");
        assert_eq!(check(store, &alice, &id(&alice, 1)).await, CheckVerdict::SessionTerminated, "{name}");
    }
}

pub async fn of_concurrent_rotations_of_one_session_one_wins<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let alice = user("alice");
    let old = create(harness.store(), plain(&alice, 0)).await.session_id;
    let rotations = (1..=12).map(|number| {
        let (harness, old, rotation) = (Arc::clone(&harness), old.clone(), rotation(&alice, number));
        tokio::spawn(async move { harness.store().rotate_session(&old, &rotation, op()).await.unwrap() })
    });
    let mut won = Vec::new();
    for rotation in rotations.collect::<Vec<_>>() {
        match rotation.await.unwrap() {
            Rotated::Done(session) => won.push(session),
            refused => assert_eq!(refused, Rotated::Refused(SessionStatus::Terminated)),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(harness.store().user_sessions(&alice).await.unwrap(), won);
}

pub async fn a_repeated_rotation_answers_as_the_first_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, op_id) = (harness.store(), user("alice"), op());
    let old = create(store, plain(&alice, 1)).await.session_id;
    let first = store.rotate_session(&old, &rotation(&alice, 2), op_id).await.unwrap();
    assert!(matches!(first, Rotated::Done(_)), "{first:?}");
    assert_eq!(store.rotate_session(&old, &rotation(&alice, 2), op_id).await.unwrap(), first);
    assert_eq!(store.user_sessions(&alice).await.unwrap().len(), 1);
    let taken = store.rotate_session(&id(&alice, 2), &rotation(&alice, 2), op()).await.unwrap_err();
    assert_eq!(taken.kind(), StoreErrorKind::Conflict);
    let others = Rotation { id: id(&user("bob"), 3), ..rotation(&alice, 3) };
    let others = store.rotate_session(&id(&alice, 2), &others, op()).await.unwrap_err();
    assert_eq!(others.kind(), StoreErrorKind::Conflict);
    assert_eq!(check(store, &alice, &id(&alice, 2)).await, CheckVerdict::Live);
}
