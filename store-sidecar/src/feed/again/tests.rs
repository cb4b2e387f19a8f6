//! A store that loses the feed, over and over, and replicas that know what was in it.

use std::sync::Arc;

use serde_json::json;
use session_gate_protocol::{
    CutOff, FeedChange, FeedReply, Fingerprint, Rule, Scopes, SessionId, TokenId, UnixSeconds, UserId,
};
use tokio::time::sleep;

use super::*;
use crate::{
    feed::{
        Against, Client, Feed, KnownSession,
        tests::{memory_store, query, replica},
    },
    store::{LaterVersion, Store as _, UNLIMITED, memory::MemoryStore},
};

fn session(number: u8) -> SessionId {
    SessionId::new(&"alice".parse().unwrap(), &[number; 32])
}

fn token(number: usize) -> TokenId {
    format!("t{number}").parse().unwrap()
}

fn rule(user: &str) -> Rule {
    serde_json::from_value(json!({ "kind": "user", "user_id": user })).unwrap()
}

fn entry(change: FeedChange) -> NewFeedEntry {
    NewFeedEntry { until: UNLIMITED, change }
}

fn revoked(number: usize) -> NewFeedEntry {
    entry(FeedChange::TokenRevoked { token_id: token(number) })
}

fn added(user: &str) -> NewFeedEntry {
    let rule = rule(user);
    entry(FeedChange::RuleAdded { rule_id: rule.id(), rule, note: Some("why".to_owned()) })
}

fn suspended() -> FeedChange {
    serde_json::from_value(json!({ "kind": "session_suspended", "session_id": session(2), "version": 2 })).unwrap()
}

/// One of each kind, and what is no more.
fn all_kinds() -> Vec<NewFeedEntry> {
    let scopes = |version, text: &str| {
        let scopes = Some(Scopes::parse_list(text).unwrap());
        entry(FeedChange::SessionScopes { session_id: session(3), version, scopes })
    };
    vec![
        entry(FeedChange::SessionEnded { session_id: session(1) }),
        revoked(1),
        added("mallory"),
        added("eve"),
        entry(FeedChange::RuleRemoved { rule_id: rule("eve").id() }),
        entry(suspended()),
        scopes(7, "read"),
        scopes(6, "read write"),
    ]
}

fn knows_all(feed: &Feed) {
    let against = |number| {
        let known = KnownSession { id: &session(number), generation: 0, version: 1 };
        feed.against(&"alice".parse().unwrap(), &known).unwrap()
    };
    assert_eq!(against(1), Some(Against::Ended));
    assert_eq!(against(2), Some(Against::Suspended));
    assert!(feed.is_revoked(&token(1)).unwrap() && !feed.is_revoked(&token(2)).unwrap());
    let blocks = |user| feed.blocks(&Client { user: Some(user), ..Client::default() }).unwrap();
    assert!(blocks("mallory") && !blocks("eve") && !blocks("alice"));
    let later = |number, version| feed.later_version(&session(number), version).unwrap();
    let suspended = LaterVersion { version: 2, is_suspended: true, scopes: None };
    assert_eq!((later(2, 1), later(2, 2)), (Some(suspended), None));
    let scopes = Some(Some(Scopes::parse_list("read").unwrap()));
    let scoped = LaterVersion { version: 7, is_suspended: false, scopes };
    assert_eq!((later(3, 5), later(3, 7)), (Some(scoped), None));
}

/// What a worker is told that knows nothing.
async fn snapshot(feed: &Feed) -> FeedReply {
    feed.poll(&query("new", None, Duration::ZERO)).await.unwrap()
}

async fn told_all(store: &Arc<MemoryStore>) {
    let (fresh, _) = replica(store, "fresh");
    let reply = snapshot(&fresh).await;
    let mut ended: Vec<Fingerprint> = reply.ended.0.iter().map(|(ended, _)| *ended).collect();
    ended.sort();
    ended.dedup();
    let mut expected = [Fingerprint::of_session(session(1).as_str()), Fingerprint::of_token("t1")];
    expected.sort();
    assert_eq!(ended, expected);
    let rules: Vec<_> =
        reply.entries.iter().filter(|entry| matches!(entry.change, FeedChange::RuleAdded { .. })).collect();
    assert_eq!(rules.len(), 1, "{reply:?}");
    assert_eq!((rules[0].until, &rules[0].change), (UNLIMITED, &added("mallory").change));
    assert!(reply.entries.iter().any(|entry| entry.change == suspended()));
    knows_all(&fresh);
}

async fn settle() {
    sleep(Duration::from_millis(200)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_known_before_a_loss_is_never_forgotten_and_told_again() {
    let store = memory_store();
    let (here, _) = replica(&store, "here");
    let (there, _) = replica(&store, "there");
    here.append(&all_kinds()).await.unwrap();
    settle().await;
    let epoch = snapshot(&here).await.epoch;
    store.restore_feed(None);
    for _ in 0..100 {
        sleep(Duration::from_millis(1)).await;
        knows_all(&here);
        knows_all(&there);
    }
    assert_ne!(snapshot(&here).await.epoch, epoch);
    told_all(&store).await;
}

/// Which one it has spared said the entry that was lost: until that is told again, nobody may be taken for ended but
/// whom it has ended.
#[tokio::test(start_paused = true)]
async fn a_cut_off_that_is_remembered_goes_on_sparing_one() {
    let store = memory_store();
    let (here, faults) = replica(&store, "here");
    let alice: UserId = "alice".parse().unwrap();
    let cut_off = CutOff { user_id: alice.clone(), before: 5, issued_until: UnixSeconds(0), except: Some(session(4)) };
    here.append(&[entry(FeedChange::UserSessionsEnded(cut_off))]).await.unwrap();
    settle().await;
    faults.fail(Some("append_feed"));
    store.restore_feed(None);
    settle().await;
    let against = |number| {
        let known = KnownSession { id: &session(number), generation: 1, version: 1 };
        here.against(&alice, &known).unwrap()
    };
    assert_eq!((against(4), against(5)), (None, Some(Against::Ended)));
    faults.fail(None);
    // It is tried again after a while.
    sleep(Duration::from_secs(2)).await;
    let told = Against::CutOff { before: 5, except: Some(session(4)) };
    assert_eq!((against(4), against(5)), (None, Some(told)));
}

#[tokio::test(start_paused = true)]
async fn a_loss_while_all_is_told_again_loses_nothing_either() {
    for pause in [0, 1, 2, 3, 5, 8, 13] {
        let store = memory_store();
        let (here, _) = replica(&store, "here");
        here.append(&all_kinds()).await.unwrap();
        here.append(&(10..4_010).map(revoked).collect::<Vec<_>>()).await.unwrap();
        settle().await;
        for _ in 0..4 {
            store.restore_feed(None);
            sleep(Duration::from_millis(pause)).await;
        }
        settle().await;
        knows_all(&here);
        let (fresh, _) = replica(&store, "fresh");
        settle().await;
        knows_all(&fresh);
        for number in 10..4_010 {
            assert!(fresh.is_revoked(&token(number)).unwrap(), "{number} after {pause}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn telling_again_comes_to_an_end() {
    let store = memory_store();
    let replicas: Vec<_> = ["a", "b", "c"].into_iter().map(|name| replica(&store, name)).collect();
    replicas[0].0.append(&(0..6_000).map(revoked).collect::<Vec<_>>()).await.unwrap();
    settle().await;
    store.restore_feed(None);
    sleep(Duration::from_secs(2)).await;
    let page = store.read_feed(None, usize::MAX).await.unwrap();
    assert!((6_000..=18_000).contains(&page.entries.len()), "{}", page.entries.len());
    sleep(Duration::from_secs(60)).await;
    let later = store.read_feed(None, usize::MAX).await.unwrap();
    assert_eq!((later.epoch, later.last), (page.epoch, page.last));
}

#[tokio::test(start_paused = true)]
async fn what_an_older_state_still_has_is_not_told_again() {
    let store = memory_store();
    let (here, _) = replica(&store, "here");
    here.append(&[revoked(5), added("trudy")]).await.unwrap();
    let backup = store.back_up_feed();
    here.append(&all_kinds()).await.unwrap();
    settle().await;
    store.restore_feed(Some(backup));
    settle().await;
    knows_all(&here);
    let page = store.read_feed(None, usize::MAX).await.unwrap();
    let of = |wanted: &FeedChange| page.entries.iter().filter(|entry| entry.change == *wanted).count();
    for entry in [revoked(5), added("trudy"), revoked(1), added("mallory"), entry(suspended())] {
        assert_eq!(of(&entry.change), 1, "{entry:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_told_later() {
    let store = memory_store();
    let (here, faults) = replica(&store, "here");
    here.append(&all_kinds()).await.unwrap();
    settle().await;
    faults.fail(Some("append_feed"));
    store.restore_feed(None);
    sleep(Duration::from_secs(5)).await;
    knows_all(&here);
    assert!(store.read_feed(None, 10).await.unwrap().entries.is_empty());
    faults.fail(None);
    sleep(Duration::from_secs(2)).await;
    told_all(&store).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_not_told_again() {
    let store = memory_store();
    let (here, _) = replica(&store, "here");
    let soon = UnixSeconds(1_790_000_010);
    here.append(&[NewFeedEntry { until: soon, ..revoked(1) }, NewFeedEntry { until: soon, ..added("a") }])
        .await
        .unwrap();
    sleep(Duration::from_secs(20)).await;
    store.restore_feed(None);
    settle().await;
    assert!(store.read_feed(None, 10).await.unwrap().entries.is_empty());
}
