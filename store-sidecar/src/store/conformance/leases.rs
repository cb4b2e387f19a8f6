//! Promises on leases of rate limits. What each algorithm promises over time is tested of the account itself,
//! and that every store has that account.

use std::{sync::Arc, time::Duration};

use session_gate_protocol::{Algorithm, CounterId, Lease, LeaseAsk, LimitKey, Quota, SettledLease};

use super::{Harness, SETTINGS, Store};
use crate::store::StoreSettings;

const DAY_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 3600 * 1000;

fn counter(name: &str) -> CounterId {
    format!("api:user={name}").parse::<LimitKey>().unwrap().counter()
}

fn quota(algorithm: Algorithm, requests: u64, window_ms: u64) -> Quota {
    Quota { algorithm, requests, window_ms, burst: None }
}

/// Ten a day.
fn ten(lease: u64, need: u64) -> LeaseAsk {
    let quotas = vec![quota(Algorithm::SlidingWindow, 10, DAY_MS)];
    LeaseAsk { counter: counter("alice"), quotas, settle: Vec::new(), owed: 0, lease, kept: 0, need, want: need }
}

async fn ask(store: &impl Store, worker: &str, ask: LeaseAsk) -> Lease {
    store.lease(worker, &ask).await.unwrap().lease
}

/// However many ask at the same moment.
pub async fn no_more_is_leased_than_there_is<H: Harness>() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket, Algorithm::InFlight] {
        let harness = Arc::new(H::start(SETTINGS).await);
        let window_ms = if algorithm == Algorithm::InFlight { 0 } else { DAY_MS };
        let tasks: Vec<_> = (0..16_u64)
            .map(|worker| {
                let harness = Arc::clone(&harness);
                tokio::spawn(async move {
                    let mut granted = 0;
                    for lease in 0..10 {
                        let quotas = vec![quota(algorithm, 100, window_ms)];
                        let ask = LeaseAsk { quotas, want: 5, ..ten(lease, 1) };
                        granted += harness.store().lease(&format!("w{worker}"), &ask).await.unwrap().lease.granted;
                    }
                    granted
                })
            })
            .collect();
        let mut granted = 0;
        for task in tasks {
            granted += task.await.unwrap();
        }
        assert_eq!(granted, 100, "{algorithm:?}");
    }
}

/// Once: a settlement that comes again, of another worker, or of a lease that is not known changes nothing.
pub async fn what_is_handed_back_is_leased_again_once<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    assert_eq!(ask(store, "w1", ten(1, 10)).await.granted, 10);
    let back = |number| {
        let settle = vec![SettledLease { lease: 1, used: 4 }];
        LeaseAsk { settle, ..ten(number, 0) }
    };
    let stranger = store.lease("w2", &back(2)).await.unwrap();
    assert_eq!((stranger.returned, stranger.lease.outstanding), (0, 10));
    let first = store.lease("w1", &back(2)).await.unwrap();
    assert_eq!((first.returned, first.lease.quotas[0].remaining), (6, 6));
    assert_eq!(store.lease("w1", &back(3)).await.unwrap().returned, 0);
    let rest = ask(store, "w2", ten(3, 10)).await;
    assert_eq!((rest.granted, rest.quotas[0].remaining), (6, 0));
    assert!(ask(store, "w1", ten(4, 1)).await.retry_ms > 0);
}

/// Neither does it count twice what was used beyond leases, whether there was anything to lease or not.
pub async fn what_is_owed_counts_once_however_often_a_call_comes<H: Harness>() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket] {
        let harness = H::start(SETTINGS).await;
        let store = harness.store();
        let owing = |lease, need| LeaseAsk { owed: 4, quotas: vec![quota(algorithm, 10, DAY_MS)], ..ten(lease, need) };
        for (lease, need, left) in [(1, 0, 6), (2, 1, 1)] {
            let first = ask(store, "w", owing(lease, need)).await;
            let again = ask(store, "w", owing(lease, need)).await;
            assert_eq!((first.granted, first.quotas[0].remaining), (need, left), "{algorithm:?}");
            assert_eq!((again.granted, again.quotas[0].remaining), (need, left), "{algorithm:?}");
        }
    }
}

/// A call whose answer was lost comes a second time.
pub async fn a_repeated_question_takes_nothing_more<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    for _ in 0..3 {
        let lease = ask(store, "w1", ten(1, 3)).await;
        assert_eq!((lease.granted, lease.quotas[0].remaining), (3, 7));
    }
    assert_eq!(ask(store, "w2", ten(1, 3)).await.granted, 3, "each worker counts for itself");
}

/// A slot that is kept counts, whatever there is left.
pub async fn slots_in_use_move_to_the_new_lease<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let slots = |lease, need| LeaseAsk { quotas: vec![quota(Algorithm::InFlight, 3, 0)], ..ten(lease, need) };
    assert_eq!(ask(store, "w1", slots(1, 2)).await.granted, 2);
    let moved = LeaseAsk { settle: vec![SettledLease { lease: 1, used: 0 }], kept: 1, ..slots(2, 1) };
    let lease = ask(store, "w1", moved).await;
    assert_eq!((lease.granted, lease.quotas[0].remaining), (1, 1));
    assert_eq!(ask(store, "w2", slots(1, 5)).await.granted, 1);
    let lost = LeaseAsk { kept: 3, ..slots(2, 0) };
    assert_eq!(ask(store, "w3", lost).await.quotas[0].remaining, 0);
}

/// Each admission takes from every quota, and what is owed counts beyond what is left.
pub async fn every_quota_is_taken_from<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let both = |lease, need| {
        let bucket = Quota { burst: Some(4), ..quota(Algorithm::TokenBucket, 1, DAY_MS) };
        LeaseAsk { quotas: vec![quota(Algorithm::FixedWindow, 10, 31 * DAY_MS), bucket], ..ten(lease, need) }
    };
    let lease = ask(store, "w1", both(1, 9)).await;
    assert_eq!((lease.granted, lease.quotas[0].remaining, lease.quotas[1].remaining), (4, 6, 0));
    let owing = LeaseAsk { owed: 20, ..ten(1, 1) };
    let lease = ask(store, "w2", LeaseAsk { counter: counter("bob"), ..owing }).await;
    assert_eq!((lease.granted, lease.quotas[0].remaining), (0, 0));
}

/// When its window is over, there is all of it again, also of what nobody has settled.
pub async fn the_next_window_has_all_again<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let second = |lease| LeaseAsk { quotas: vec![quota(Algorithm::FixedWindow, 10, 1_000)], ..ten(lease, 10) };
    assert_eq!(ask(store, "w1", second(1)).await.granted, 10);
    for number in 2..2_000 {
        let lease = ask(store, "w2", second(number)).await;
        if lease.granted > 0 {
            assert_eq!(lease.granted, 10);
            return;
        }
        // The one lets the store's time pass where it can, the other this test's.
        harness.pass(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("there was never more");
}

/// From its end on, for a window.
pub async fn a_lease_of_which_nobody_hears_counts_as_used<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let hourly =
        |lease, need| LeaseAsk { quotas: vec![quota(Algorithm::SlidingWindow, 10, HOUR_MS)], ..ten(lease, need) };
    assert_eq!(ask(store, "w1", hourly(1, 10)).await.granted, 10);
    harness.pass(Duration::from_secs(60)).await;
    let settle = vec![SettledLease { lease: 1, used: 0 }];
    let late = store.lease("w1", &LeaseAsk { settle, ..hourly(2, 1) }).await.unwrap();
    assert_eq!((late.lapsed, late.returned, late.lease.granted, late.lease.outstanding), (10, 0, 0, 0));
    harness.pass(Duration::from_secs(3_500)).await;
    assert_eq!(ask(store, "w1", hourly(3, 1)).await.granted, 0);
    harness.pass(Duration::from_secs(240)).await;
    assert_eq!(ask(store, "w1", hourly(4, 10)).await.granted, 10);
}

/// The count of a limit goes on, unless its window is another; even then what is in leases counts.
pub async fn another_number_of_requests_keeps_the_count<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let of = |requests, window_ms, lease, need| LeaseAsk {
        quotas: vec![quota(Algorithm::SlidingWindow, requests, window_ms)],
        ..ten(lease, need)
    };
    assert_eq!(ask(store, "w1", of(100, DAY_MS, 1, 60)).await.granted, 60);
    assert_eq!(ask(store, "w1", of(50, DAY_MS, 2, 1)).await.granted, 0);
    assert_eq!(ask(store, "w1", of(70, DAY_MS, 3, 60)).await.granted, 10);
    assert_eq!(ask(store, "w1", of(100, HOUR_MS, 4, 0)).await.quotas[0].remaining, 30);
}

/// Each beyond as many as the store may have takes the place of another.
pub async fn counters_are_bounded<H: Harness>() {
    let harness = H::start(StoreSettings { max_counters: 50, ..SETTINGS }).await;
    let store = harness.store();
    let mut evicted = 0;
    for user in 0..200 {
        let of_user = LeaseAsk { counter: counter(&user.to_string()), ..ten(1, 1) };
        evicted += store.lease("w1", &of_user).await.unwrap().evicted;
    }
    assert_eq!(evicted, 150);
}

/// It is the counter that goes that nobody has asked for for the longest time. What
/// is as if new takes up no room.
pub async fn the_counter_that_is_idle_the_longest_goes_first<H: Harness>() {
    let harness = H::start(StoreSettings { max_counters: 4, ..SETTINGS }).await;
    let store = harness.store();
    let second = Duration::from_secs(1);
    let of = |number: usize, lease, need| {
        let counter = format!("zz{number:014}").parse().unwrap();
        LeaseAsk { counter, quotas: vec![quota(Algorithm::SlidingWindow, 10, HOUR_MS)], ..ten(lease, need) }
    };
    for number in 0..4 {
        assert_eq!(ask(store, "w1", of(number, 1, 4)).await.granted, 4);
        harness.pass(second).await;
    }
    assert_eq!(ask(store, "w1", of(0, 2, 4)).await.granted, 4, "it is in use again");
    harness.pass(second).await;
    assert_eq!(store.lease("w1", &of(4, 1, 4)).await.unwrap().evicted, 1);
    harness.pass(second).await;
    assert_eq!(ask(store, "w1", of(0, 3, 4)).await.granted, 2, "this one is there");
    harness.pass(second).await;
    let second_one = store.lease("w1", &of(1, 2, 10)).await.unwrap();
    assert_eq!((second_one.lease.granted, second_one.evicted), (10, 1), "and this was not");
    harness.pass(second * 3 * 3_600).await;
    for number in 10..14 {
        assert_eq!(store.lease("w1", &of(number, 1, 1)).await.unwrap().evicted, 0);
    }
}
