//! A Redis that can be read and accepts no changes, with sidecars whose workers must not notice.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use session_gate_protocol::{CheckVerdict, FeedChange, FeedCursor, FeedQuery, FeedReply, UnixSeconds, WhenFull};
use store_sidecar::feed::Feed;
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{Admission, Admitted, NewFeedEntry, SessionLimit, Store as _, StoreErrorKind};
use tokio::time::Instant;

use store_sidecar::store::conformance::op;

use crate::harness::{USUAL, check, connect_patiently, connection, new_session, poll_until};

/// How old may be what a worker is told while all is well, on a busy machine.
const CURRENT: u64 = 900;

async fn feed(url: &str, name: &str) -> Feed {
    Feed::start(Arc::new(connect_patiently(url, USUAL).await), Arc::default(), name.to_owned())
}

async fn poll(feed: &Feed, worker: &str) -> FeedReply {
    let query = FeedQuery {
        worker: worker.to_owned(),
        epoch: None,
        after: FeedCursor::START,
        wait_ms: 0,
        max_staleness_ms: 1_000,
    };
    feed.poll(&query).await.unwrap()
}

fn revoked(token: &str) -> NewFeedEntry {
    let change = FeedChange::TokenRevoked { token_id: token.parse().unwrap() };
    NewFeedEntry { until: UnixSeconds(u64::MAX), change }
}

async fn set(connection: &mut MultiplexedConnection, name: &str, value: &str) {
    redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(connection).await.unwrap();
}

/// What holds while Redis accepts no changes at all; it must for longer than any record is good for.
async fn is_read_all_the_same(server: &RedisServer, old: &Feed) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        let reply = poll(old, "w").await;
        assert!(reply.age_ms < CURRENT && reply.ended.0.len() == 1, "{reply:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(old.append(&[revoked("t2")]).await.unwrap_err().kind(), StoreErrorKind::Refused);
    // What judges by the feed alone can: tokens of other issuers, say.
    old.catch_up(Instant::now(), Duration::from_secs(5)).await.unwrap();
    let at = old.end().await.unwrap();
    assert!(!old.receipt(at).await.applied);
    let fresh = feed(&server.url(), "fresh").await;
    fresh.catch_up(Instant::now(), Duration::from_secs(5)).await.unwrap();
    assert!(fresh.is_revoked(&"t1".parse().unwrap()).unwrap());
    let reply = poll(&fresh, "v").await;
    assert!(reply.age_ms > 1_000 && reply.ended.0.len() == 1, "nobody can know of it: {reply:?}");
}

#[tokio::test]
async fn without_its_replicas_it_is_read_all_the_same() {
    let server = RedisServer::start().unwrap();
    let old = feed(&server.url(), "old").await;
    old.append(&[revoked("t1")]).await.unwrap();
    poll_until(async || poll(&old, "w").await, |reply| reply.age_ms < CURRENT).await;
    let mut connection = connection(&server.url()).await;
    set(&mut connection, "min-replicas-to-write", "1").await;
    is_read_all_the_same(&server, &old).await;
    set(&mut connection, "min-replicas-to-write", "0").await;
    poll_until(async || old.append(&[revoked("t3")]).await.is_ok(), |accepted| *accepted).await;
    poll_until(async || poll(&old, "u").await, |reply| reply.age_ms < CURRENT).await;
}

/// It refuses even `PING` then.
#[tokio::test]
async fn without_its_disk_it_is_read_all_the_same() {
    let server = RedisServer::start_with(&["save 1 1"]).unwrap();
    let old = feed(&server.url(), "old").await;
    old.append(&[revoked("t1")]).await.unwrap();
    poll_until(async || poll(&old, "w").await, |reply| reply.age_ms < CURRENT).await;
    let mut connection = connection(&server.url()).await;
    std::fs::remove_dir_all(server.directory()).unwrap();
    let refuses = async || redis::cmd("PING").exec_async(&mut connection.clone()).await;
    let _ = poll_until(refuses, |answer| answer.as_ref().is_err_and(|error| error.code() == Some("MISCONF"))).await;
    is_read_all_the_same(&server, &old).await;
    set(&mut connection, "stop-writes-on-bgsave-error", "no").await;
    poll_until(async || old.append(&[revoked("t3")]).await.is_ok(), |accepted| *accepted).await;
}

/// What it refuses is what is new; whatever takes something back it accepts.
#[tokio::test]
async fn a_full_redis_is_told_of_ends_and_all_workers_learn_of_them() {
    let server = RedisServer::start().unwrap();
    let here = feed(&server.url(), "here").await;
    let there = feed(&server.url(), "there").await;
    let store = connect_patiently(&server.url(), USUAL).await;
    let session = store.create_session(new_session("alice", 1), op()).await.unwrap();
    set(&mut connection(&server.url()).await, "maxmemory", "1").await;
    assert_eq!(store.create_session(new_session("alice", 2), op()).await.unwrap_err().kind(), StoreErrorKind::Refused);
    poll_until(async || poll(&there, "w").await, |reply| reply.age_ms < CURRENT).await;
    let change = FeedChange::SessionEnded { session_id: session.session_id.clone() };
    let at = here.append(&[NewFeedEntry { until: session.expires_at, change }]).await.unwrap();
    store.terminate_session(&session.session_id, op()).await.unwrap();
    assert!(here.receipt(at).await.applied, "the worker was waited for");
    let fresh = feed(&server.url(), "fresh").await;
    poll_until(async || poll(&fresh, "v").await, |reply| reply.age_ms < CURRENT).await;
    assert!(fresh.tells_end_of(&session.session_id));
}

/// Or a login that is refused would log the user out elsewhere.
#[tokio::test]
async fn a_full_redis_ends_nobody_to_make_room() {
    let server = RedisServer::start().unwrap();
    let store = connect_patiently(&server.url(), USUAL).await;
    let old = store.create_session(new_session("alice", 1), op()).await.unwrap();
    let limit = Some(SessionLimit { max: 1, when_full: WhenFull::EvictOldest });
    let admission = Admission { limit, is_noted: true, ..Admission::default() };
    let login = async |admission| store.admit_session(new_session("alice", 2), admission, op()).await;
    let Ok(Admitted::Unknown(known)) = login(&admission).await else { panic!("there is no room") };
    assert_eq!(known.as_slice(), std::slice::from_ref(&old.session_id));
    set(&mut connection(&server.url()).await, "maxmemory", "1").await;
    assert!(login(&Admission { known, ..admission.clone() }).await.is_err());
    assert_eq!(check(&store, &old).await.unwrap(), CheckVerdict::Live);
}
