//! Promises on what is kept of requests that are to be done once.

use std::{sync::Arc, time::Duration};

use super::{Harness, SETTINGS, secs};
use crate::store::{IdempotencyHash, IdempotencyRecords};

const LIFETIME: Duration = Duration::from_secs(600);

fn hash(number: u64) -> IdempotencyHash {
    IdempotencyHash::numbered(number)
}

async fn claim(store: &impl IdempotencyRecords, number: u64, text: &str) -> Option<String> {
    store.claim_idempotency(&hash(number), text, LIFETIME).await.unwrap()
}

async fn settle(store: &impl IdempotencyRecords, number: u64, before: &str, after: Option<&str>) -> bool {
    store.settle_idempotency(&hash(number), before, after, LIFETIME).await.unwrap()
}

fn kept(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub async fn who_comes_first_has_the_claim<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let one = r#"{"a":["\"é\n"]}"#;
    assert_eq!(claim(store, 1, one).await, None);
    assert_eq!(claim(store, 1, "two").await, kept(one));
    assert_eq!(claim(store, 1, one).await, kept(one), "an answer may have been lost");
    assert_eq!(claim(store, 2, "two").await, None, "another hash is another request");
}

pub async fn a_claim_is_settled_by_whom_it_belongs_to<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    assert!(!settle(store, 1, "one", Some("answer")).await, "nobody has claimed it");
    assert_eq!(claim(store, 1, "one").await, None);
    assert!(!settle(store, 1, "two", Some("other")).await);
    assert!(!settle(store, 1, "two", None).await);
    assert!(settle(store, 1, "one", Some("answer")).await);
    assert!(settle(store, 1, "one", Some("answer")).await, "an answer may have been lost");
    assert_eq!(claim(store, 1, "three").await, kept("answer"));
    assert_eq!(claim(store, 2, "one").await, None);
    assert!(settle(store, 2, "one", None).await);
    assert!(settle(store, 2, "one", None).await);
    assert_eq!(claim(store, 2, "two").await, None, "it was given up");
}

pub async fn what_is_kept_ends_with_its_time<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    assert_eq!(store.claim_idempotency(&hash(1), "one", secs(200)).await.unwrap(), None);
    assert_eq!(claim(store, 2, "one").await, None);
    assert!(settle(store, 2, "one", Some("answer")).await);
    harness.pass(secs(300)).await;
    assert!(!settle(store, 1, "one", Some("late")).await, "its time was over");
    assert_eq!(claim(store, 1, "two").await, None);
    assert_eq!(claim(store, 2, "two").await, kept("answer"));
    harness.pass(secs(301)).await;
    assert_eq!(claim(store, 2, "two").await, None);
}

pub async fn of_many_at_once_one_has_the_claim<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let claims = (0..50).map(|number| {
        let harness = Arc::clone(&harness);
        tokio::spawn(async move { claim(harness.store(), 1, &format!("claim {number}")).await.is_none() })
    });
    let claims: Vec<_> = claims.collect();
    let mut have_it = 0;
    for claim in claims {
        have_it += usize::from(claim.await.unwrap());
    }
    assert_eq!(have_it, 1);
}
