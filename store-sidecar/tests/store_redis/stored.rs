//! What stands in Redis: pinned, since other versions of the sidecar read it, and bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use session_gate_protocol::{CheckVerdict, Claims, Scopes, SessionData, SessionStatus, UnixSeconds};
use store_sidecar::store::conformance::{Harness as _, LIFETIME, op};
use store_sidecar::store::{
    CreateSession, LockRules, LoginAttempt, LoginCounter, LoginCounters as _, LoginHash, RefreshPut, Renewal, Renewed,
    Rotation, Store as _, StoreErrorKind, StoreSettings, Termination, Update,
};

use crate::harness::{Redis, USUAL, check, new_session, poll_until};

const SESSION: &str = "sg1:{K9gGyX}:sess:K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
const INDEX: &str = "sg1:{K9gGyX}:user:K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA";
const CUT_OFFS: &str = "sg1:{K9gGyX}:cutoffs";
const REVOKED: &str = "sg1:{K9gGyX}:revoked:lzjWYdlzySwZii1DPWl6U5yhBc5kIk5D0E3QJvkBmLA";

async fn keys(connection: &mut MultiplexedConnection) -> Vec<String> {
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(connection).await.unwrap();
    keys.sort();
    keys
}

async fn expires_at(connection: &mut MultiplexedConnection, key: &str) -> u64 {
    let ttl: u64 = redis::cmd("TTL").arg(key).query_async(connection).await.unwrap();
    let (now, _): (u64, u64) = redis::cmd("TIME").query_async(connection).await.unwrap();
    now + ttl
}

async fn create_alices(redis: &Redis) -> SessionData {
    let mut new = new_session("alice", 7);
    new.idle_timeout = Some(Duration::from_secs(300));
    new.session.ip_address = Some("192.0.2.1".to_owned());
    new.session.metadata = serde_json::from_value(json!({ "b": {}, "a": [] })).unwrap();
    redis.store.create_session(new, op()).await.unwrap()
}

/// Golden: what is changed here makes every stored session unreadable to the other version.
#[tokio::test]
async fn a_session_is_stored_in_the_form_that_is_documented() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let session = create_alices(&redis).await;
    redis.store.revoke_token(&session.user_id, &"token-1".parse().unwrap(), session.expires_at).await.unwrap();
    assert_eq!(keys(&mut connection).await, [CUT_OFFS, REVOKED, SESSION, INDEX]);

    let now = session.created_at.0.to_string();
    let end = session.expires_at.0.to_string();
    let generation = session.generation.to_string();
    let mut stored: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(SESSION).query_async(&mut connection).await.unwrap();
    assert_eq!(stored.remove("op").unwrap().len(), 32);
    // In microseconds.
    assert_eq!(stored.remove("made").unwrap().len(), now.len() + 6);
    let expected = [
        ("created_at", now.as_str()),
        ("data", r#"{"ip_address":"192.0.2.1","metadata":{"a":[],"b":{}}}"#),
        ("expires_at", &end),
        ("format", "1"),
        ("generation", &generation),
        ("idle_timeout", "300"),
        ("index", "K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA"),
        ("last_activity", &now),
        ("status", "active"),
        ("user_id", "alice"),
        ("version", "1"),
    ];
    assert_eq!(stored, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let members: Vec<(String, u64)> =
        redis::cmd("ZRANGE").arg(INDEX).arg(0).arg(-1).arg("WITHSCORES").query_async(&mut connection).await.unwrap();
    assert_eq!(members, [(session.session_id.to_string(), session.expires_at.0)]);
    let until: String = redis::cmd("GET").arg(REVOKED).query_async(&mut connection).await.unwrap();
    assert_eq!(until, end);
}

/// Golden, too: what continues a session's tokens stands in its record, and goes with its end.
#[tokio::test]
async fn successors_are_stored_with_their_session_until_it_ends() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let session = create_alices(&redis).await;
    let (id, user_id) = (&session.session_id, session.user_id.clone());
    let renewal = Renewal { user_id, shown: 3, replaced: 4, sealed: "box".to_owned() };
    // The token that is shown is the fourth; it had a fifth, which has expired.
    let earlier = Renewal { replaced: 3, ..renewal.clone() };
    for renewal in [&earlier, &renewal] {
        assert_eq!(redis.store.renew_token(id, renewal).await.unwrap(), Renewed::Stored { is_persistent: false });
    }
    assert_eq!(redis.store.put_refresh_record(id, None, "text").await.unwrap(), RefreshPut::Done);
    let fields = ["renewal", "predecessor", "successor", "refresh"];
    let stored: Vec<Option<String>> =
        redis::cmd("HMGET").arg(SESSION).arg(&fields).query_async(&mut connection).await.unwrap();
    assert_eq!(stored, ["5", "3", "box", "text"].map(|text| Some(text.to_owned())));
    redis.store.terminate_session(id, op()).await.unwrap();
    let stored: Vec<Option<String>> =
        redis::cmd("HMGET").arg(SESSION).arg(&fields).query_async(&mut connection).await.unwrap();
    assert_eq!(stored, [None, None, None, None]);
    assert_eq!(keys(&mut connection).await, [CUT_OFFS, SESSION], "no other key was made");
}

/// Golden, too.
#[tokio::test]
async fn a_cut_off_is_stored_in_the_form_that_is_documented() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let session = create_alices(&redis).await;
    for _ in 0..2 {
        redis.store.begin_cut_off(&session.user_id, None, 0).await.unwrap();
    }
    let (before, current) = (session.generation + 1, session.generation + 2);
    redis.store.finish_cut_off(&session.user_id, before, None).await.unwrap();
    let stored: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(CUT_OFFS).query_async(&mut connection).await.unwrap();
    let name = |what| format!("K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA:{what}");
    let expected = [("begun", current), ("ended_before", before), ("generation", current)];
    let mut expected: BTreeMap<_, _> = expected.map(|(what, is)| (name(what), is.to_string())).into();
    expected.insert(name("except"), String::new());
    assert_eq!(stored, expected);
    let other = redis.store.create_session(new_session("alice", 8), op()).await.unwrap();
    let key = SESSION.replace(session.session_id.as_str(), other.session_id.as_str());
    let generation: String = redis::cmd("HGET").arg(key).arg("generation").query_async(&mut connection).await.unwrap();
    assert_eq!((generation, other.generation), (current.to_string(), current));
    // What cannot be read has ended, if in doubt.
    redis::cmd("HSET").arg(CUT_OFFS).arg(name("ended_before")).arg("x").exec_async(&mut connection).await.unwrap();
    assert_eq!(check(&redis.store, &other).await.unwrap(), CheckVerdict::SessionTerminated);
    assert_eq!(redis.store.session(&other.session_id).await.unwrap().unwrap().status, SessionStatus::Terminated);
}

/// Golden, too.
#[tokio::test]
async fn scopes_and_opaque_tokens_are_stored_in_the_form_that_is_documented() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let mut new = new_session("alice", 7);
    new.session.scopes = Some(Scopes::parse_list("write read").unwrap());
    new.session.class = Some("remember".to_owned());
    new.is_persistent = true;
    let session = redis.store.create_session(new, op()).await.unwrap();
    let scopes: Option<String> =
        redis::cmd("HGET").arg(SESSION).arg("scopes").query_async(&mut connection).await.unwrap();
    assert_eq!(scopes.as_deref(), Some("read write"));
    let fields: Vec<Option<String>> =
        redis::cmd("HMGET").arg(SESSION).arg("class").arg("persistent").query_async(&mut connection).await.unwrap();
    assert_eq!(fields, [Some("remember".to_owned()), Some("1".to_owned())]);
    let none = serde_json::from_value(json!({ "scopes": null })).unwrap();
    redis.store.update_session(&session.session_id, &none, None, op()).await.unwrap();
    let scopes: Option<String> =
        redis::cmd("HGET").arg(SESSION).arg("scopes").query_async(&mut connection).await.unwrap();
    assert_eq!(scopes, None);

    let claims = serde_json::from_value(json!({
        "iss": "i", "sub": "alice", "aud": "a", "exp": 9, "nbf": 1, "iat": 1, "jti": "t", "scope": "read",
    }));
    let claims: Claims = claims.unwrap();
    redis.store.put_opaque(&session.session_id.tag(), "HASH", &claims, session.expires_at).await.unwrap();
    let key = "sg1:{K9gGyX}:opaque:HASH";
    let stored: BTreeMap<String, String> = redis::cmd("HGETALL").arg(key).query_async(&mut connection).await.unwrap();
    let end = session.expires_at.0.to_string();
    let json = r#"{"iss":"i","sub":"alice","aud":"a","exp":9,"nbf":1,"iat":1,"jti":"t","scope":"read"}"#;
    let expected = [("claims", json), ("expires_at", end.as_str()), ("format", "1")];
    assert_eq!(stored, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(expires_at(&mut connection, key).await.abs_diff(session.expires_at.0) <= 1);
    for (field, value) in [("format", "2"), ("claims", "{")] {
        redis.store.put_opaque(&session.session_id.tag(), "HASH", &claims, session.expires_at).await.unwrap();
        redis::cmd("HSET").arg(key).arg(field).arg(value).exec_async(&mut connection).await.unwrap();
        let error = redis.store.opaque(&session.session_id.tag(), "HASH").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{field}");
    }
}

#[tokio::test]
async fn everything_ends_with_what_it_is_about() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let session = create_alices(&redis).await;
    redis.store.revoke_token(&session.user_id, &"token-1".parse().unwrap(), session.expires_at).await.unwrap();
    let end = session.expires_at.0;
    let near = |moment: u64, wanted: u64| moment.abs_diff(wanted) <= 1;
    assert!(near(expires_at(&mut connection, SESSION).await, end + USUAL.retention.as_secs()));
    assert!(near(expires_at(&mut connection, INDEX).await, end));
    assert!(near(expires_at(&mut connection, REVOKED).await, end));
    redis.store.terminate_session(&session.session_id, op()).await.unwrap();
    assert_eq!(keys(&mut connection).await, [CUT_OFFS, REVOKED, SESSION], "no index without a session");
    let forgotten = expires_at(&mut connection, SESSION).await;
    assert!(forgotten < end + USUAL.retention.as_secs() - 500, "the retention begins when it ends");
    let other = redis.store.create_session(new_session("alice", 8), op()).await.unwrap();
    let ended = serde_json::from_value(json!({ "status": "terminated" })).unwrap();
    redis.store.update_session(&other.session_id, &ended, None, op()).await.unwrap();
    assert!(!keys(&mut connection).await.contains(&INDEX.to_owned()), "nor after a patch that terminates");
    let idle = CreateSession { idle_timeout: Some(Duration::from_secs(100)), ..new_session("alice", 9) };
    let session = redis.store.create_session(idle, op()).await.unwrap();
    redis.pass(Duration::from_secs(100)).await;
    assert!(keys(&mut connection).await.contains(&INDEX.to_owned()));
    assert_eq!(redis.store.user_sessions(&session.user_id).await.unwrap(), []);
    assert!(!keys(&mut connection).await.contains(&INDEX.to_owned()), "nor after a look at an idle one");
    let last = redis.store.create_session(new_session("alice", 10), op()).await.unwrap();
    let begun = redis.store.begin_cut_off(&session.user_id, None, 0).await.unwrap();
    redis.store.finish_cut_off(&session.user_id, begun.before, None).await.unwrap();
    let till = last.expires_at.after(USUAL.feed_horizon).0;
    assert!(near(expires_at(&mut connection, CUT_OFFS).await, till), "no token is left by then");
    assert_eq!(redis.store.sweep_sessions(&session.user_id, None).await.unwrap().removed, 1);
    assert!(!keys(&mut connection).await.contains(&INDEX.to_owned()), "nor after all were swept");
    redis.pass(LIFETIME + USUAL.retention + USUAL.feed_horizon).await;
    assert_eq!(keys(&mut connection).await, [""; 0]);
}

#[tokio::test]
async fn an_index_lives_as_long_as_its_latest_session_and_holds_no_older_ones() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    for number in 1..=3 {
        let mut new = new_session("alice", number);
        new.duration = Duration::from_secs(100 * u64::from(number));
        redis.store.create_session(new, op()).await.unwrap();
        redis.pass(Duration::from_secs(150)).await;
    }
    let last = redis.store.create_session(new_session("alice", 4), op()).await.unwrap();
    let members: Vec<String> =
        redis::cmd("ZRANGE").arg(INDEX).arg(0).arg(-1).query_async(&mut connection).await.unwrap();
    assert_eq!(members.len(), 2, "{members:?}");
    assert!(expires_at(&mut connection, INDEX).await.abs_diff(last.expires_at.0) <= 1);
}

/// By Redis' own clock and its own removal, without a hand on either.
#[tokio::test]
async fn time_alone_ends_and_removes_a_session() {
    let soon = Duration::from_secs(1);
    let redis = Redis::start(StoreSettings { retention: soon, feed_horizon: soon, ..USUAL }).await;
    let mut new = new_session("alice", 1);
    new.duration = soon;
    let session = redis.store.create_session(new, op()).await.unwrap();
    let verdict = async || check(&redis.store, &session).await.unwrap();
    poll_until(verdict, |verdict| *verdict != CheckVerdict::Live).await;
    poll_until(verdict, |verdict| *verdict == CheckVerdict::SessionUnknown).await;
    let mut connection = redis.connection().await;
    let left = async || keys(&mut redis.connection().await).await;
    poll_until(left, Vec::is_empty).await;
    assert_eq!(keys(&mut connection).await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_never_live() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let session = create_alices(&redis).await;
    let corrupt = async || {
        assert_eq!(check(&redis.store, &session).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(redis.store.session(&session.session_id).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let list = redis.store.user_sessions(&session.user_id).await;
        assert_eq!(list.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let ended = redis.store.terminate_session(&session.session_id, op()).await;
        assert_eq!(ended.unwrap_err().kind(), StoreErrorKind::Corrupt);
    };
    redis::cmd("HSET").arg(SESSION).arg("format").arg("2").exec_async(&mut connection).await.unwrap();
    corrupt().await;
    redis::cmd("SET").arg(SESSION).arg("x").exec_async(&mut connection).await.unwrap();
    corrupt().await;
    redis::cmd("SET").arg(REVOKED).arg("x").exec_async(&mut connection).await.unwrap();
    let request = serde_json::from_value(json!({ "user_id": "alice", "token_id": "token-1" })).unwrap();
    assert_eq!(
        redis.store.check(&request).await.unwrap().verdict,
        CheckVerdict::TokenRevoked,
        "in doubt it is revoked"
    );
}

#[tokio::test]
async fn a_full_redis_refuses_what_is_new_and_still_answers_and_ends() {
    let redis = Redis::start(StoreSettings { activity_resolution: Duration::ZERO, ..USUAL }).await;
    let session = create_alices(&redis).await;
    let other = redis.store.create_session(new_session("bob", 1), op()).await.unwrap();
    let mut connection = redis.connection().await;
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec_async(&mut connection).await.unwrap();
    let refused = redis.store.create_session(new_session("alice", 2), op()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    let rotation = Rotation { user_id: session.user_id.clone(), id: new_session("alice", 3).id, scopes: None };
    let refused = redis.store.rotate_session(&session.session_id, &rotation, op()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused, "and the old id lives on, see below");
    redis.store.revoke_token(&session.user_id, &"t".parse().unwrap(), UnixSeconds(u64::MAX)).await.unwrap();
    let suspend = serde_json::from_value(json!({ "status": "suspended" })).unwrap();
    let suspended = redis.store.update_session(&other.session_id, &suspend, None, op()).await.unwrap();
    assert!(matches!(suspended, Update::Applied(_)), "{suspended:?}");
    // Its activity would be noted now, which fails; the answer does not.
    let noted = async || {
        assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
        let (now, _): (u64, u64) = redis::cmd("TIME").query_async(&mut redis.connection().await).await.unwrap();
        now
    };
    poll_until(noted, |now| *now > session.created_at.0 + 1).await;
    assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
    assert_eq!(redis.store.terminate_session(&session.session_id, op()).await.unwrap(), Termination::Ended);
    assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::SessionTerminated);
    let begun = redis.store.begin_cut_off(&other.user_id, None, 0).await.unwrap();
    redis.store.finish_cut_off(&other.user_id, begun.before, None).await.unwrap();
    assert_eq!(check(&redis.store, &other).await.unwrap(), CheckVerdict::SessionTerminated);
    for key in keys(&mut connection).await {
        let ttl: i64 = redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(ttl > 0, "{key} has an end");
    }
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_loaded_again() {
    let redis = Redis::start(USUAL).await;
    let session = create_alices(&redis).await;
    let mut connection = redis.connection().await;
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.unwrap();
    assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
    let calls = || redis::cmd("INFO").arg("commandstats").to_owned();
    let before: String = calls().query_async(&mut connection).await.unwrap();
    assert_eq!(check(&redis.store, &session).await.unwrap(), CheckVerdict::Live);
    let after: String = calls().query_async(&mut connection).await.unwrap();
    let evals = |info: &str| info.lines().find(|line| line.starts_with("cmdstat_eval:")).map(str::to_owned);
    assert_eq!(evals(&before), evals(&after), "the second time by its hash alone");
}

/// Golden, too: what is changed here makes every lock and every known device unknown to the other version.
#[tokio::test]
async fn failed_logins_and_devices_are_stored_in_the_form_that_is_documented() {
    let redis = Redis::start(USUAL).await;
    let mut connection = redis.connection().await;
    let rules = LockRules { max_failures: 2, window: Duration::from_secs(900), longest: Duration::from_secs(1800) };
    let (alice, device) = (LoginHash::of("alice"), LoginHash::of("laptop"));
    let account = LoginCounter::Account(alice.clone());
    for counter in [&account, &account, &LoginCounter::Address(alice.clone())] {
        redis.store.login_attempt(counter, LoginAttempt::Failed, &rules).await.unwrap();
    }
    redis.store.issue_device(&alice, &device, None, Duration::from_secs(600)).await.unwrap();
    redis.store.device_attempt(&alice, &device, true, &rules).await.unwrap();
    let next = LoginHash::of("laptop's next");
    redis.store.issue_device(&alice, &next, Some(&device), Duration::from_secs(600)).await.unwrap();
    let [address, devices, failures] =
        ["address", "login", "login"].map(|tag| format!("sg1:{{{tag}.{}}}:", alice.as_str()));
    let [address, devices, failures] = [address + "failures", devices + "devices", failures + "failures"];
    assert_eq!(keys(&mut connection).await, [address.as_str(), &devices, &failures]);

    let numbers = |form: String| form.split(' ').map(|number| number.parse::<u64>().unwrap()).collect::<Vec<_>>();
    let locked: String = redis::cmd("GET").arg(&failures).query_async(&mut connection).await.unwrap();
    let [format, level, until, first, second] = numbers(locked)[..] else { panic!("five numbers") };
    assert_eq!((format, level, until), (1, 1, second + 60_000));
    assert!(first <= second);
    let open: String = redis::cmd("GET").arg(&address).query_async(&mut connection).await.unwrap();
    assert_eq!(numbers(open)[..3], [1, 0, 0]);
    const READ: &str = "return cjson.encode(cmsgpack.unpack(redis.call('GET', KEYS[1])))";
    let known: String = redis::cmd("EVAL").arg(READ).arg(1).arg(&devices).query_async(&mut connection).await.unwrap();
    let known: Value = serde_json::from_str(&known).unwrap();
    let moment = |place: &str| known.pointer(place).and_then(Value::as_u64).unwrap();
    let [end, shown, issued] = ["/1/0/0", "/1/0/1", "/1/0/4/1"].map(moment);
    assert_eq!(known, json!([1, [[end, shown, 1, [shown], [device.as_str(), issued, next.as_str(), end - 600_000]]]]));
    assert!(issued <= shown && shown <= end - 600_000);

    let ends = [expires_at(&mut connection, &failures).await, expires_at(&mut connection, &address).await];
    let wanted = [until / 1000 + 1800, second / 1000 + 900];
    assert!(ends.iter().zip(wanted).all(|(end, wanted)| end.abs_diff(wanted) <= 2), "{ends:?} {wanted:?}");
    let last = expires_at(&mut connection, &devices).await;
    assert!(last.abs_diff(end / 1000) <= 2);

    for garbage in ["", "x", "\u{1}"] {
        redis::cmd("SET").arg(&devices).arg(garbage).exec_async(&mut connection).await.unwrap();
        let asked = redis.store.device_attempt(&alice, &device, false, &rules).await.unwrap_err().kind();
        let issued =
            redis.store.issue_device(&alice, &device, None, Duration::from_secs(600)).await.unwrap_err().kind();
        assert_eq!((asked, issued), (StoreErrorKind::Corrupt, StoreErrorKind::Corrupt), "{garbage:?}");
    }
}
