//! One Redis in the ways that it is run: with a password, behind a socket, evicting, not telling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use session_gate_protocol::{CheckVerdict, FeedChange, LeaseAsk};
use store_sidecar::rng::OsRandom;
use store_sidecar::store::redis::{Eviction, RedisOptions, RedisStartError, RedisStore};
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{LaterVersion, NewFeedEntry, RECORD_OVERDUE, Store as _, StoreErrorKind};

use store_sidecar::store::conformance::op;

use crate::harness::{PATIENCE, USUAL, check, connect_patiently, connection, is_away, new_session, poll_until};

/// One admission of a counter of its own.
fn lease(number: u64) -> LeaseAsk {
    let ask = serde_json::json!({
        "counter": format!("{number:016}"), "lease": 1, "need": 1, "want": 1,
        "quotas": [{"algorithm": "fixed_window", "requests": 1, "window_ms": 60_000}],
    });
    serde_json::from_value(ask).unwrap()
}

/// It can be used for a session's life.
async fn works(store: &RedisStore) {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let session = store.create_session(new_session("alice", number), op()).await.unwrap();
    assert_eq!(check(store, &session).await.unwrap(), CheckVerdict::Live);
    let begun = store.begin_cut_off(&session.user_id, Some(&session.session_id), 0).await.unwrap();
    assert!(begun.except.is_some() && begun.listed > 0);
    store.finish_cut_off(&session.user_id, begun.before, Some(&session.session_id)).await.unwrap();
    assert_eq!(check(store, &session).await.unwrap(), CheckVerdict::Live);
    let later = LaterVersion { version: 2, is_suspended: true, scopes: None };
    store.restore_version(&session.session_id, &later).await.unwrap();
    assert_eq!(check(store, &session).await.unwrap(), CheckVerdict::SessionSuspended);
    let begun = store.begin_cut_off(&session.user_id, None, 0).await.unwrap();
    store.finish_cut_off(&session.user_id, begun.before, None).await.unwrap();
    store.sweep_sessions(&session.user_id, None).await.unwrap();
    assert_eq!(check(store, &session).await.unwrap(), CheckVerdict::SessionTerminated);
    store.touch(&[session.session_id]).await.unwrap();
    store.append_feed(&[NewFeedEntry { until: session.expires_at, change: FeedChange::KeysChanged }]).await.unwrap();
    assert!(!store.read_feed(None, 10).await.unwrap().entries.is_empty());
    for lifetime in [0, 1_000] {
        store
            .publish_followers("replica", &Default::default(), Duration::from_millis(lifetime), RECORD_OVERDUE)
            .await
            .unwrap();
    }
    assert_eq!(store.followers().await.unwrap().len(), 1);
    let leased = store.lease("w", &lease(number.into())).await.unwrap();
    assert_eq!(leased.lease.granted, 1);
    store.health().await.unwrap();
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    let server = RedisServer::start_with(&["requirepass s@cret", "user gate on >s@cret ~* &* +@all"]).unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    for (url, password) in [
        (format!("redis://:s%40cret@{address}"), None),
        (format!("redis://{address}"), Some("s@cret")),
        (format!("redis://gate@{address}/1"), Some("s@cret")),
    ] {
        let options = RedisOptions::parse(&url, password).unwrap().step_timeout(PATIENCE);
        let store = RedisStore::connect(options, USUAL, Arc::new(OsRandom)).await.unwrap();
        works(&store).await;
        assert!(!format!("{store:?}").contains("cret"));
    }
    for (url, password) in [(format!("redis://{address}"), None), (format!("redis://{address}"), Some("wr@ng"))] {
        let options = RedisOptions::parse(&url, password).unwrap().step_timeout(PATIENCE);
        let store = RedisStore::connect(options, USUAL, Arc::new(OsRandom)).await.unwrap();
        let error = store.health().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("cret") && !shown.contains("wr@ng"), "{shown}");
    }
}

/// The rules that docs/store.md recommends.
const RULES: &str = "resetkeys ~sg1:* resetchannels -@all +ping +info +config|get +eval +evalsha +time +get +set \
    +del +exists +expire +expireat +pexpire +persist +ttl +hset +hdel +hget +hmget +hgetall +hexists +hlen \
    +zadd +zcard +zcount +zrem +zrange +zremrangebyscore +zscore +xadd +xdel +xrange +xrevrange +xtrim";

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let documented = include_str!("../../../docs/store.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(documented.contains(RULES), "docs/store.md names other rights");
    let server = RedisServer::start_with(&[&format!("user gate on >secret {RULES}")]).unwrap();
    let url = format!("redis://gate:secret@127.0.0.1:{}", server.port());
    let store = connect_patiently(&url, USUAL).await;
    assert_eq!(store.inspect().await.unwrap().eviction, Eviction::Never);
    let session = store.create_session(new_session("bob", 1), op()).await.unwrap();
    store.revoke_token(&session.user_id, &"t".parse().unwrap(), session.expires_at).await.unwrap();
    store.update_session(&session.session_id, &Default::default(), None, op()).await.unwrap();
    assert_eq!(store.user_sessions(&session.user_id).await.unwrap().len(), 1);
    store.terminate_session(&session.session_id, op()).await.unwrap();
    works(&store).await;
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("redis.sock");
    let _server = RedisServer::start_with(&[&format!("unixsocket {}", socket.display())]).unwrap();
    works(&connect_patiently(&format!("unix://{}?db=2", socket.display()), USUAL).await).await;
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_unless_allowed() {
    let mut server = RedisServer::start_with(&["maxmemory-policy allkeys-lru"]).unwrap();
    let options = RedisOptions::parse(&server.url(), None).unwrap().step_timeout(PATIENCE);
    let refused = RedisStore::connect(options.clone(), USUAL, Arc::new(OsRandom)).await.unwrap_err();
    assert!(matches!(refused, RedisStartError::Evicts { policy } if policy == "allkeys-lru"));
    works(&RedisStore::connect(options.clone().allow_eviction(true), USUAL, Arc::new(OsRandom)).await.unwrap()).await;

    server.stop().unwrap();
    let late = RedisStore::connect(options, USUAL, Arc::new(OsRandom)).await.unwrap();
    assert!(is_away(&late.health().await.unwrap_err()));
    server.start_again().unwrap();
    let unfit = async || format!("{:?}", late.health().await.unwrap_err());
    poll_until(unfit, |error| error.contains("allkeys-lru")).await;
    let refused = late.create_session(new_session("alice", 99), op()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unfit, "nothing is kept where it may be lost");
    let mut connection = connection(&server.url()).await;
    let mut mend = redis::cmd("CONFIG");
    mend.arg("SET").arg("maxmemory-policy").arg("noeviction").exec_async(&mut connection).await.unwrap();
    late.health().await.unwrap();
}

#[tokio::test]
async fn what_redis_is_set_to_do_is_reported() {
    let server = RedisServer::start_with(&["appendonly yes", "save 60 1"]).unwrap();
    let report = connect_patiently(&server.url(), USUAL).await.inspect().await.unwrap();
    assert_eq!(report.eviction, Eviction::Never);
    assert_eq!((report.append_only_file, report.snapshots), (Some(true), Some(true)));
    assert!(report.version.is_some() && report.used_memory > Some(0));

    let server = RedisServer::start().unwrap();
    let report = connect_patiently(&server.url(), USUAL).await.inspect().await.unwrap();
    assert_eq!((report.append_only_file, report.snapshots), (Some(false), Some(false)));
}

#[tokio::test]
async fn a_redis_that_tells_nothing_of_itself_is_used_all_the_same() {
    for denied in ["-config", "-config -info"] {
        let user = format!("user gate on nopass ~* &* +@all {denied}");
        let server = RedisServer::start_with(&[&user, "maxmemory-policy allkeys-lru"]).unwrap();
        let url = format!("redis://gate:any@127.0.0.1:{}", server.port());
        let options = RedisOptions::parse(&url, None).unwrap().step_timeout(PATIENCE);
        let store = RedisStore::connect(options.clone(), USUAL, Arc::new(OsRandom)).await;
        if denied == "-config" {
            assert!(matches!(store.unwrap_err(), RedisStartError::Evicts { .. }), "INFO tells it too");
        } else {
            let store = store.unwrap();
            assert_eq!(store.inspect().await.unwrap(), Default::default());
            works(&store).await;
        }
    }
}

/// Two services that share a Redis would end each other's sessions.
#[tokio::test]
async fn another_issuers_sessions_are_not_touched() {
    let server = RedisServer::start().unwrap();
    let options = RedisOptions::parse(&server.url(), None).unwrap().step_timeout(PATIENCE);
    let connect = async |prefix: &str, issuer: &str| {
        let options = options.clone().key_prefix(prefix.to_owned()).issuer(issuer.to_owned());
        RedisStore::connect(options, USUAL, Arc::new(OsRandom)).await
    };
    let production = connect("", "https://production").await.unwrap();
    connect("", "https://production").await.unwrap();
    let refused = connect("", "https://staging").await.unwrap_err();
    assert!(matches!(&refused, RedisStartError::OtherIssuer { found, .. } if found == "https://production"));
    let text = refused.to_string();
    assert!(text.contains("redis.key_prefix") && text.contains("delete the key sg1:{feed}:issuer"), "{text}");

    let staging = connect("staging:", "https://staging").await.unwrap();
    let session = production.create_session(new_session("alice", 1), op()).await.unwrap();
    let other = staging.create_session(new_session("alice", 1), op()).await.unwrap();
    let begun = staging.begin_cut_off(&other.user_id, None, 0).await.unwrap();
    assert_eq!(begun.listed, 1);
    staging.finish_cut_off(&other.user_id, begun.before, None).await.unwrap();
    assert_eq!(check(&staging, &other).await.unwrap(), CheckVerdict::SessionTerminated);
    staging.append_feed(&[NewFeedEntry { until: other.expires_at, change: FeedChange::KeysChanged }]).await.unwrap();
    assert_eq!(check(&production, &session).await.unwrap(), CheckVerdict::Live);
    assert!(production.read_feed(None, 10).await.unwrap().entries.is_empty());

    // What Redis loses is written again as soon as a sidecar looks.
    let mut redis = connection(&server.url()).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    production.health().await.unwrap();
    assert!(connect("", "https://staging").await.is_err());

    // On purpose: who has served until now does so no more.
    redis::cmd("DEL").arg("sg1:{feed}:issuer").exec_async(&mut redis).await.unwrap();
    connect("", "https://new").await.unwrap();
    assert!(production.health().await.is_err());
    assert!(production.session(&session.session_id).await.is_err());
}
