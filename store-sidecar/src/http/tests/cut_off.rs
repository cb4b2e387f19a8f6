//! How all sessions of a user end, how many there may be, and what becomes of a store that has lost an end.

use serde_json::json;
use session_gate_protocol::{CutOff, FeedChange, Scopes};

use super::{feed::id_of, *};

const ALL: &str = "/v1/users/alice/sessions";

fn of(path: &str) -> Value {
    json!({"user_id": "alice", "session_id": id_of(path), "token_id": "t"})
}

async fn tell(gate: &Gate, change: FeedChange) {
    gate.store.append_feed(&[NewFeedEntry { until: crate::store::UNLIMITED, change }]).await.unwrap();
}

fn generation(gate: &Gate, token: &str) -> u64 {
    gate.keys.get().verify(token, "session-gate", "api").unwrap().claims().generation
}

#[tokio::test(start_paused = true)]
async fn all_but_one_end_and_later_logins_are_of_the_next_generation() {
    let gate = Gate::new();
    let (first, first_token) = gate.login("alice").await;
    let (second, _) = gate.login("alice").await;
    let except = format!("{ALL}?except={}", id_of(&first));
    assert_eq!(gate.delete(&except).await.json(), json!({"terminated": 1}));
    assert_eq!(verdict(&gate.check(&of(&first)).await), "live");
    assert_eq!(verdict(&gate.check(&of(&second)).await), "session_terminated");
    let (third, third_token) = gate.login("alice").await;
    let before = generation(&gate, &first_token) + 1;
    assert_eq!(generation(&gate, &third_token), before);
    let renewed = gate.post("/v1/tokens", json!({"session_id": id_of(&first)})).await.json();
    let survivor = generation(&gate, renewed["token"].as_str().unwrap());
    assert_eq!(survivor, before, "the survivor goes with them from now on");
    let entries = gate.store.read_feed(None, 10).await.unwrap().entries;
    let expected =
        CutOff { user_id: "alice".parse().unwrap(), before, issued_until: START, except: Some(id_of(&first)) };
    assert_eq!(entries[0].change, FeedChange::UserSessionsEnded(expected));
    // Only a live session of the user's can go on.
    for path in [&second, &gate.login("bob").await.0] {
        let refused = gate.delete(&format!("{ALL}?except={}", id_of(path))).await;
        assert_eq!(refused.problem(), problem(404, "not_found", &[]));
    }
    let wrong = gate.delete(&format!("{ALL}?except=x")).await;
    assert_eq!(wrong.problem(), problem(400, "invalid_request", &["except"]));
    assert_eq!(verdict(&gate.check(&of(&third)).await), "live");
    gate.post("/v1/logout", json!({"token": third_token, "all": true})).await;
    for path in [&first, &second, &third] {
        assert_eq!(verdict(&gate.check(&of(path)).await), "session_terminated");
    }
    assert!(!gate.is_active(&first_token).await);
}

/// Whoever holds one that is to end must not be able to save it by ending all others at the same moment; and not at any
/// later one, where the call that was to end it has died on its way.
#[tokio::test(start_paused = true)]
async fn all_but_one_saves_no_session_that_is_to_end() {
    for step in ["append_feed", "finish_cut_off"] {
        for dies in [false, true] {
            let (gate, faults) = faulty(None);
            let (held, token) = gate.login("alice").await;
            let (other, _) = gate.login("alice").await;
            let request = || Request::delete(format!("{ALL}?except={}", id_of(&held))).body(Body::empty()).unwrap();
            if dies {
                faults.fail(Some(step));
            } else {
                let (router, request) = (gate.router.clone(), request());
                faults.interrupt(step, async move {
                    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::NOT_FOUND);
                });
            }
            let status = gate.delete(ALL).await.status;
            assert_eq!(status, if dies { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK });
            faults.fail(None);
            assert_eq!(gate.send(request()).await.problem(), problem(404, "not_found", &[]), "{step}, dies: {dies}");
            for path in [&held, &other] {
                assert_eq!(verdict(&gate.check(&of(path)).await), "session_terminated", "{step}, dies: {dies}");
            }
            let entries = gate.store.read_feed(None, 10).await.unwrap().entries;
            let expected = |change: &FeedChange| match change {
                FeedChange::UserSessionsEnded(cut_off) => (cut_off.before, cut_off.except.clone()),
                other => panic!("{other:?}"),
            };
            let before = generation(&gate, &token) + 1;
            assert!(!entries.is_empty());
            assert!(entries.iter().all(|entry| expected(&entry.change) == (before, None)), "{entries:?}");
        }
    }
}

/// The store has lost that it has ended: it would be brought back.
#[tokio::test(start_paused = true)]
async fn a_session_that_the_feed_says_has_ended_cannot_be_the_one_that_goes_on() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    let (user_id, before) = ("alice".parse().unwrap(), generation(&gate, &token) + 1);
    tell(&gate, FeedChange::UserSessionsEnded(CutOff { user_id, before, issued_until: START, except: None })).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let refused = gate.delete(&format!("{ALL}?except={}", id_of(&path))).await;
    assert_eq!(refused.problem(), problem(404, "not_found", &[]));
    assert_eq!(verdict(&gate.check(&of(&path)).await), "session_terminated");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_other_issuers_go_with_all_sessions_by_when_they_were_issued() {
    let gate = Gate::new();
    gate.login("alice").await;
    gate.delete(ALL).await;
    let ask = async |sub: &str, iat: Value| {
        let claims = json!({"iss": "https://idp", "sub": sub, "iat": iat});
        let credential = json!({"kind": "foreign", "claims": claims, "require_session": false});
        verdict(&gate.post("/v1/check", json!({ "credential": credential })).await)
    };
    assert_eq!(ask("alice", json!(START.0)).await, "token_revoked");
    assert_eq!(ask("alice", Value::Null).await, "token_revoked");
    assert_eq!(ask("alice", json!(START.0 + 1)).await, "live");
    assert_eq!(ask("bob", json!(START.0)).await, "live");
}

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_in_pages_without_their_metadata() {
    let gate = Gate::new();
    for number in 0..3 {
        gate.post("/v1/sessions", json!({"user_id": "alice", "metadata": {"n": number}})).await;
        gate.clock.advance(Duration::from_secs(1));
    }
    let first = gate.get(&format!("{ALL}?limit=2")).await.json();
    assert_eq!(first["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(first["sessions"][0].get("metadata"), None);
    assert_eq!(first["sessions"][0]["created_at"], START.0 + 2, "the newest comes first");
    let next = first["next"].as_str().unwrap();
    let last = gate.get(&format!("{ALL}?limit=2&after={next}")).await.json();
    assert_eq!((last["sessions"].as_array().unwrap().len(), last.get("next")), (1, None));
    let alone = gate.get(&format!("/v1/sessions/{}", last["sessions"][0]["session_id"].as_str().unwrap())).await;
    assert_eq!(alone.json()["metadata"], json!({"n": 0}));
    for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("after=x", "after"), ("more=1", "more")] {
        assert_eq!(gate.get(&format!("{ALL}?{query}")).await.problem(), problem(400, "invalid_request", &[field]));
    }
}

/// The store serves what has ended: it has lost data.
#[tokio::test(start_paused = true)]
async fn what_has_ended_stays_so_and_a_store_that_has_lost_it_is_mended() {
    let gate = Gate::new();
    let (ended, _) = gate.login("alice").await;
    tell(&gate, FeedChange::SessionEnded { session_id: id_of(&ended) }).await;
    let refused = gate.post("/v1/tokens", json!({"session_id": id_of(&ended)})).await;
    assert_eq!(refused.problem(), problem(409, "state_conflict", &[]), "minting asks the feed");
    gate.settle().await;
    assert_eq!(gate.store.session(&id_of(&ended)).await.unwrap().unwrap().status.as_str(), "terminated");

    let (cut, _) = gate.login("alice").await;
    let (spared, spared_token) = gate.login("alice").await;
    let before = generation(&gate, &spared_token) + 7;
    let cut_off = |before, except: &str| {
        let (user_id, except) = ("alice".parse().unwrap(), Some(id_of(except)));
        FeedChange::UserSessionsEnded(CutOff { user_id, before, issued_until: START, except })
    };
    tell(&gate, cut_off(before, &spared)).await;
    assert_eq!(verdict(&gate.check(&of(&cut)).await), "session_terminated");
    assert_eq!(verdict(&gate.check(&of(&spared)).await), "live");
    gate.settle().await;
    assert_eq!(gate.store.session(&id_of(&cut)).await.unwrap().unwrap().status.as_str(), "terminated");
    assert_eq!(gate.store.session(&id_of(&spared)).await.unwrap().unwrap().status.as_str(), "active");
    let (_, token) = gate.login("alice").await;
    assert_eq!(generation(&gate, &token), before, "who logs in now is not dead at birth");
    assert!(gate.is_active(&token).await);

    let metrics = gate.get("/metrics").await.text;
    for what in ["cut_off", "end"] {
        let line = format!("session_gate_store_repairs_total{{what=\"{what}\",outcome=\"ok\"}} 1\n");
        assert!(metrics.contains(&line), "{line} {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_that_the_store_has_lost_counts_and_can_be_lifted() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    assert!(gate.is_active(&token).await);
    tell(&gate, FeedChange::SessionSuspended { session_id: id_of(&path), version: 4 }).await;
    assert_eq!(verdict(&gate.check(&of(&path)).await), "session_suspended");
    assert!(!gate.is_active(&token).await);
    assert_eq!(gate.get(&path).await.json()["status"], "suspended");
    gate.settle().await;
    let stored = gate.store.session(&id_of(&path)).await.unwrap().unwrap();
    assert_eq!((stored.status.as_str(), stored.version), ("suspended", 4));
    assert_eq!(gate.patch(&path, json!({"status": "active"})).await.json()["version"], 5);
    assert_eq!(verdict(&gate.check(&of(&path)).await), "live");
}

/// They would pass for later than what was lost, and lift it.
#[tokio::test(start_paused = true)]
async fn changes_undo_nothing_that_the_store_has_lost() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    let lost = FeedChange::SessionSuspended { session_id: id_of(&path), version: 2 };
    tell(&gate, lost).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    for (location, version) in [("CH", 3), ("DE", 4)] {
        let changed = gate.patch(&path, json!({ "location": location })).await.json();
        assert_eq!((&changed["status"], &changed["version"]), (&json!("suspended"), &json!(version)));
        assert_eq!(verdict(&gate.check(&of(&path)).await), "session_suspended");
    }
    assert!(!gate.is_active(&token).await);

    let created = gate.post("/v1/sessions", json!({"user_id": "bob", "scopes": ["read", "write"]})).await.json();
    let path = format!("/v1/sessions/{}", created["session_id"].as_str().unwrap());
    let scopes = Some(Scopes::parse_list("read").unwrap());
    tell(&gate, FeedChange::SessionScopes { session_id: id_of(&path), version: 2, scopes }).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let more = gate.post("/v1/tokens", json!({"session_id": id_of(&path), "scopes": ["write"]})).await;
    assert_eq!(more.problem(), problem(400, "invalid_request", &["scopes"]), "minting asks the feed");
    assert_eq!(gate.patch(&path, json!({"location": "CH"})).await.json()["scopes"], json!(["read"]));
    assert_eq!(
        gate.store.session(&id_of(&path)).await.unwrap().unwrap().scopes,
        Some(Scopes::parse_list("read").unwrap())
    );
}

/// Nobody knows what it takes back.
#[tokio::test(start_paused = true)]
async fn a_change_that_must_be_understood_and_is_not_known_leaves_nothing_to_judge_by() {
    let gate = Gate::new();
    let (path, _) = gate.login("alice").await;
    let unknown = |must_understand| {
        serde_json::from_value::<FeedChange>(json!({"kind": "new", "must_understand": must_understand})).unwrap()
    };
    tell(&gate, unknown(false)).await;
    assert_eq!(verdict(&gate.check(&of(&path)).await), "live");
    tell(&gate, unknown(true)).await;
    assert_eq!(gate.check(&of(&path)).await.problem(), problem(503, "store_unavailable", &[]));
    let claims = json!({"iss": "https://idp", "sub": "alice", "iat": START.0});
    let foreign = json!({"credential": {"kind": "foreign", "claims": claims, "require_session": false}});
    assert_eq!(gate.post("/v1/check", foreign).await.problem(), problem(503, "store_unavailable", &[]));
    let minted = gate.post("/v1/tokens", json!({"session_id": id_of(&path)})).await;
    assert_eq!(minted.problem(), problem(503, "store_unavailable", &[]));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_session_that_the_store_has_set_back_is_later_than_what_everybody_knows() {
    let gate = Gate::new();
    let (path, token) = gate.login("alice").await;
    assert!(gate.is_active(&token).await);
    tell(&gate, FeedChange::SessionSuspended { session_id: id_of(&path), version: 4 }).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(gate.patch(&path, json!({"status": "active"})).await.json()["version"], 5);
    assert_eq!(verdict(&gate.check(&of(&path)).await), "live");
    tell(&gate, FeedChange::SessionEnded { session_id: id_of(&path) }).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(gate.patch(&path, json!({"location": "CH"})).await.problem(), problem(409, "state_conflict", &[]));
}

/// A filter of before refuses fields that it does not know.
#[tokio::test(start_paused = true)]
async fn who_speaks_the_first_version_is_answered_in_its_form() {
    let gate = Gate::new();
    gate.login("alice").await;
    gate.delete(ALL).await;
    let (path, token) = gate.login("alice").await;
    let feed = "/v1/feed?worker=w&max_staleness_ms=1000";
    let check = json!({"credential": {"kind": "own", "user_id": "alice", "session_id": id_of(&path), "token_id": "t"}});
    let ask = async |version: Option<&str>| {
        let with = |request: axum::http::request::Builder| match version {
            Some(version) => request.header(session_gate_protocol::PROTOCOL_HEADER, version),
            None => request,
        };
        let reply = gate.send(with(Request::get(feed)).body(Body::empty()).unwrap()).await.json();
        let request = with(Request::post("/v1/check")).header("content-type", "application/json");
        let checked = gate.send(request.body(Body::from(check.to_string())).unwrap()).await.json();
        (reply.get("protocol").cloned(), checked["session"].get("generation").cloned())
    };
    for old in [None, Some("1"), Some("x")] {
        assert_eq!(ask(old).await, (None, None), "{old:?}");
    }
    for new in ["2", "3"] {
        assert_eq!(ask(Some(new)).await, (Some(json!(2)), Some(json!(generation(&gate, &token)))), "{new}");
    }
}
