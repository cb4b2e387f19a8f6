//! Promises on the change feed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use session_gate_protocol::{FeedChange, FeedCursor, FeedEntry, UnixSeconds};

use super::{Harness, SETTINGS, Store, now, secs, token};
use crate::store::{FeedPage, FeedPosition, Follower, Followers, NewFeedEntry, RECORD_OVERDUE};

/// An entry that says that the token of that number is revoked.
fn revoked(number: usize, until: UnixSeconds) -> NewFeedEntry {
    NewFeedEntry { until, change: FeedChange::TokenRevoked { token_id: token(&format!("t{number}")) } }
}

async fn append(store: &impl Store, number: usize) -> FeedCursor {
    store.append_feed(&[revoked(number, UnixSeconds(u64::MAX))]).await.unwrap()
}

async fn read(store: &impl Store, known: Option<&FeedPosition>) -> FeedPage {
    store.read_feed(known, 10_000).await.unwrap()
}

fn numbers(entries: &[FeedEntry]) -> Vec<String> {
    let number = |entry: &FeedEntry| match &entry.change {
        FeedChange::TokenRevoked { token_id } => token_id.as_str().trim_start_matches('t').to_owned(),
        other => format!("{other:?}"),
    };
    entries.iter().map(number).collect()
}

fn position(page: &FeedPage) -> FeedPosition {
    FeedPosition { epoch: page.epoch.id.clone(), at: page.cursor }
}

/// Each at a later place than the one before, and the place is the one that was answered.
pub async fn entries_come_back_in_their_order<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let empty = read(store, None).await;
    assert!(empty.is_last() && empty.entries.is_empty() && empty.last == FeedCursor::START);
    assert!(empty.epoch.since <= empty.now && empty.now.since(empty.epoch.since) <= secs(60));
    let first = append(store, 1).await;
    let batch = [2, 3].map(|number| revoked(number, UnixSeconds(u64::MAX)));
    let third = store.append_feed(&batch).await.unwrap();
    let fourth = append(store, 4).await;
    let page = read(store, Some(&position(&empty))).await;
    assert_eq!(numbers(&page.entries), ["1", "2", "3", "4"]);
    let places: Vec<FeedCursor> = page.entries.iter().map(|entry| entry.at).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    assert_eq!((places[0], places[2], places[3]), (first, third, fourth));
    assert_eq!((page.last, page.cursor), (fourth, fourth));
    let later = read(store, Some(&FeedPosition { at: third, ..position(&empty) })).await;
    assert_eq!(numbers(&later.entries), ["4"]);
    let nothing = read(store, Some(&position(&later))).await;
    assert!(nothing.entries.is_empty() && nothing.is_last() && nothing.cursor == fourth);
}

/// Neither for those who read meanwhile.
pub async fn nothing_is_lost_or_doubled_when_many_append<H: Harness>() {
    let harness = Arc::new(H::start(SETTINGS).await);
    let writers = (0..8).map(|writer| {
        let harness = Arc::clone(&harness);
        tokio::spawn(async move {
            let mut places = Vec::new();
            for number in 0..20 {
                places.push(append(harness.store(), writer * 20 + number).await);
            }
            places
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut known: Option<FeedPosition> = None;
    let mut entries: Vec<FeedEntry> = Vec::new();
    while entries.len() < 160 {
        let page = harness.store().read_feed(known.as_ref(), 7).await.unwrap();
        known = Some(position(&page));
        entries.extend(page.entries);
        tokio::task::yield_now().await;
    }
    let mut places = BTreeSet::new();
    for writer in writers {
        places.extend(writer.await.unwrap());
    }
    assert_eq!(entries.iter().map(|entry| entry.at).collect::<Vec<_>>(), places.into_iter().collect::<Vec<_>>());
    assert_eq!(numbers(&entries).into_iter().collect::<BTreeSet<_>>().len(), 160);
    assert!(read(harness.store(), known.as_ref()).await.entries.is_empty());
}

/// With the place up to which each goes.
pub async fn a_long_feed_is_read_in_pages<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let batch: Vec<_> = (0..25).map(|number| revoked(number, UnixSeconds(u64::MAX))).collect();
    let last = store.append_feed(&batch).await.unwrap();
    let mut known = None;
    let mut sizes = Vec::new();
    loop {
        let page = store.read_feed(known.as_ref(), 10).await.unwrap();
        assert_eq!(page.last, last);
        sizes.push(page.entries.len());
        known = Some(position(&page));
        if page.is_last() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
}

/// Whatever is read and appended.
pub async fn the_epoch_stays_the_same<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    append(store, 1).await;
    let first = read(store, None).await;
    append(store, 2).await;
    harness.pass(SETTINGS.feed_horizon).await;
    append(store, 3).await;
    let second = read(store, Some(&position(&first))).await;
    assert_eq!(second.epoch.id, first.epoch.id);
    harness.pass(SETTINGS.feed_horizon).await;
    assert_eq!(read(store, Some(&position(&second))).await.epoch.id, first.epoch.id);
}

/// That is how it finds out.
pub async fn who_knows_another_epoch_begins_at_the_start<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let at = append(store, 1).await;
    let page = read(store, Some(&FeedPosition { epoch: "another".to_owned(), at })).await;
    assert_eq!(numbers(&page.entries), ["1"]);
    assert_eq!(read(store, None).await.epoch, page.epoch, "and nothing has begun");
}

/// Nothing removed it, so the store has lost data. What it still has stays of use.
pub async fn a_place_that_is_not_there_begins_a_new_epoch<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    append(store, 1).await;
    let second = append(store, 2).await;
    append(store, 3).await;
    let mut page = read(store, None).await;
    let last = page.last;
    let between = FeedCursor { number: second.number + 1_000, ..second };
    for at in [FeedCursor { millis: last.millis + 1, number: 0 }, between, FeedCursor { number: 7, ..last }] {
        let known = FeedPosition { at, ..position(&page) };
        let next = read(store, Some(&known)).await;
        assert_ne!(next.epoch.id, page.epoch.id);
        assert_eq!((numbers(&next.entries).len(), next.last), (3, last));
        assert_eq!(read(store, Some(&known)).await.epoch, next.epoch, "once is enough");
        page = next;
    }
    assert_eq!(read(store, Some(&position(&page))).await.epoch, page.epoch, "what is there is not missed");
}

/// The place remains.
pub async fn an_entry_that_is_of_no_more_use_is_left_out<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let now = now(store).await;
    let at = store.append_feed(&[revoked(1, now.after(secs(400))), revoked(2, now.after(secs(900)))]).await.unwrap();
    let known = position(&read(store, None).await);
    harness.pass(secs(500)).await;
    let page = read(store, None).await;
    assert_eq!((numbers(&page.entries), page.cursor), (vec!["2".to_owned()], at));
    harness.pass(secs(500)).await;
    let page = read(store, None).await;
    assert_eq!((page.entries.len(), page.cursor), (0, at));
    assert_eq!(read(store, Some(&known)).await.epoch, page.epoch, "nothing is missed");
    append(store, 3).await;
    assert_eq!(numbers(&read(store, Some(&known)).await.entries), ["3"]);
}

/// Whatever its writer says, which may not know how long tokens live.
pub async fn no_entry_outlives_the_longest_token<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    append(harness.store(), 1).await;
    let page = read(harness.store(), None).await;
    let entry = page.entries.first().unwrap();
    assert!(entry.until <= page.now.after(SETTINGS.feed_horizon), "{entry:?}");
    assert!(entry.until.after(secs(60)) >= page.now.after(SETTINGS.feed_horizon), "{entry:?}");
}

/// The latest record of each replica counts.
pub async fn followers_are_known_until_their_replica_is_gone<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    assert_eq!(store.followers().await.unwrap(), []);
    let worker = Follower {
        worker: "a \"worker\" {1}".to_owned(),
        applied: FeedCursor { millis: 5, number: 1 },
        seen_ms: 7,
        max_staleness_ms: 1_000,
    };
    let followers =
        Followers { epoch: "e".to_owned(), cursor: FeedCursor { millis: 6, number: 0 }, workers: vec![worker] };
    store.publish_followers("first", &Followers::default(), secs(900), RECORD_OVERDUE).await.unwrap();
    store.publish_followers("second", &Followers::default(), secs(400), RECORD_OVERDUE).await.unwrap();
    store.publish_followers("first", &followers, secs(900), RECORD_OVERDUE).await.unwrap();
    let known = async || {
        let mut published = store.followers().await.unwrap();
        published.sort_by(|a, b| a.replica.cmp(&b.replica));
        let names: Vec<_> = published.iter().map(|one| (one.replica.clone(), one.gone)).collect();
        (names, published)
    };
    let names =
        |names: &[(&str, bool)]| names.iter().map(|(name, gone)| ((*name).to_owned(), *gone)).collect::<Vec<_>>();
    let (who, published) = known().await;
    assert_eq!(who, names(&[("first", false), ("second", false)]));
    assert!(published[0].followers == followers && published[0].age <= secs(60));
    harness.pass(secs(500)).await;
    let (who, published) = known().await;
    assert_eq!(who, names(&[("first", false), ("second", false)]), "nobody has written since");
    assert!(published[0].age >= secs(500) && published[0].followers == followers);
    store.publish_followers("third", &Followers::default(), secs(900), Duration::MAX).await.unwrap();
    assert_eq!(known().await.0, names(&[("first", false), ("second", false), ("third", false)]), "all are spared");
    store.publish_followers("third", &Followers::default(), secs(900), RECORD_OVERDUE).await.unwrap();
    let (who, published) = known().await;
    assert_eq!(who, names(&[("first", true), ("second", true), ("third", false)]));
    assert!(published[0].age <= secs(60) && published[0].followers == followers);
    harness.pass(secs(500)).await;
    assert_eq!(known().await.0, names(&[("first", true), ("third", false)]), "no worker of the second trusts it");
    store.publish_followers("first", &followers, secs(900), RECORD_OVERDUE).await.unwrap();
    assert_eq!(known().await.0, names(&[("first", false), ("third", true)]), "it is back");
    harness.pass(secs(1_000)).await;
    assert_eq!(known().await.0, names(&[("first", false)]));
}
