//! Promises on the successors of tokens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use session_gate_protocol::{SessionId, SessionStatus, UserId};

use super::{
    CreateSession, Harness, SETTINGS, Store, create, end_all, get, id, idle_after, op, plain, secs, update, user,
};
use crate::store::{Renewal, Renewed, Rotated, Rotation};

const STORED: Renewed = Renewed::Stored { is_persistent: false };

fn renewal(user: &UserId, shown: u64, replaced: u64, sealed: &str) -> Renewal {
    Renewal { user_id: user.clone(), shown, replaced, sealed: sealed.to_owned() }
}

async fn renew(store: &impl Store, id: &SessionId, user: &UserId, shown: u64, sealed: &str) -> Renewed {
    store.renew_token(id, &renewal(user, shown, shown, sealed)).await.unwrap()
}

fn before(sealed: &str) -> Renewed {
    Renewed::Before { sealed: sealed.to_owned(), is_persistent: false }
}

pub async fn a_token_has_one_successor<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    let session = create(store, plain(&alice, 1)).await.session_id;
    assert_eq!(renew(store, &session, &alice, 0, "one").await, STORED);
    assert_eq!(renew(store, &session, &alice, 0, "other").await, before("one"), "whoever asks");
    assert_eq!(renew(store, &session, &alice, 1, "two").await, STORED);
    assert_eq!(renew(store, &session, &alice, 1, "other").await, before("two"));
    assert_eq!(renew(store, &session, &alice, 0, "other").await, Renewed::Superseded, "too old");
    assert_eq!(renew(store, &session, &alice, 2, "three").await, STORED);
    assert_eq!(renew(store, &session, &bob, 3, "x").await, Renewed::NotFound, "it is another's");
    assert_eq!(renew(store, &id(&alice, 9), &alice, 0, "x").await, Renewed::NotFound);
    // Each session has a chain of its own.
    let other = create(store, plain(&alice, 2)).await.session_id;
    assert_eq!(renew(store, &other, &alice, 0, "x").await, STORED);
    let kept = CreateSession { is_persistent: true, ..plain(&alice, 3) };
    let kept = create(store, kept).await.session_id;
    assert_eq!(renew(store, &kept, &alice, 0, "x").await, Renewed::Stored { is_persistent: true });
    let again = renew(store, &kept, &alice, 0, "y").await;
    assert_eq!(again, Renewed::Before { sealed: "x".to_owned(), is_persistent: true });
}

/// The tabs that show the same token get the same successor again, though the first one expired before any of them came.
pub async fn a_successor_that_has_expired_is_replaced_once<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let session = create(store, plain(&alice, 1)).await.session_id;
    assert_eq!(renew(store, &session, &alice, 0, "expired").await, STORED);
    let replace =
        async |replaced, sealed| store.renew_token(&session, &renewal(&alice, 0, replaced, sealed)).await.unwrap();
    assert_eq!(replace(1, "fresh").await, STORED);
    assert_eq!(replace(1, "late").await, before("fresh"), "another has replaced it");
    assert_eq!(renew(store, &session, &alice, 0, "x").await, before("fresh"));
    assert_eq!(renew(store, &session, &alice, 1, "x").await, Renewed::Superseded, "what was replaced has no successor");
    assert_eq!(renew(store, &session, &alice, 2, "next").await, STORED);
    assert_eq!(replace(2, "x").await, Renewed::Superseded);
}

/// A store that has lost the last renewals does not lock out whoever has their tokens.
pub async fn a_later_renewal_than_is_known_is_believed<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let session = create(store, plain(&alice, 1)).await.session_id;
    assert_eq!(renew(store, &session, &alice, 5, "six").await, STORED);
    assert_eq!(renew(store, &session, &alice, 5, "x").await, before("six"));
    assert_eq!(renew(store, &session, &alice, 4, "x").await, Renewed::Superseded);
}

pub async fn a_session_that_may_not_be_used_gives_no_successor<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice, bob) = (harness.store(), user("alice"), user("bob"));
    let sessions: Vec<SessionId> = (1..=3).map(|number| id(&alice, number)).collect();
    for number in 1..=3 {
        create(store, plain(&alice, number)).await;
        assert_eq!(renew(store, &id(&alice, number), &alice, 0, "one").await, STORED);
    }
    let pending = CreateSession {
        session: serde_json::from_value(json!({"user_id": alice, "pending_2fa": true})).unwrap(),
        ..plain(&alice, 4)
    };
    let pending = create(store, pending).await.session_id;
    assert_eq!(renew(store, &pending, &alice, 0, "one").await, STORED, "it waits for its second factor, and lives");
    store.terminate_session(&sessions[0], op()).await.unwrap();
    update(store, &sessions[1], json!({"status": "suspended"})).await;
    update(store, &sessions[2], json!({"status": "terminated"})).await;
    let idle = create(store, idle_after(&bob, 1, 5)).await.session_id;
    harness.pass(secs(10)).await;
    for shown in [0, 1] {
        let refused = async |id, user| renew(store, id, user, shown, "x").await;
        assert_eq!(refused(&sessions[0], &alice).await, Renewed::Refused(SessionStatus::Terminated));
        assert_eq!(refused(&sessions[1], &alice).await, Renewed::Refused(SessionStatus::Suspended));
        assert_eq!(refused(&sessions[2], &alice).await, Renewed::Refused(SessionStatus::Terminated));
        assert_eq!(refused(&idle, &bob).await, Renewed::Refused(SessionStatus::Expired));
    }
    update(store, &sessions[1], json!({"status": "active"})).await;
    assert_eq!(renew(store, &sessions[1], &alice, 0, "x").await, before("one"), "it goes on where it was");
    end_all(store, &alice).await;
    assert_eq!(renew(store, &pending, &alice, 1, "x").await, Renewed::Refused(SessionStatus::Terminated));
}

/// Case R7: a browser that is only left open does not keep its session from being idle.
pub async fn a_renewal_is_no_use_of_its_session<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let session = create(store, idle_after(&alice, 1, 400)).await;
    harness.pass(secs(200)).await;
    let earlier = get(store, &session.session_id).await;
    assert_eq!(renew(store, &session.session_id, &alice, 0, "one").await, STORED);
    assert_eq!(get(store, &session.session_id).await, earlier, "and no change of it");
    harness.pass(secs(200)).await;
    assert_eq!(renew(store, &session.session_id, &alice, 1, "two").await, Renewed::Refused(SessionStatus::Expired));
}

/// The opposite rule: whoever shows the old id gets nothing, and the new one's first token is its own first.
pub async fn a_rotated_session_begins_a_chain_of_its_own<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (store, alice) = (harness.store(), user("alice"));
    let old = create(store, plain(&alice, 1)).await.session_id;
    assert_eq!(renew(store, &old, &alice, 0, "one").await, STORED);
    assert_eq!(renew(store, &old, &alice, 1, "two").await, STORED);
    let rotation = Rotation { user_id: alice.clone(), id: id(&alice, 2), scopes: None };
    assert!(matches!(store.rotate_session(&old, &rotation, op()).await.unwrap(), Rotated::Done(_)));
    assert_eq!(renew(store, &old, &alice, 1, "x").await, Renewed::Refused(SessionStatus::Terminated));
    assert_eq!(renew(store, &rotation.id, &alice, 0, "first").await, STORED);
    assert_eq!(renew(store, &rotation.id, &alice, 0, "x").await, before("first"));
}

/// Case R1.
pub async fn of_concurrent_candidates_one_wins<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let alice = user("alice");
    let session = create(harness.store(), plain(&alice, 0)).await.session_id;
    for shown in 0..3 {
        let renewals = (0..16).map(|number| {
            let (harness, session, alice) = (Arc::clone(&harness), session.clone(), alice.clone());
            tokio::spawn(async move {
                let sealed = number.to_string();
                (renew(harness.store(), &session, &alice, shown, &sealed).await, sealed)
            })
        });
        let (mut won, mut given) = (Vec::new(), Vec::new());
        for renewal in renewals.collect::<Vec<_>>() {
            match renewal.await.unwrap() {
                (Renewed::Stored { .. }, sealed) => won.push(sealed),
                (Renewed::Before { sealed, .. }, _) => given.push(sealed),
                refused => panic!("{refused:?}"),
            }
        }
        assert_eq!((won.len(), given.len()), (1, 15));
        assert!(given.iter().all(|sealed| *sealed == won[0]), "all get the same");
    }
}

/// Case R3: what was stored was stored before the end, and nothing after it.
pub async fn no_successor_is_stored_after_the_end<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let alice = user("alice");
    for number in 0..40 {
        let session = create(harness.store(), plain(&alice, number)).await.session_id;
        let (renewing, ending) = (Arc::clone(&harness), Arc::clone(&harness));
        let (id, user) = (session.clone(), alice.clone());
        let renewing = tokio::spawn(async move {
            for shown in 0.. {
                if renew(renewing.store(), &id, &user, shown, "x").await != STORED {
                    return shown;
                }
            }
            0
        });
        let id = session.clone();
        let ended = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(u64::from(number) * 100)).await;
            ending.store().terminate_session(&id, op()).await.unwrap();
        });
        ended.await.unwrap();
        let after = renew(harness.store(), &session, &alice, 1_000_000, "x").await;
        assert_eq!(after, Renewed::Refused(SessionStatus::Terminated));
        renewing.await.unwrap();
    }
}
