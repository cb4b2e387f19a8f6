//! The counters of rate limits as they stand in Redis, and what becomes of them where it cannot write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use session_gate_protocol::{Algorithm, LeaseAsk, Quota, SettledLease};
use store_sidecar::store::conformance::Harness as _;
use store_sidecar::store::{Store as _, StoreErrorKind, StoreSettings};

use crate::harness::{Redis, USUAL, connect_patiently, poll_until};

const COUNTER: &str = "sg1:{limit.000}:counter:AbCdEfGhIjKlMnOp";
const IDLE: &str = "sg1:{limit.000}:idle";
const SALT: &str = "sg1:{limit}:salt";
const ENDS: &str = "sg1:{limit.000}:ends";

fn ask(lease: u64, need: u64, window_ms: u64) -> LeaseAsk {
    LeaseAsk {
        counter: "AbCdEfGhIjKlMnOp".parse().unwrap(),
        quotas: vec![Quota { algorithm: Algorithm::SlidingWindow, requests: 10, window_ms, burst: None }],
        settle: Vec::new(),
        owed: 0,
        lease,
        kept: 0,
        need,
        want: need,
    }
}

async fn keys(connection: &mut MultiplexedConnection) -> Vec<String> {
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(connection).await.unwrap();
    keys.sort();
    keys
}

async fn ttl(connection: &mut MultiplexedConnection, key: &str) -> u64 {
    redis::cmd("PTTL").arg(key).query_async(connection).await.unwrap()
}

/// Golden: what is changed here makes every stored counter unreadable to the other version.
#[tokio::test]
async fn a_counter_is_stored_in_the_form_that_is_documented() {
    const READ: &str = "return cjson.encode(cmsgpack.unpack(redis.call('GET', KEYS[1])))";
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    redis.store.lease("w", &ask(1, 4, 3_600_000)).await.unwrap();
    let settled = LeaseAsk { settle: vec![SettledLease { lease: 1, used: 3 }], ..ask(2, 2, 3_600_000) };
    redis.store.lease("w", &settled).await.unwrap();
    assert_eq!(keys(&mut connection).await, [COUNTER, ENDS, IDLE, SALT]);
    let stored: String = redis::cmd("EVAL").arg(READ).arg(1).arg(COUNTER).query_async(&mut connection).await.unwrap();
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    let seen = stored[1].as_f64().unwrap();
    let part = (seen / 56_250.0).ceil();
    let expected = serde_json::json!([1, seen, ["w 2", 2, seen + 10_000.0], [["s", 3_600_000, 0, seen, part, 3]]]);
    let numbers = |value: &serde_json::Value| value.to_string().replace(".0", "");
    assert_eq!(numbers(&stored), numbers(&expected));
}

#[tokio::test]
async fn what_counts_no_more_is_gone_and_the_index_with_it() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    redis.store.lease("w", &ask(1, 4, 60_000)).await.unwrap();
    for key in [COUNTER, IDLE, ENDS] {
        let ttl = ttl(&mut connection, key).await;
        assert!((60_000..=60_000 + 10_000 + 1_000).contains(&ttl), "{key}: {ttl}");
    }
    let unused = LeaseAsk { settle: vec![SettledLease { lease: 1, used: 0 }], ..ask(2, 0, 60_000) };
    redis.store.lease("w", &unused).await.unwrap();
    assert_eq!(keys(&mut connection).await, [SALT], "as if new");
    redis.store.lease("w", &ask(3, 4, 60_000)).await.unwrap();
    redis.pass(Duration::from_secs(120)).await;
    assert_eq!(keys(&mut connection).await, [SALT]);
}

/// By Redis' own clock, without a hand on it.
#[tokio::test]
async fn time_alone_gives_admissions_back() {
    let redis = Redis::start(USUAL).await;
    assert_eq!(redis.store.lease("w", &ask(1, 10, 1_000)).await.unwrap().lease.granted, 10);
    let mut number = 1;
    let again = || {
        number += 1;
        let ask = ask(number, 1, 1_000);
        let store = &redis.store;
        async move { store.lease("v", &ask).await.unwrap().lease.granted }
    };
    poll_until(again, |granted| *granted == 1).await;
}

#[tokio::test]
async fn a_counter_that_cannot_be_read_is_an_error_and_never_a_new_one() {
    const NEXT: &str = "return redis.call('SET', KEYS[1], cmsgpack.pack({2, 5, {}, {}}))";
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    redis::cmd("EVAL").arg(NEXT).arg(1).arg(COUNTER).exec_async(&mut connection).await.unwrap();
    let corrupt = async || redis.store.lease("w", &ask(1, 1, 60_000)).await.unwrap_err().kind();
    assert_eq!(corrupt().await, StoreErrorKind::Corrupt, "of another version");
    for garbage in ["", "x", "\u{1}{}"] {
        redis::cmd("SET").arg(COUNTER).arg(garbage).exec_async(&mut connection).await.unwrap();
        assert_eq!(corrupt().await, StoreErrorKind::Corrupt, "{garbage:?}");
    }
    redis::cmd("DEL").arg(COUNTER).exec_async(&mut connection).await.unwrap();
    redis::cmd("HSET").arg(COUNTER).arg("a").arg("b").exec_async(&mut connection).await.unwrap();
    assert_eq!(corrupt().await, StoreErrorKind::Corrupt, "of another type");
}

#[tokio::test]
async fn a_full_redis_leases_nothing() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    assert_eq!(redis.store.lease("w", &ask(1, 4, 60_000)).await.unwrap().lease.granted, 4);
    let maxmemory = async |bytes: &str| {
        let mut connection = redis.connection().await;
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec_async(&mut connection).await.unwrap();
    };
    maxmemory("1").await;
    for (worker, lease) in [("w", 2), ("v", 1)] {
        let refused = redis.store.lease(worker, &ask(lease, 1, 60_000)).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Refused);
    }
    maxmemory("0").await;
    let lease = redis.store.lease("v", &ask(2, 1, 60_000)).await.unwrap().lease;
    assert_eq!((lease.outstanding, lease.quotas[0].remaining), (4, 5), "and the failures took nothing");
    assert_eq!(keys(&mut connection).await, [COUNTER, ENDS, IDLE, SALT]);
}

/// Whichever comes first; and again when Redis has lost everything.
#[tokio::test]
async fn all_replicas_divide_the_counters_alike() {
    let settings = StoreSettings { counter_parts: 4_096, ..USUAL };
    let redis = Redis::start(settings).await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(connect_patiently(&redis.server.url(), settings).await);
    }
    let last = AtomicU64::new(0);
    let granted = async || {
        // One counter, a new one each time, of which each wants four of ten.
        let number = last.fetch_add(1, Ordering::Relaxed);
        let ask = LeaseAsk { counter: format!("{number:016}").parse().unwrap(), ..ask(1, 4, 3_600_000) };
        let leases = ["w1", "w2", "w3"].into_iter().zip(&replicas).map(|(worker, store)| store.lease(worker, &ask));
        let leases = futures_util::future::join_all(leases).await;
        leases.into_iter().map(|leased| leased.unwrap().lease.granted).sum::<u64>()
    };
    let salt = async || {
        let mut connection = redis.connection().await;
        redis::cmd("GET").arg(SALT).query_async::<Option<String>>(&mut connection).await.unwrap()
    };
    assert_eq!(granted().await, 10);
    let before = salt().await;
    redis::cmd("FLUSHALL").exec_async(&mut redis.connection().await).await.unwrap();
    // One after the other they learn of it, within a second.
    let agree = async || (granted().await, salt().await);
    poll_until(agree, |(granted, salt)| *granted == 10 && salt.is_some() && *salt != before).await;
}
