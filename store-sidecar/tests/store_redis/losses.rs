//! A Redis that loses the feed, with sidecars that know what was in it.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use session_gate_protocol::{FeedChange, FeedCursor, FeedQuery, Rule, SessionId, TokenId};
use store_sidecar::feed::{Client, Feed};
use store_sidecar::store::conformance::{Harness as _, op};
use store_sidecar::store::redis::RedisStore;
use store_sidecar::store::{NewFeedEntry, Store as _, UNLIMITED};

use crate::harness::{Redis, USUAL, connect_patiently, new_session, poll_until};

const KEYS: [&str; 4] = ["sg1:{feed}:epoch", "sg1:{feed}:log", "sg1:{feed}:rules", "sg1:{feed}:standing"];

async fn sidecar(redis: &Redis, name: &str) -> (Arc<RedisStore>, Feed) {
    let store = Arc::new(connect_patiently(&redis.server.url(), USUAL).await);
    (Arc::clone(&store), Feed::start(store, Arc::default(), name.to_owned()))
}

fn session() -> SessionId {
    SessionId::new(&"alice".parse().unwrap(), &[7; 32])
}

fn token() -> TokenId {
    "t".parse().unwrap()
}

fn rule(user: &str) -> NewFeedEntry {
    let rule: Rule = serde_json::from_value(json!({ "kind": "user", "user_id": user })).unwrap();
    entry(FeedChange::RuleAdded { rule_id: rule.id(), rule, note: None })
}

fn entry(change: FeedChange) -> NewFeedEntry {
    NewFeedEntry { until: UNLIMITED, change }
}

fn ended() -> [NewFeedEntry; 3] {
    [
        entry(FeedChange::SessionEnded { session_id: session() }),
        entry(FeedChange::TokenRevoked { token_id: token() }),
        rule("mallory"),
    ]
}

/// What it says of each; none: it cannot tell now, as the store has not answered it for a while.
fn says(feed: &Feed) -> [Option<bool>; 3] {
    let client = Client { user: Some("mallory"), ..Client::default() };
    [Some(feed.tells_end_of(&session())), feed.is_revoked(&token()).ok(), feed.blocks(&client).ok()]
}

fn knows_all(feed: &Feed) -> bool {
    says(feed) == [Some(true); 3]
}

fn has_forgotten(feed: &Feed) -> bool {
    says(feed).contains(&Some(false))
}

/// Whether a sidecar that starts now learns of all.
async fn is_told(redis: &Redis) -> bool {
    let (_, feed) = sidecar(redis, "fresh").await;
    let query = FeedQuery {
        worker: "w".to_owned(),
        epoch: None,
        after: FeedCursor::START,
        wait_ms: 0,
        max_staleness_ms: 1_000,
    };
    let reply = feed.poll(&query).await.unwrap();
    let rules = reply.entries.iter().filter(|entry| matches!(entry.change, FeedChange::RuleAdded { .. })).count();
    knows_all(&feed) && reply.ended.0.len() >= 2 && rules >= 1
}

async fn epoch(store: &RedisStore) -> String {
    store.read_feed(None, 1).await.unwrap().epoch.id
}

#[tokio::test]
async fn what_was_known_before_a_loss_of_all_is_told_again() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let (store, here) = sidecar(&redis, "here").await;
    let (_, there) = sidecar(&redis, "there").await;
    here.append(&ended()).await.unwrap();
    poll_until(async || knows_all(&here) && knows_all(&there), |all| *all).await;
    let before = epoch(&store).await;
    for _ in 0..3 {
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
        poll_until(async || is_told(&redis).await, |told| *told).await;
        assert!(!has_forgotten(&here) && !has_forgotten(&there));
        poll_until(async || knows_all(&here) && knows_all(&there), |all| *all).await;
    }
    assert_ne!(epoch(&store).await, before);
    // It comes to an end.
    let last = async || redis.store.read_feed(None, 1).await.unwrap().last;
    let rests = async || {
        let before = last().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        last().await == before
    };
    poll_until(rests, |rests| *rests).await;
}

async fn dump(connection: &mut MultiplexedConnection) -> Vec<(&'static str, Vec<u8>)> {
    let mut backup = Vec::new();
    for key in KEYS {
        backup.push((key, redis::cmd("DUMP").arg(key).query_async(connection).await.unwrap()));
    }
    backup
}

#[tokio::test]
async fn what_an_older_state_lacks_is_told_again() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let (store, here) = sidecar(&redis, "here").await;
    here.append(&[rule("trudy")]).await.unwrap();
    let backup = dump(&mut connection).await;
    here.append(&ended()).await.unwrap();
    poll_until(async || knows_all(&here), |all| *all).await;
    let before = epoch(&store).await;
    let mut restore = redis::pipe();
    restore.atomic();
    for (key, dump) in &backup {
        restore.cmd("RESTORE").arg(key).arg(100_000).arg(dump).arg("REPLACE");
    }
    restore.exec_async(&mut connection).await.unwrap();
    poll_until(async || is_told(&redis).await, |told| *told).await;
    assert!(!has_forgotten(&here));
    poll_until(async || knows_all(&here), |all| *all).await;
    assert_ne!(epoch(&store).await, before);
    let page = store.read_feed(None, 100).await.unwrap();
    let trudys = page.entries.iter().filter(|entry| entry.change == rule("trudy").change).count();
    assert_eq!(trudys, 1, "what is there is not told again");
}

/// Whoever knows of the cut-offs from before would refuse them, and a sidecar that knows of none could not tell.
#[tokio::test]
async fn who_logs_in_after_all_was_lost_is_of_a_later_generation_than_any_before() {
    let redis = Redis::start(USUAL).await;
    let session = redis.store.create_session(new_session("alice", 7), op()).await.unwrap();
    let mut ended_before = session.generation;
    for _ in 0..3 {
        ended_before = redis.store.begin_cut_off(&session.user_id, None, 0).await.unwrap().before;
    }
    redis::cmd("FLUSHALL").exec_async(&mut redis.connection().await).await.unwrap();
    let after = redis.store.create_session(new_session("alice", 8), op()).await.unwrap();
    assert!(after.generation > ended_before, "{} {ended_before}", after.generation);
    let another = redis.store.create_session(new_session("alice", 9), op()).await.unwrap();
    assert_eq!(another.generation, after.generation, "it is a counter, no time");
}
