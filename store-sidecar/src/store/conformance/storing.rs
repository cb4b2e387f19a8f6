//! Promises on what is stored, and that it comes back.

use serde_json::json;
use session_gate_protocol::{CheckVerdict, Metadata, SessionStatus, SlotTag, UnixSeconds};

use super::{
    CreateSession, Harness, LIFETIME, SETTINGS, Store, check, check_token, create, end_all, get, id, metadata, op,
    patch, plain, secs, token, user,
};
use crate::store::{MAX_LIFETIME, StoreErrorKind, Termination, Update};

/// What create answers is what get answers, and has what the client gave.
pub async fn a_new_session_is_answered_as_it_is_stored<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let mut new = plain(&alice, 1);
    new.idle_timeout = Some(secs(100));
    new.session.ip_address = Some("192.0.2.1".to_owned());
    new.session.user_agent = Some("agent \"quoted\" ü".to_owned());
    new.session.location = Some(String::new());
    // Beyond what a double can hold, and in an order of its own.
    let exact = r#"{"plan":"pro","n":123456789012345678901234567890,"f":0.10}"#;
    new.session.metadata = serde_json::from_str(exact).unwrap();
    let created = create(harness.store(), new.clone()).await;
    assert_eq!(created, new.created_at(created.created_at, created.generation));
    assert_eq!(created.status, SessionStatus::Active);
    assert_eq!((created.version, created.idle_timeout), (1, Some(100)));
    assert_eq!(created.expires_at, created.created_at.after(LIFETIME));
    assert_eq!(get(harness.store(), &created.session_id).await, created);
    assert_eq!(harness.store().user_sessions(&alice).await.unwrap(), [created]);
}

/// `pending_2fa` is a status to start with.
pub async fn a_session_may_start_without_its_second_factor<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let mut new = plain(&alice, 1);
    new.session.pending_2fa = true;
    let created = create(harness.store(), new).await;
    assert_eq!(created.status, SessionStatus::Pending2fa);
    assert_eq!(check(harness.store(), &alice, &created.session_id).await, CheckVerdict::SessionPending2fa);
}

/// A second session under the same id is a conflict, and leaves the first as it was.
pub async fn an_id_is_given_out_once<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let first = create(harness.store(), plain(&alice, 1)).await;
    let mut second = plain(&alice, 1);
    second.session.location = Some("elsewhere".to_owned());
    let error = harness.store().create_session(second.clone(), op()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(get(harness.store(), &first.session_id).await, first);
    harness.store().terminate_session(&first.session_id, op()).await.unwrap();
    let error = harness.store().create_session(second, op()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "an ended session keeps its id");
}

/// An id carries its user's tag.
pub async fn an_id_made_for_another_user_is_refused<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let wrong = CreateSession { id: id(&user("bob"), 1), ..plain(&user("alice"), 1) };
    let error = harness.store().create_session(wrong, op()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(harness.store().session(&id(&user("bob"), 1)).await.unwrap(), None);
}

/// Numbers to the last digit, empty arrays as arrays, nulls and text of any kind.
pub async fn json_comes_back_as_it_went_in<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let text = r#"{
        "empty_array": [], "empty_object": {}, "nested": [[], {}, [[]]], "null": null,
        "large": 18446744073709551615, "small": -9223372036854775808, "float": 0.1, "tenth": 1e-7,
        "last_digit": 179.76931348623157, "one": 1.0, "text": "a\u0000\u001f\"\\/ü\ud83d\ude00", "": true
    }"#;
    let given: Metadata = serde_json::from_str(text).unwrap();
    let mut new = plain(&alice, 1);
    new.session.metadata = given.clone();
    let created = create(harness.store(), new).await;
    assert_eq!(get(harness.store(), &created.session_id).await.metadata, given);
    let other = patch(json!({ "location": "x" }));
    harness.store().update_session(&created.session_id, &other, None, op()).await.unwrap();
    let read = get(harness.store(), &created.session_id).await;
    assert_eq!(read.metadata, given);
    assert_eq!(serde_json::to_string(&read.metadata).unwrap(), serde_json::to_string(&given).unwrap());
}

/// At the limit it is stored, beyond it nothing is.
pub async fn oversized_metadata_is_refused<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let of_size = |bytes: usize| metadata(json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) }));
    let mut fits = plain(&alice, 1);
    fits.session.metadata = of_size(SETTINGS.max_metadata_bytes);
    create(harness.store(), fits).await;
    let mut too_large = plain(&alice, 2);
    too_large.session.metadata = of_size(SETTINGS.max_metadata_bytes + 1);
    let error = harness.store().create_session(too_large, op()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(harness.store().session(&id(&alice, 2)).await.unwrap(), None);
}

/// Whatever a user id may hold, it names that user and no other.
pub async fn unusual_user_ids_are_kept_apart<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let long = "é".repeat(128);
    let almost = format!("{}x", "é".repeat(127));
    let texts = ["a", "A", "a b", "{a}", "}a{", "a:sess:b", "'\"\\", "jos\u{e9}", "jose\u{301}", "*", &long, &almost];
    let users = texts.map(user);
    for user in &users {
        create(harness.store(), plain(user, 1)).await;
        let expires_at = UnixSeconds(u64::MAX);
        harness.store().revoke_token(user, &token("{t}:'\"*"), expires_at).await.unwrap();
    }
    for (at, user) in users.iter().enumerate() {
        let listed = harness.store().user_sessions(user).await.unwrap();
        assert_eq!(listed.len(), 1, "{user:?}");
        assert!(listed.iter().all(|session| session.user_id == *user));
        assert_eq!(check(harness.store(), user, &id(user, 1)).await, CheckVerdict::Live);
        assert_eq!(check_token(harness.store(), user, &token("{t}:'\"*")).await, CheckVerdict::TokenRevoked);
        assert_eq!(check_token(harness.store(), user, &token("{t}:'\"")).await, CheckVerdict::Live);
        end_all(harness.store(), user).await;
        assert_eq!(harness.store().user_sessions(user).await.unwrap(), []);
        for later in users.iter().skip(at + 1) {
            assert_eq!(harness.store().user_sessions(later).await.unwrap().len(), 1, "{user:?} took {later:?}");
        }
    }
}

/// A tag has 36 bits: two users may share one, and nothing else.
pub async fn users_with_one_tag_are_kept_apart<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let (one, other) = (user("user-130570"), user("user-428401"));
    assert_eq!(SlotTag::of_user(&one), SlotTag::of_user(&other), "chosen for this");
    let session = create(harness.store(), plain(&one, 1)).await;
    let others = create(harness.store(), plain(&other, 2)).await;
    harness.store().revoke_token(&one, &token("t"), UnixSeconds(u64::MAX)).await.unwrap();
    assert_eq!(check(harness.store(), &other, &session.session_id).await, CheckVerdict::SessionUnknown);
    assert_eq!(check_token(harness.store(), &other, &token("t")).await, CheckVerdict::Live);
    assert_eq!(end_all(harness.store(), &other).await, others.generation + 1);
    assert_eq!(harness.store().user_sessions(&one).await.unwrap(), [session]);
    assert_eq!(check(harness.store(), &one, &id(&one, 1)).await, CheckVerdict::Live);
}

/// "Not found" is an answer.
pub async fn what_is_unknown_is_no_error<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let store = harness.store();
    let alice = user("alice");
    assert_eq!(store.session(&id(&alice, 1)).await.unwrap(), None);
    assert_eq!(store.update_session(&id(&alice, 1), &patch(json!({})), None, op()).await.unwrap(), Update::NotFound);
    assert_eq!(store.terminate_session(&id(&alice, 1), op()).await.unwrap(), Termination::NotFound);
    assert_eq!(store.user_sessions(&alice).await.unwrap(), []);
    assert_eq!(store.begin_cut_off(&alice, None, 0).await.unwrap().listed, 0);
}

/// Nothing overflows: what is longer than the longest lifetime lasts that long.
pub async fn the_longest_lifetimes_are_held<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    let mut new = plain(&alice, 1);
    new.duration = secs(u64::MAX);
    new.idle_timeout = Some(secs(u64::MAX));
    let created = create(harness.store(), new).await;
    assert_eq!(created.expires_at, created.created_at.after(MAX_LIFETIME));
    assert_eq!(created.idle_timeout, Some(MAX_LIFETIME.as_secs()));
    assert_eq!(get(harness.store(), &created.session_id).await, created);
    harness.store().revoke_token(&alice, &token("t"), UnixSeconds(u64::MAX)).await.unwrap();
    assert_eq!(check_token(harness.store(), &alice, &token("t")).await, CheckVerdict::TokenRevoked);
}

/// By when they expire, which for sessions of one life is when they were created.
pub async fn the_list_is_newest_first<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    let alice = user("alice");
    for number in [2, 3, 1] {
        create(harness.store(), plain(&alice, number)).await;
        harness.pass(secs(10)).await;
    }
    let listed = harness.store().user_sessions(&alice).await.unwrap();
    let ids: Vec<_> = listed.into_iter().map(|session| session.session_id).collect();
    assert_eq!(ids, [id(&alice, 1), id(&alice, 3), id(&alice, 2)]);
}

/// A store that works is healthy.
pub async fn health_names_the_store<H: Harness>() {
    let harness = H::start(SETTINGS).await;
    create(harness.store(), plain(&user("alice"), 1)).await;
    let health = harness.store().health().await.unwrap();
    assert!(!health.backend.is_empty());
    assert!(matches!(health.active_sessions, None | Some(1)));
}
