use std::sync::Arc;
use std::time::Duration;

use session_gate_protocol::{
    CheckVerdict, Claims, OwnToken, SessionData, SessionId, SlotTag, TokenId, UnixSeconds, UserId,
};

use super::MemoryStore;
use crate::clock::ManualClock;
use crate::rng::testing::SeededRandom;
use crate::store::conformance::op;
use crate::store::{CreateSession, NewFeedEntry, Store as _, StoreError, StoreErrorKind, StoreSettings};

fn store() -> (Arc<ManualClock>, MemoryStore) {
    let clock = Arc::new(ManualClock::new(UnixSeconds(1_000)));
    let settings = StoreSettings { retention: Duration::from_secs(100), ..StoreSettings::default() };
    (Arc::clone(&clock), MemoryStore::new(clock, settings, Arc::new(SeededRandom::default())))
}

fn user(number: u8) -> UserId {
    format!("user-{number}").parse().unwrap()
}

async fn create(store: &MemoryStore, number: u8) -> Result<SessionData, StoreError> {
    let session = serde_json::from_value(serde_json::json!({ "user_id": user(number) })).unwrap();
    let id = SessionId::new(&user(number), &[number; 32]);
    let duration = Duration::from_secs(10);
    store.create_session(CreateSession { id, session, duration, idle_timeout: None, is_persistent: false }, op()).await
}

fn claims() -> Claims {
    let claims = serde_json::json!({
        "iss": "i", "sub": "a", "aud": "b", "exp": 1_010, "nbf": 1_000, "iat": 1_000, "jti": "t",
    });
    serde_json::from_value(claims).unwrap()
}

async fn revoke(store: &MemoryStore, number: u8) -> Result<(), StoreError> {
    store.revoke_token(&user(number), &TokenId::new(&[number; 16]), UnixSeconds(1_010)).await
}

#[tokio::test]
async fn cleanup_leaves_nothing_behind() {
    let (clock, store) = store();
    for number in 0..100 {
        create(&store, number).await.unwrap();
        revoke(&store, number).await.unwrap();
        let tag = SlotTag::of_user(&user(number));
        store.put_opaque(&tag, &number.to_string(), &claims(), UnixSeconds(1_010)).await.unwrap();
    }
    let begun = store.begin_cut_off(&user(3), None, 0).await.unwrap();
    store.finish_cut_off(&user(3), begun.before, None).await.unwrap();
    assert_eq!(store.sweep_sessions(&user(3), None).await.unwrap().removed, 1);
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.cleanup().await, 200, "the blacklist and the opaque tokens");
    assert_eq!(store.health().await.unwrap().active_sessions, Some(0));
    clock.advance(Duration::from_secs(100));
    assert_eq!(store.cleanup().await, 100, "the sessions");
    clock.advance(StoreSettings::default().feed_horizon);
    assert_eq!(store.cleanup().await, 0, "what is known of the cut-off");
    assert!(store.lock().is_empty());
}

#[tokio::test]
async fn writes_clean_up_even_if_nobody_else_does() {
    let (clock, store) = store();
    for number in 0..60 {
        create(&store, number).await.unwrap();
        clock.advance(Duration::from_secs(60));
    }
    // What is live or known plus what the next write removes.
    assert!(store.lock().entries() <= 3, "{}", store.lock().entries());
}

#[tokio::test]
async fn a_full_store_refuses_what_is_new_and_keeps_what_it_has() {
    let (_clock, store) = store();
    let store = store.with_max_entries(2);
    revoke(&store, 1).await.unwrap();
    create(&store, 1).await.unwrap();
    assert_eq!(create(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(revoke(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    revoke(&store, 1).await.unwrap();
    let token = OwnToken { user_id: user(1), session_id: None, token_id: TokenId::new(&[1; 16]) };
    assert_eq!(store.check(&token).await.unwrap().verdict, CheckVerdict::TokenRevoked);
    let refused = store.put_opaque(&SlotTag::of_user(&user(1)), "hash", &claims(), UnixSeconds(1_010)).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_store_full_of_sessions_and_rules_still_takes_revocations() {
    let (_clock, store) = store();
    let store = store.with_max_entries(32);
    for number in 0..30 {
        create(&store, number).await.unwrap();
    }
    assert_eq!(create(&store, 30).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    revoke(&store, 1).await.unwrap();
    let entry = |change: serde_json::Value| NewFeedEntry {
        until: UnixSeconds(1_010),
        change: serde_json::from_value(change).unwrap(),
    };
    let rule = |number: u8| {
        entry(serde_json::json!({
            "kind": "rule_added", "rule_id": format!("{number:016}"), "rule": { "kind": "user", "user_id": "a" },
        }))
    };
    let rules: Vec<_> = (0..31).map(rule).collect();
    assert_eq!(store.append_feed(&rules).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    store.append_feed(&rules[..30]).await.unwrap();
    let ended = entry(serde_json::json!({ "kind": "session_ended", "session_id": SessionId::new(&user(1), &[1; 32]) }));
    store.append_feed(&[ended]).await.unwrap();
}

/// Whoever knows of the cut-offs from before would refuse them.
#[tokio::test]
async fn sessions_of_a_store_that_begins_anew_are_of_a_later_generation_than_any_before() {
    let (clock, store) = store();
    let settings = StoreSettings::default();
    create(&store, 1).await.unwrap();
    let mut ended_before = 0;
    for _ in 0..5 {
        ended_before = store.begin_cut_off(&user(1), None, 0).await.unwrap().before;
    }
    clock.advance(Duration::from_millis(10));
    let anew = MemoryStore::new(clock, settings, Arc::new(SeededRandom::default()));
    assert!(create(&anew, 1).await.unwrap().generation > ended_before);
}
