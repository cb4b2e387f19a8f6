//! The change feed in Redis: what stands there, what ends it, and what Redis may lose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use session_gate_protocol::{FeedChange, FeedCursor, UnixSeconds};
use store_sidecar::store::conformance::Harness as _;
use store_sidecar::store::{FeedPage, FeedPosition, Follower, Followers, NewFeedEntry, Store as _, StoreErrorKind};
use store_sidecar::store::{RECORD_OVERDUE, StoreSettings, test_redis::RedisServer};

use crate::harness::{Redis, USUAL, connect, is_away, poll_until};

const EPOCH: &str = "sg1:{feed}:epoch";
const LOG: &str = "sg1:{feed}:log";
const WORKERS: &str = "sg1:{feed}:workers";

fn revoked(number: u32) -> NewFeedEntry {
    let change = FeedChange::TokenRevoked { token_id: format!("t{number}").parse().unwrap() };
    NewFeedEntry { until: UnixSeconds(u64::MAX), change }
}

async fn append(redis: &Redis, number: u32) -> FeedCursor {
    redis.store.append_feed(&[revoked(number)]).await.unwrap()
}

async fn read(redis: &Redis, known: Option<&FeedPosition>) -> FeedPage {
    redis.store.read_feed(known, 1_000).await.unwrap()
}

fn position(page: &FeedPage) -> FeedPosition {
    FeedPosition { epoch: page.epoch.id.clone(), at: page.cursor }
}

async fn command<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, words: &[&str]) -> T {
    let (name, arguments) = words.split_first().unwrap();
    redis::cmd(name).arg(arguments).query_async(connection).await.unwrap()
}

/// Golden: what is changed here makes the feed unreadable to the other version.
#[tokio::test]
async fn the_feed_is_stored_in_the_form_that_is_documented() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let at = append(&redis, 1).await;
    let page = read(&redis, None).await;
    let worker = Follower {
        worker: "w".to_owned(),
        applied: FeedCursor { millis: 5, number: 1 },
        seen_ms: 7,
        max_staleness_ms: 9,
    };
    let followers =
        Followers { epoch: "e".to_owned(), cursor: FeedCursor { millis: 6, number: 0 }, workers: vec![worker] };
    redis.store.publish_followers("replica", &followers, Duration::from_millis(5_000), RECORD_OVERDUE).await.unwrap();

    let mut keys: Vec<String> = command(&mut connection, &["KEYS", "*"]).await;
    keys.sort();
    assert_eq!(keys, [EPOCH, LOG, WORKERS]);
    let epoch: BTreeMap<String, String> = command(&mut connection, &["HGETALL", EPOCH]).await;
    let trimmed = format!("{}-0", (page.now.0 - USUAL.feed_horizon.as_secs()) * 1_000);
    let (since, last) = (page.epoch.since.0.to_string(), at.to_string());
    let expected = [
        ("format", "1"),
        ("horizon", "5000"),
        ("id", page.epoch.id.as_str()),
        ("last", &last),
        ("since", &since),
        ("trimmed", &trimmed),
    ];
    assert_eq!(epoch, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(page.epoch.id.len(), 32);
    let log: Vec<(String, Vec<String>)> = command(&mut connection, &["XRANGE", LOG, "-", "+"]).await;
    let until = page.entries[0].until.0.to_string();
    let change = r#"{"kind":"token_revoked","token_id":"t1"}"#;
    assert_eq!(log, [(at.to_string(), ["until", &until, "change", change].map(str::to_owned).to_vec())]);
    let records: BTreeMap<String, String> = command(&mut connection, &["HGETALL", WORKERS]).await;
    let (_, record) = records["replica"].split_once(' ').unwrap();
    let expected = r#"5000 {"epoch":"e","cursor":"6-0","workers":[{"worker":"w","applied":"5-1","seen_ms":7,"max_staleness_ms":9}]}"#;
    assert_eq!(record, expected);
    for key in [EPOCH, LOG] {
        let ttl: u64 = command(&mut connection, &["TTL", key]).await;
        assert!((96_390..=96_400).contains(&ttl), "{key}: {ttl}");
    }
    let ttl: u64 = command(&mut connection, &["TTL", WORKERS]).await;
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn whoever_reads_keeps_the_feed_alive() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    append(&redis, 1).await;
    let known = position(&read(&redis, None).await);
    for _ in 0..4 {
        redis.pass(USUAL.feed_horizon).await;
        assert_eq!(read(&redis, Some(&known)).await.epoch.id, known.epoch);
    }
    redis.pass(USUAL.feed_horizon * 2 + Duration::from_hours(24)).await;
    let keys: Vec<String> = command(&mut connection, &["KEYS", "*"]).await;
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn a_redis_that_has_lost_all_begins_a_new_epoch_at_the_next_step() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    append(&redis, 1).await;
    let first = read(&redis, None).await;
    command::<()>(&mut connection, &["FLUSHALL"]).await;
    let second = read(&redis, Some(&position(&first))).await;
    assert_ne!(second.epoch.id, first.epoch.id);
    assert!(second.entries.is_empty() && second.epoch.since >= first.epoch.since);
    command::<()>(&mut connection, &["FLUSHALL"]).await;
    append(&redis, 2).await;
    let third = read(&redis, Some(&position(&second))).await;
    assert_ne!(third.epoch.id, second.epoch.id);
    assert_eq!(third.entries.len(), 1);
}

#[tokio::test]
async fn an_old_backup_is_noticed() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    append(&redis, 1).await;
    let mut backup: Vec<(&str, Vec<u8>)> = Vec::new();
    for key in [EPOCH, LOG] {
        backup.push((key, command(&mut connection, &["DUMP", key]).await));
    }
    append(&redis, 2).await;
    let known = position(&read(&redis, None).await);
    for append_before_reading in [false, true] {
        for (key, dump) in &backup {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(100_000).arg(dump).arg("REPLACE").exec_async(&mut connection).await.unwrap();
        }
        if append_before_reading {
            // The end of the feed is past what the reader knows, but that is gone all the same. Within
            // one millisecond the same place could be given out again, which no real loss is fast enough for.
            let time =
                async || redis::cmd("TIME").query_async::<(u64, u64)>(&mut redis.connection().await).await.unwrap();
            poll_until(time, |(secs, micros)| secs * 1_000 + micros / 1_000 > known.at.millis).await;
            append(&redis, 3).await;
        }
        let page = read(&redis, Some(&known)).await;
        assert_ne!(page.epoch.id, known.epoch);
        assert_eq!(page.entries.len(), if append_before_reading { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_noticed() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    append(&redis, 1).await;
    let known = position(&read(&redis, None).await);
    command::<()>(&mut connection, &["DEL", LOG]).await;
    let page = read(&redis, Some(&known)).await;
    assert_ne!(page.epoch.id, known.epoch);
    assert_eq!(read(&redis, Some(&position(&page))).await.epoch, page.epoch);
}

#[tokio::test]
async fn what_is_too_old_is_dropped_and_not_missed() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let now = read(&redis, None).await.now.0;
    let [old, young] = [5_100, 4_900].map(|age| format!("{}-0", (now - age) * 1_000));
    for at in [&old, &young] {
        let change = r#"{"kind":"keys_changed"}"#;
        let until = (now + 100).to_string();
        command::<String>(&mut connection, &["XADD", LOG, at, "until", &until, "change", change]).await;
        command::<()>(&mut connection, &["HSET", EPOCH, "last", at]).await;
    }
    let first = redis.store.read_feed(None, 1).await.unwrap();
    assert_eq!(first.cursor.to_string(), old);
    append(&redis, 1).await;
    let length: u64 = command(&mut connection, &["XLEN", LOG]).await;
    assert_eq!(length, 2);
    let page = read(&redis, Some(&position(&first))).await;
    assert_eq!((page.epoch, page.entries.len()), (first.epoch, 2));
}

#[tokio::test]
async fn the_longest_token_of_any_replica_decides_how_long_entries_are_kept() {
    let redis = Redis::start(USUAL).await;
    let settings = StoreSettings { feed_horizon: Duration::from_secs(9_000), ..USUAL };
    let other = connect(&redis.server.url(), settings).await;
    other.read_feed(None, 1).await.unwrap();
    append(&redis, 1).await;
    let page = read(&redis, None).await;
    assert!(page.entries[0].until > page.now.after(Duration::from_secs(8_900)));
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_not_left_out() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    append(&redis, 1).await;
    let corrupt = async || {
        let error = redis.store.read_feed(None, 10).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    };
    let garbled = r#"{"kind":"#;
    let at: String = command(&mut connection, &["XADD", LOG, "*", "until", "9999999999", "change", garbled]).await;
    corrupt().await;
    command::<u64>(&mut connection, &["XDEL", LOG, &at]).await;
    read(&redis, None).await;
    command::<()>(&mut connection, &["HSET", EPOCH, "format", "2"]).await;
    corrupt().await;
    assert_eq!(redis.store.append_feed(&[revoked(1)]).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    command::<()>(&mut connection, &["HSET", WORKERS, "replica", "x"]).await;
    assert_eq!(redis.store.followers().await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    redis
        .store
        .publish_followers("replica", &Followers::default(), Duration::from_secs(5), RECORD_OVERDUE)
        .await
        .unwrap();
    assert_eq!(redis.store.followers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_redis_is_still_read() {
    let redis = Redis::start(USUAL).await;
    append(&redis, 1).await;
    let mut connection = redis.connection().await;
    command::<()>(&mut connection, &["CONFIG", "SET", "maxmemory", "1"]).await;
    append(&redis, 2).await;
    let page = read(&redis, None).await;
    assert_eq!(page.entries.len(), 2);
    // All of it, even where it must begin.
    command::<()>(&mut connection, &["FLUSHALL"]).await;
    assert_ne!(read(&redis, None).await.epoch, page.epoch);
    append(&redis, 3).await;
    redis
        .store
        .publish_followers("replica", &Followers::default(), Duration::from_secs(5), RECORD_OVERDUE)
        .await
        .unwrap();
    assert_eq!(redis.store.followers().await.unwrap().len(), 1);
}

/// It can be read all the same: that is why the sidecar asks anew then who is the master.
#[tokio::test]
async fn a_master_that_its_replicas_have_left_takes_no_record_of_followers() {
    let master = Redis::with(&["min-replicas-to-write 1", "min-replicas-max-lag 1"], USUAL).await;
    let publish = async || {
        let lifetime = Duration::from_secs(5);
        master.store.publish_followers("replica", &Followers::default(), lifetime, RECORD_OVERDUE).await.is_ok()
    };
    let mut replica = RedisServer::start_with(&[&format!("replicaof 127.0.0.1 {}", master.server.port())]).unwrap();
    poll_until(&publish, |taken| *taken).await;
    replica.stop().unwrap();
    poll_until(&publish, |taken| !*taken).await;
}

#[tokio::test]
async fn a_feed_that_is_killed_with_its_redis_goes_on_where_it_was() {
    let mut redis = Redis::with(&["appendonly yes", "appendfsync always"], USUAL).await;
    append(&redis, 1).await;
    let first = read(&redis, None).await;
    let second = append(&redis, 2).await;
    redis.server.stop().unwrap();
    redis.server.start_again().unwrap();
    let store = Arc::new(&redis.store);
    let known = position(&first);
    let page =
        poll_until(async || store.read_feed(Some(&known), 10).await, |page| page.as_ref().map_err(is_away).is_ok())
            .await
            .unwrap();
    assert_eq!((page.epoch, page.cursor, page.entries.len()), (first.epoch, second, 1));
}
