//! The rules that stand beside the feed's log: what is stored, and when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use session_gate_protocol::{FeedChange, FeedEntry, Rule, UnixSeconds};
use store_sidecar::store::conformance::Harness as _;
use store_sidecar::store::{FeedPosition, NewFeedEntry, Store as _, StoreErrorKind, UNLIMITED};

use crate::harness::{Redis, USUAL};

const EPOCH: &str = "sg1:{feed}:epoch";
const LOG: &str = "sg1:{feed}:log";
const RULES: &str = "sg1:{feed}:rules";
const STANDING: &str = "sg1:{feed}:standing";

async fn command<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, words: &[&str]) -> T {
    let (name, arguments) = words.split_first().unwrap();
    redis::cmd(name).arg(arguments).query_async(connection).await.unwrap()
}

fn rule(user: &str) -> Rule {
    serde_json::from_value(json!({ "kind": "user", "user_id": user })).unwrap()
}

fn added(user: &str, until: UnixSeconds) -> NewFeedEntry {
    let rule = rule(user);
    NewFeedEntry { until, change: FeedChange::RuleAdded { rule_id: rule.id(), rule, note: Some("n".to_owned()) } }
}

fn removed(user: &str) -> NewFeedEntry {
    NewFeedEntry { until: UNLIMITED, change: FeedChange::RuleRemoved { rule_id: rule(user).id() } }
}

/// The names of users that rules were added for, to whoever reads from the start.
async fn users(redis: &Redis) -> Vec<String> {
    let page = redis.store.read_feed(None, 1_000).await.unwrap();
    let user = |entry: FeedEntry| match entry.change {
        FeedChange::RuleAdded { rule: Rule::User { user_id }, .. } => user_id.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    page.entries.into_iter().map(user).collect()
}

/// Golden: what is changed here makes rules unknown to the other version.
#[tokio::test]
async fn rules_are_stored_in_the_form_that_is_documented() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let at = redis.store.append_feed(&[added("alice", UNLIMITED)]).await.unwrap();
    let id = rule("alice").id().to_string();
    let stored: BTreeMap<String, String> = command(&mut connection, &["HGETALL", RULES]).await;
    assert_eq!(stored, BTreeMap::from([(id.clone(), at.to_string())]));
    let change =
        format!(r#"{{"kind":"rule_added","rule_id":"{id}","rule":{{"kind":"user","user_id":"alice"}},"note":"n"}}"#);
    let standing: Vec<(String, Vec<String>)> = command(&mut connection, &["XRANGE", STANDING, "-", "+"]).await;
    let expected = ["until", "253402300799", "change", change.as_str(), "rule", &id].map(str::to_owned).to_vec();
    assert_eq!(standing, [(at.to_string(), expected)]);
    let log: Vec<(String, Vec<String>)> = command(&mut connection, &["XRANGE", LOG, "-", "+"]).await;
    let expected = ["until", "253402300799", "change", change.as_str()].map(str::to_owned).to_vec();
    assert_eq!(log, [(at.to_string(), expected)]);
    redis.store.append_feed(&[removed("alice")]).await.unwrap();
    let left: u64 = command(&mut connection, &["EXISTS", RULES, STANDING]).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_rules_live_as_long_as_the_latest_of_them() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let now = redis.store.read_feed(None, 1).await.unwrap().now;
    let mut ttl = async |entry: NewFeedEntry| {
        redis.store.append_feed(&[entry]).await.unwrap();
        let ttl: i64 = command(&mut connection, &["TTL", STANDING]).await;
        assert_eq!(ttl, command::<i64>(&mut connection, &["TTL", RULES]).await);
        ttl
    };
    let after = |secs| now.after(Duration::from_secs(secs));
    let near = |ttl: i64, secs: i64| (secs - 5..=secs).contains(&ttl);
    assert_eq!(ttl(added("short", after(100))).await, -2, "the log is enough");
    assert!(near(ttl(added("a", after(7_000))).await, 7_000));
    assert!(near(ttl(added("b", after(9_000))).await, 9_000));
    assert!(near(ttl(added("c", after(8_000))).await, 9_000));
    assert!(near(ttl(added("b", after(100))).await, 9_000), "it does no harm");
    assert_eq!(ttl(added("d", UNLIMITED)).await, -1);
    assert_eq!(ttl(added("e", after(9_000))).await, -1);
    assert_eq!(ttl(added("d", after(6_000))).await, -1, "until the last is gone");
    for user in ["a", "c", "d"] {
        assert_eq!(ttl(removed(user)).await, -1);
    }
    assert_eq!(ttl(removed("e")).await, -2);
}

/// The log and the epoch go when nobody uses the feed; and when the log is gone the rules come first.
#[tokio::test]
async fn a_rule_survives_the_feed() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    redis.store.append_feed(&[added("b", UNLIMITED), added("a", UNLIMITED)]).await.unwrap();
    let first = redis.store.read_feed(None, 10).await.unwrap();
    redis.pass(USUAL.feed_horizon * 2 + Duration::from_hours(24)).await;
    let keys: Vec<String> = command(&mut connection, &["KEYS", "*"]).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(users(&redis).await, ["b", "a"]);
    let page = redis.store.read_feed(None, 10).await.unwrap();
    assert_ne!(page.epoch.id, first.epoch.id);
    assert_eq!((page.last, page.is_last()), (first.last, true));
    let known = FeedPosition { epoch: page.epoch.id.clone(), at: page.cursor };
    for _ in 0..2 {
        let again = redis.store.read_feed(Some(&known), 10).await.unwrap();
        assert_eq!((again.epoch, again.entries), (page.epoch.clone(), Vec::new()), "nothing is missed");
    }
    redis.store.append_feed(&[added("c", UNLIMITED)]).await.unwrap();
    assert_eq!(redis.store.read_feed(Some(&known), 10).await.unwrap().entries.len(), 1);
    assert_eq!(users(&redis).await, ["b", "a", "c"]);
}

/// As its age makes it be, in the end.
#[tokio::test]
async fn a_trimmed_log_leaves_the_rules() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    redis.store.append_feed(&[added("a", UNLIMITED)]).await.unwrap();
    redis.store.append_feed(&[added("b", UNLIMITED)]).await.unwrap();
    let at = redis.store.append_feed(&[added("a", UNLIMITED)]).await.unwrap().to_string();
    command::<i64>(&mut connection, &["XTRIM", LOG, "MINID", &at]).await;
    command::<i64>(&mut connection, &["HSET", EPOCH, "trimmed", &at]).await;
    assert_eq!(users(&redis).await, ["b", "a"]);
    command::<i64>(&mut connection, &["XTRIM", LOG, "MAXLEN", "0"]).await;
    assert_eq!(users(&redis).await, ["b", "a"]);
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_an_error_and_not_left_out() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    redis.store.append_feed(&[added("a", UNLIMITED)]).await.unwrap();
    command::<i64>(&mut connection, &["XTRIM", LOG, "MAXLEN", "0"]).await;
    for (field, value) in [("until", "soon"), ("change", "{"), ("change", "{\"kind\":5}")] {
        let fields = if field == "until" { [value, "{}"] } else { ["253402300799", value] };
        command::<i64>(&mut connection, &["DEL", STANDING]).await;
        let entry = ["XADD", STANDING, "5-0", "until", fields[0], "change", fields[1], "rule", "id"];
        command::<String>(&mut connection, &entry).await;
        let error = redis.store.read_feed(None, 10).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{value}");
    }
}
