//! Redis is away, hangs, or comes back. That a step takes no longer than it may is the store's own
//! time-out, so the tests look at the kind of error, not at a watch.

use session_gate_protocol::{CheckVerdict, FeedChange};
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{NewFeedEntry, Store as _, StoreErrorKind};

use crate::harness::{Redis, USUAL, check, connect, is_away, new_session, poll_until};

/// Each method fails, and says that Redis is away.
async fn all_fail(redis: &Redis) {
    let new = new_session("alice", 1);
    let (id, user) = (new.id.clone(), new.session.user_id.clone());
    let store = &redis.store;
    assert!(is_away(&store.create_session(new.clone()).await.unwrap_err()));
    assert!(is_away(&store.session(&id).await.unwrap_err()));
    assert!(is_away(&store.update_session(&id, &Default::default(), None).await.unwrap_err()));
    assert!(is_away(&store.terminate_session(&id).await.unwrap_err()));
    assert!(is_away(&store.user_sessions(&user).await.unwrap_err()));
    assert!(is_away(&store.terminate_user_sessions(&user, &[]).await.unwrap_err()));
    let expires_at = session_gate_protocol::UnixSeconds(u64::MAX);
    assert!(is_away(&store.revoke_token(&user, &"t".parse().unwrap(), expires_at).await.unwrap_err()));
    assert!(is_away(&check(store, &new_session_data(&new)).await.unwrap_err()));
    assert!(is_away(&store.touch(&[id]).await.unwrap_err()));
    let entry = NewFeedEntry { until: expires_at, change: FeedChange::KeysChanged };
    assert!(is_away(&store.append_feed(&[entry]).await.unwrap_err()));
    assert!(is_away(&store.read_feed(None, 1).await.unwrap_err()));
    let lifetime = std::time::Duration::from_secs(1);
    assert!(is_away(&store.publish_followers("replica", &Default::default(), lifetime).await.unwrap_err()));
    assert!(is_away(&store.followers().await.unwrap_err()));
    assert!(is_away(&store.health().await.unwrap_err()));
}

fn new_session_data(new: &store_sidecar::store::CreateSession) -> session_gate_protocol::SessionData {
    serde_json::from_value(serde_json::json!({
        "session_id": new.id, "user_id": new.session.user_id, "created_at": 0, "last_activity": 0, "expires_at": 1,
        "status": "active", "metadata": {}, "version": 1,
    }))
    .unwrap()
}

async fn is_back(redis: &Redis) {
    poll_until(async || redis.store.health().await.is_ok(), |healthy| *healthy).await;
}

#[tokio::test]
async fn a_redis_that_comes_later_is_used_when_it_comes() {
    let mut server = RedisServer::start().unwrap();
    server.stop().unwrap();
    let store = connect(&server.url(), USUAL).await;
    let mut redis = Redis { store, server };
    all_fail(&redis).await;
    redis.server.start_again().unwrap();
    is_back(&redis).await;
    let session = redis.store.create_session(new_session("alice", 1)).await.unwrap();
    assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
}

#[tokio::test]
async fn a_redis_that_is_killed_is_used_again_when_it_is_back_with_its_data() {
    let mut redis = Redis::with(&["appendonly yes", "appendfsync always"], USUAL).await;
    let kept = redis.store.create_session(new_session("alice", 1)).await.unwrap();
    let ended = redis.store.create_session(new_session("alice", 2)).await.unwrap();
    redis.store.terminate_session(&ended.session_id).await.unwrap();
    redis.server.stop().unwrap();
    all_fail(&redis).await;
    redis.server.start_again().unwrap();
    is_back(&redis).await;
    assert_eq!(check(&redis.store, &kept).await.unwrap(), CheckVerdict::Live);
    assert_eq!(check(&redis.store, &ended).await.unwrap(), CheckVerdict::SessionTerminated);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_steps_is_replaced() {
    let redis = Redis::with(&[], USUAL).await;
    let session = redis.store.create_session(new_session("alice", 1)).await.unwrap();
    for _ in 0..3 {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        let busy = async {
            for _ in 0..50 {
                // Those in flight fail; what counts is that the error is one of these.
                if let Err(error) = check(&redis.store, &session).await {
                    assert!(is_away(&error), "{error:?}");
                }
            }
        };
        let mut connection = redis.connection().await;
        let (killed, ()) = tokio::join!(kill.exec_async(&mut connection), busy);
        killed.unwrap();
        is_back(&redis).await;
        assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_costs_no_more_than_a_step_may() {
    let redis = Redis::with(&[], USUAL).await;
    let session = redis.store.create_session(new_session("alice", 1)).await.unwrap();
    redis.server.pause().unwrap();
    let error = check(&redis.store, &session).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    all_fail(&redis).await;
    redis.server.resume().unwrap();
    is_back(&redis).await;
    assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
}

#[tokio::test]
async fn a_redis_that_hangs_from_the_start_is_used_when_it_answers() {
    let server = RedisServer::start().unwrap();
    server.pause().unwrap();
    let redis = Redis { store: connect(&server.url(), USUAL).await, server };
    all_fail(&redis).await;
    redis.server.resume().unwrap();
    is_back(&redis).await;
}
