//! Redis is away, hangs, or comes back. That a step takes no longer than it may is the store's own
//! time-out, so the tests look at the kind of error, not at a watch.

use session_gate_protocol::{CheckVerdict, FeedChange, SessionData};
use store_sidecar::store::conformance::Harness as _;
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{CreateSession, LaterVersion, NewFeedEntry, RECORD_OVERDUE, Store as _, StoreErrorKind};

use store_sidecar::store::conformance::op;

use crate::harness::{Redis, USUAL, check, connect, is_away, new_session, poll_until};

/// Each method fails, and says that Redis is away.
async fn all_fail(redis: &Redis) {
    let new = new_session("alice", 1);
    let (id, user) = (new.id.clone(), new.session.user_id.clone());
    let store = &redis.store;
    assert!(is_away(&store.create_session(new.clone(), op()).await.unwrap_err()));
    assert!(is_away(&store.session(&id).await.unwrap_err()));
    assert!(is_away(&store.update_session(&id, &Default::default(), None, op()).await.unwrap_err()));
    assert!(is_away(&store.terminate_session(&id, op()).await.unwrap_err()));
    assert!(is_away(&store.user_sessions(&user).await.unwrap_err()));
    assert!(is_away(&store.begin_cut_off(&user, None, 0).await.unwrap_err()));
    assert!(is_away(&store.finish_cut_off(&user, 1, None).await.unwrap_err()));
    assert!(is_away(&store.sweep_sessions(&user, None).await.unwrap_err()));
    let later = LaterVersion { version: 1, is_suspended: true, scopes: None };
    assert!(is_away(&store.restore_version(&id, &later).await.unwrap_err()));
    let expires_at = session_gate_protocol::UnixSeconds(u64::MAX);
    assert!(is_away(&store.revoke_token(&user, &"t".parse().unwrap(), expires_at).await.unwrap_err()));
    assert!(is_away(&check(store, &new_session_data(&new)).await.unwrap_err()));
    assert!(is_away(&store.touch(&[id]).await.unwrap_err()));
    let entry = NewFeedEntry { until: expires_at, change: FeedChange::KeysChanged };
    assert!(is_away(&store.append_feed(&[entry]).await.unwrap_err()));
    assert!(is_away(&store.read_feed(None, 1).await.unwrap_err()));
    let lifetime = std::time::Duration::from_secs(1);
    assert!(is_away(
        &store.publish_followers("replica", &Default::default(), lifetime, RECORD_OVERDUE).await.unwrap_err()
    ));
    assert!(is_away(&store.followers().await.unwrap_err()));
    assert!(is_away(&store.health().await.unwrap_err()));
}

/// The session as it would be, for what asks about it.
fn new_session_data(new: &CreateSession) -> SessionData {
    serde_json::from_value(serde_json::json!({
        "session_id": new.id, "user_id": new.session.user_id, "created_at": 0, "last_activity": 0, "expires_at": 1,
        "status": "active", "metadata": {}, "version": 1,
    }))
    .unwrap()
}

/// Redis is there again, and the session as it should be.
async fn comes_back(redis: &Redis, session: &SessionData, verdict: CheckVerdict) {
    poll_until(async || redis.store.health().await.is_ok(), |healthy| *healthy).await;
    // Again and again, since a busy machine may take longer than a step may.
    let answer = poll_until(async || check(&redis.store, session).await, Result::is_ok).await;
    assert_eq!(answer.unwrap(), verdict);
}

/// A session that is stored, on a machine that is not too busy for it at the moment.
async fn stored(redis: &Redis, user: &str) -> SessionData {
    let mut numbers = 0..;
    let create = || redis.store.create_session(new_session(user, numbers.next().unwrap()), op());
    poll_until(create, Result::is_ok).await.unwrap()
}

#[tokio::test]
async fn a_redis_that_comes_later_is_used_when_it_comes() {
    let mut server = RedisServer::start().unwrap();
    server.stop().unwrap();
    let store = connect(&server.url(), USUAL).await;
    let mut redis = Redis { store, server };
    all_fail(&redis).await;
    redis.server.start_again().unwrap();
    let session = stored(&redis, "alice").await;
    comes_back(&redis, &session, CheckVerdict::Live).await;
}

#[tokio::test]
async fn a_redis_that_is_killed_is_used_again_when_it_is_back_with_its_data() {
    let mut redis = Redis::with(&["appendonly yes", "appendfsync always"], USUAL).await;
    let kept = stored(&redis, "alice").await;
    let ended = stored(&redis, "bob").await;
    poll_until(async || redis.store.terminate_session(&ended.session_id, op()).await.is_ok(), |ended| *ended).await;
    redis.server.stop().unwrap();
    all_fail(&redis).await;
    redis.server.start_again().unwrap();
    comes_back(&redis, &kept, CheckVerdict::Live).await;
    comes_back(&redis, &ended, CheckVerdict::SessionTerminated).await;
}

#[tokio::test]
async fn an_idle_connection_that_is_lost_is_replaced_before_anybody_needs_it() {
    let mut redis = Redis::start(USUAL).await;
    redis.server.stop().unwrap();
    redis.server.start_again().unwrap();
    // Nobody asks the store anything meanwhile. The store has three connections; the other client is this test.
    let clients = async || {
        let mut info = redis::cmd("INFO");
        info.arg("clients").query_async::<String>(&mut redis.connection().await).await.unwrap()
    };
    poll_until(clients, |info| info.contains("connected_clients:4")).await;
    let store = &redis.store;
    store.create_session(new_session("alice", 1), op()).await.unwrap();
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_steps_is_replaced() {
    let redis = Redis::with(&[], USUAL).await;
    let session = stored(&redis, "alice").await;
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
        comes_back(&redis, &session, CheckVerdict::Live).await;
    }
}

#[tokio::test]
async fn a_redis_that_hangs_costs_no_more_than_a_step_may() {
    let redis = Redis::with(&[], USUAL).await;
    let session = stored(&redis, "alice").await;
    redis.server.pause().unwrap();
    let error = check(&redis.store, &session).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    all_fail(&redis).await;
    redis.server.resume().unwrap();
    comes_back(&redis, &session, CheckVerdict::Live).await;
}

#[tokio::test]
async fn a_redis_that_hangs_from_the_start_is_used_when_it_answers() {
    let server = RedisServer::start().unwrap();
    server.pause().unwrap();
    let redis = Redis { store: connect(&server.url(), USUAL).await, server };
    all_fail(&redis).await;
    redis.server.resume().unwrap();
    let session = stored(&redis, "alice").await;
    comes_back(&redis, &session, CheckVerdict::Live).await;
}
