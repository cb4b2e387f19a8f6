use serde_json::json;
use session_gate_protocol::{
    UnixSeconds, {AllowReason, CheckVerdict},
};

use super::*;
use crate::{
    http::headers::{HeaderChange, Headers},
    testing::{
        CLOCKS, NOW, Outcome, SESSION, at, bearer, claims, config, due, give, give_keys, jwk, new_worker, request,
        sign, step, token, token_with, verdict, worker_with,
    },
};
use session_gate_jose::NoHostCrypto;

fn call(worker: &mut Worker, method: &str, path: &str, token: &str) -> Outcome {
    let (name, value) = bearer(token);
    step(worker, 1, Event::Request(request(method, path, &[(name, &value)])))
}

/// Sends a token to `/` and has the store say that it is live.
fn admitted(worker: &mut Worker, token: &str) -> Outcome {
    let first = call(worker, "GET", "/", token);
    if !first.is_held() {
        return first;
    }
    step(worker, 1, verdict(CheckVerdict::Live))
}

fn code(worker: &mut Worker, token: &str) -> String {
    let outcome = admitted(worker, token);
    worker.forget(1, Now::default());
    outcome.code().unwrap_or_else(|| "forwarded".to_owned())
}

fn set<'a>(changes: &'a [HeaderChange], wanted: &str) -> Option<&'a [u8]> {
    changes.iter().find_map(|change| match change {
        HeaderChange::Set(name, value) if name == wanted => Some(value.as_slice()),
        _ => None,
    })
}

#[test]
fn a_good_token_of_a_live_session_passes_with_its_identity() {
    let mut worker = worker_with(config());
    let held = call(&mut worker, "GET", "/", &token());
    let asked = held.call.expect("the store is asked");
    assert_eq!(asked.cluster, "sidecar");
    assert!(asked.headers.contains(&("authorization", "Bearer the-credential-of-the-filter-in-tests".to_owned())));
    let question: serde_json::Value = serde_json::from_slice(&asked.body.unwrap()).unwrap();
    let credential = json!({"kind": "own", "user_id": "alice", "session_id": SESSION, "token_id": "t1"});
    assert_eq!(question, json!({"credential": credential}));

    let passed = step(&mut worker, 1, verdict(CheckVerdict::Live));
    let changes = passed.forwarded.unwrap();
    assert_eq!(set(&changes, "x-user-id"), Some(&b"alice"[..]));
    assert_eq!(set(&changes, "x-session-id"), Some(SESSION.as_bytes()));
    assert_eq!(set(&changes, "x-scopes"), Some(&b"read"[..]));
    assert_eq!(set(&changes, "x-token-id"), Some(&b"t1"[..]));
    assert_eq!(set(&changes, "x-token-issuer"), Some(&b"session-gate"[..]));
    assert_eq!(passed.described, ["decision=allow reason=token rule=default"]);
    assert!(passed.counted.contains(&Counter::Allow(AllowReason::Token)));
}

#[test]
fn each_verdict_but_live_refuses_with_its_reason() {
    for (said, expected) in [
        (CheckVerdict::SessionExpired, "session_expired"),
        (CheckVerdict::SessionPending2fa, "session_pending_2fa"),
        (CheckVerdict::SessionSuspended, "session_suspended"),
        (CheckVerdict::SessionTerminated, "session_terminated"),
        (CheckVerdict::SessionUnknown, "session_unknown"),
        (CheckVerdict::TokenRevoked, "token_revoked"),
    ] {
        let mut worker = worker_with(config());
        call(&mut worker, "GET", "/", &token());
        assert_eq!(step(&mut worker, 1, verdict(said)).code().as_deref(), Some(expected));
    }
}

#[test]
fn a_pending_second_factor_is_served_only_where_the_route_says_so() {
    let mut worker = worker_with(config());
    call(&mut worker, "GET", "/2fa", &token());
    let pending = step(&mut worker, 1, verdict(CheckVerdict::SessionPending2fa)).forwarded.unwrap();
    assert_eq!(set(&pending, "x-session-status"), Some(&b"pending_2fa"[..]));
    worker.forget(1, Now::default());
    call(&mut worker, "GET", "/2fa", &token());
    let whole = step(&mut worker, 1, verdict(CheckVerdict::Live)).forwarded.unwrap();
    assert_eq!(set(&whole, "x-session-status"), Some(&b"active"[..]));
    worker.forget(1, Now::default());
    call(&mut worker, "GET", "/2fa", &token());
    let suspended = step(&mut worker, 1, verdict(CheckVerdict::SessionSuspended));
    assert_eq!(suspended.code().as_deref(), Some("session_suspended"));
}

#[test]
fn tokens_are_refused_each_for_its_reason() {
    let mut worker = worker_with(config());
    assert_eq!(code(&mut worker, &token()), "forwarded");
    let header = json!({"alg": "ES256", "kid": "k1"});
    let cases = [
        ("forged", sign(2, &header, &claims()), "token_signature_invalid"),
        ("alg none", sign(1, &json!({"alg": "none", "kid": "k1"}), &claims()), "token_algorithm_refused"),
        ("another alg", sign(1, &json!({"alg": "HS256", "kid": "k1"}), &claims()), "token_algorithm_refused"),
        ("nested", sign(1, &json!({"alg": "ES256", "kid": "k1", "cty": "JWT"}), &claims()), "token_type_refused"),
        ("expired", token_with(|c| c["exp"] = json!(NOW.0)), "token_expired"),
        ("exp 0", token_with(|c| c["exp"] = json!(0)), "token_expired"),
        ("exp negative", token_with(|c| c["exp"] = json!(-1)), "token_expired"),
        ("exp just past", token_with(|c| c["exp"] = json!(NOW.0 as f64 - 0.5)), "token_expired"),
        ("exp text", token_with(|c| c["exp"] = json!((NOW.0 + 60).to_string())), "token_malformed"),
        ("no exp", token_with(|c| _ = c.as_object_mut().unwrap().remove("exp")), "token_claim_unusable"),
        ("not yet", token_with(|c| c["nbf"] = json!(NOW.0 + 1)), "token_not_yet_valid"),
        ("nbf fraction", token_with(|c| c["nbf"] = json!(NOW.0 as f64 + 0.5)), "token_not_yet_valid"),
        ("issuer", token_with(|c| c["iss"] = json!("other")), "token_issuer_unknown"),
        ("no issuer", token_with(|c| _ = c.as_object_mut().unwrap().remove("iss")), "token_issuer_unknown"),
        ("audience", token_with(|c| c["aud"] = json!(["other", "Session-Gate"])), "token_audience_refused"),
        ("no audience", token_with(|c| _ = c.as_object_mut().unwrap().remove("aud")), "token_audience_refused"),
        ("empty audience", token_with(|c| c["aud"] = json!([])), "token_audience_refused"),
        ("replicated", sign(1, &json!({"alg": "ES256", "kid": "k1", "iss": "other"}), &claims()), "token_malformed"),
        ("no jti", token_with(|c| _ = c.as_object_mut().unwrap().remove("jti")), "token_claim_unusable"),
        ("sid", token_with(|c| c["sid"] = json!("not-ours")), "token_claim_unusable"),
        ("sub", token_with(|c| c["sub"] = json!("a\r\nx-user-id: root")), "token_claim_unusable"),
        ("oversize", token_with(|c| c["pad"] = json!("x".repeat(9000))), "token_too_large"),
        ("nothing", "x".to_owned(), "token_malformed"),
    ];
    for (what, token, expected) in cases {
        assert_eq!(code(&mut worker, &token), expected, "{what}");
    }
}

#[test]
fn time_claims_hold_to_the_second_on_each_side_of_the_leeway() {
    let mut document = config();
    document["issuers"][0]["leeway"] = json!("10s");
    let mut worker = worker_with(document);
    assert_eq!(code(&mut worker, &token_with(|c| c["exp"] = json!(NOW.0 - 9))), "forwarded");
    assert_eq!(code(&mut worker, &token_with(|c| c["exp"] = json!(NOW.0 - 10))), "token_expired");
    assert_eq!(code(&mut worker, &token_with(|c| c["nbf"] = json!(NOW.0 + 10))), "forwarded");
    assert_eq!(code(&mut worker, &token_with(|c| c["nbf"] = json!(NOW.0 + 11))), "token_not_yet_valid");
}

#[test]
fn a_remembered_token_still_expires() {
    let mut worker = worker_with(config());
    let token = token_with(|c| c["exp"] = json!(NOW.0 + 5));
    admitted(&mut worker, &token);
    worker.forget(1, Now::default());
    let (name, value) = bearer(&token);
    let event = Event::Request(request("GET", "/", &[(name, &value)]));
    let later: Outcome = worker.on_request(1, event, at(UnixSeconds(NOW.0 + 5)), &NoHostCrypto).into();
    assert_eq!(later.code().as_deref(), Some("token_expired"));
}

#[test]
fn a_token_that_expires_while_its_request_is_held_is_refused() {
    let mut worker = worker_with(config());
    call(&mut worker, "GET", "/", &token_with(|c| c["exp"] = json!(NOW.0 + 1)));
    let live = verdict(CheckVerdict::Live);
    let late: Outcome = worker.on_request(1, live, at(UnixSeconds(NOW.0 + 1)), &NoHostCrypto).into();
    assert_eq!(late.code().as_deref(), Some("token_expired"));
}

#[test]
fn scopes_and_sessions_that_a_route_asks_for() {
    let mut worker = worker_with(config());
    assert!(call(&mut worker, "POST", "/orders/1", &token()).is_held(), "its session may permit more");
    let refused = step(&mut worker, 1, verdict(CheckVerdict::Live));
    assert_eq!(refused.code().as_deref(), Some("scope_insufficient"));
    worker.forget(1, Now::default());
    let without_session = token_with(|c| _ = c.as_object_mut().unwrap().remove("sid"));
    assert_eq!(call(&mut worker, "GET", "/session", &without_session).code().as_deref(), Some("session_missing"));
    worker.forget(1, Now::default());
    assert!(call(&mut worker, "GET", "/", &without_session).call.is_some(), "the blacklist is asked all the same");
}

#[test]
fn public_and_optional_routes() {
    let mut worker = worker_with(config());
    let dirty = [("x-user-id", "root"), ("x_session_id", "s"), ("cookie", "a=1; __Host-session-gate=rubbish")];
    let passed = step(&mut worker, 1, Event::Request(request("GET", "/public/x", &dirty))).forwarded.unwrap();
    assert_eq!(
        passed,
        [
            HeaderChange::Remove("x-user-id".to_owned()),
            HeaderChange::Remove("x_session_id".to_owned()),
            HeaderChange::set("cookie", "a=1"),
        ]
    );
    let anonymous = step(&mut worker, 2, Event::Request(request("GET", "/optional", &[])));
    assert_eq!(anonymous.described, ["decision=allow reason=anonymous rule=optional"]);
    let wrong = [("authorization", "Bearer rubbish")];
    let refused = step(&mut worker, 3, Event::Request(request("GET", "/optional", &wrong)));
    assert_eq!(refused.code().as_deref(), Some("token_malformed"));
}

#[test]
fn a_cookie_passes_the_csrf_check_only_from_our_own_pages() {
    let mut worker = worker_with(config());
    let cookie = format!("__Host-session-gate={}", token());
    let send = |worker: &mut Worker, extra: (&str, &str)| {
        let outcome = step(worker, 1, Event::Request(request("POST", "/", &[("cookie", &cookie), extra])));
        worker.forget(1, Now::default());
        outcome
    };
    assert_eq!(send(&mut worker, ("sec-fetch-site", "cross-site")).code().as_deref(), Some("csrf_refused"));
    assert!(send(&mut worker, ("sec-fetch-site", "same-origin")).is_held());
    // An Authorization header no page of another site can set.
    assert!(call(&mut worker, "POST", "/", &token()).is_held());
}

#[test]
fn a_query_token_is_taken_only_where_the_route_says_so_and_taken_out() {
    let mut worker = worker_with(config());
    let target = format!("/query?a=1&access_token={}", token());
    step(&mut worker, 1, Event::Request(request("GET", &target, &[])));
    let passed = step(&mut worker, 1, verdict(CheckVerdict::Live)).forwarded.unwrap();
    assert_eq!(set(&passed, ":path"), Some(&b"/query?a=1"[..]));
    let answer = step(&mut worker, 1, Event::Answer(Headers::from_iter([(":status", "200")]))).answer.unwrap();
    assert_eq!(set(&answer, "cache-control"), Some(&b"private"[..]));
    let elsewhere = format!("/?access_token={}", token());
    let refused = step(&mut worker, 2, Event::Request(request("GET", &elsewhere, &[])));
    assert_eq!(refused.code().as_deref(), Some("credential_missing"));
}

#[test]
fn a_store_that_says_nothing_ends_in_the_routes_failure_mode() {
    let rubbish = [
        CallReply::failed(),
        CallReply { status: Some(500), body: br#"{"verdict":"live"}"#.to_vec() },
        CallReply { status: Some(200), body: b"<html>".to_vec() },
        CallReply { status: Some(200), body: br#"{"verdict":"fine"}"#.to_vec() },
        CallReply { status: Some(200), body: br#"{"more":1}"#.to_vec() },
    ];
    for reply in rubbish {
        let mut worker = worker_with(config());
        let flight = call(&mut worker, "GET", "/", &token()).callout.unwrap();
        let (_, refused) = give(&mut worker, flight, &reply, CLOCKS).pop().unwrap();
        assert_eq!(refused.code().as_deref(), Some("store_unavailable"), "{reply:?}");
        assert_eq!(refused.reply.unwrap().status, 503);
        worker.forget(1, Now::default());
        let flight = call(&mut worker, "GET", "/open", &token()).callout.unwrap();
        let (_, passed) = give(&mut worker, flight, &reply, CLOCKS).pop().unwrap();
        assert_eq!(passed.described, ["decision=allow reason=failure_mode rule=open"]);
    }
}

#[test]
fn a_failure_mode_of_allow_never_helps_a_wrong_token() {
    let mut worker = worker_with(config());
    let forged = sign(2, &json!({"alg": "ES256", "kid": "k1"}), &claims());
    assert_eq!(call(&mut worker, "GET", "/open", &forged).code().as_deref(), Some("token_signature_invalid"));
}

#[test]
fn late_and_repeated_events_change_nothing() {
    let mut worker = worker_with(config());
    call(&mut worker, "GET", "/", &token());
    assert!(step(&mut worker, 1, Event::Keys).is_held());
    assert!(step(&mut worker, 1, verdict(CheckVerdict::SessionTerminated)).reply.is_some());
    let late = step(&mut worker, 1, verdict(CheckVerdict::Live));
    assert!(late.is_held() && late.counted.is_empty(), "a second verdict must not let a refused request through");
}

#[test]
fn a_request_that_comes_before_the_keys_waits_for_them() {
    let mut worker = new_worker(config());
    let held = call(&mut worker, "GET", "/", &token());
    assert!(held.is_held() && held.call.is_none());
    let woken = give_keys(&mut worker, &json!({"keys": [jwk(1, "k1")]}), NOW);
    assert!(woken[0].0 == 1 && woken[0].1.call.is_some(), "verified, it goes on to the store");
}

#[test]
fn without_keys_tokens_are_answered_503_and_the_fetch_is_tried_again() {
    let mut worker = new_worker(config());
    call(&mut worker, "GET", "/", &token());
    assert!(due(&mut worker, Callout::Keys, at(NOW)).is_some());
    assert!(due(&mut worker, Callout::Keys, at(NOW)).is_none(), "one fetch at a time");
    let woken = give(&mut worker, Callout::Keys, &CallReply::failed(), CLOCKS);
    let refused = woken.into_iter().next().unwrap().1;
    assert_eq!(refused.code().as_deref(), Some("keys_unavailable"));
    worker.forget(1, Now::default());
    assert_eq!(call(&mut worker, "GET", "/", &token()).code().as_deref(), Some("keys_unavailable"));
    assert!(
        due(&mut worker, Callout::Keys, at(NOW)).is_none()
            && due(&mut worker, Callout::Keys, at(UnixSeconds(NOW.0 + 1))).is_some()
    );
}

#[test]
fn an_unknown_key_has_the_keys_fetched_again_but_not_for_every_request() {
    let mut worker = worker_with(config());
    let rotated = sign(3, &json!({"alg": "ES256", "kid": "k2"}), &claims());
    assert_eq!(
        call(&mut worker, "GET", "/", &rotated).code().as_deref(),
        Some("token_key_unknown"),
        "fetched just now"
    );
    worker.forget(1, Now::default());
    let later = UnixSeconds(NOW.0 + 5);
    let (name, value) = bearer(&rotated);
    let ask = |worker: &mut Worker| -> Outcome {
        let event = Event::Request(request("GET", "/", &[(name, &value)]));
        worker.on_request(1, event, at(later), &NoHostCrypto).into()
    };
    assert!(ask(&mut worker).is_held());
    let woken = give_keys(&mut worker, &json!({"keys": [jwk(1, "k1"), jwk(3, "k2")]}), later);
    assert!(woken[0].1.call.is_some());
}

#[test]
fn the_last_good_keys_stay_when_a_fetch_fails_or_brings_rubbish() {
    for body in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#, "rubbish"] {
        let mut worker = worker_with(config());
        assert!(due(&mut worker, Callout::Keys, at(UnixSeconds(NOW.0 + 60))).is_some());
        let reply = CallReply { status: Some(200), body: body.as_bytes().to_vec() };
        let outcome = worker.on_reply_to(Callout::Keys, &reply, CLOCKS, &NoHostCrypto);
        assert_eq!(outcome.counters, [Counter::Keys(CallOutcome::Failed)]);
        assert_eq!(code(&mut worker, &token()), "forwarded", "{body}");
    }
}

#[test]
fn a_key_that_was_withdrawn_takes_its_remembered_tokens_along() {
    let mut worker = worker_with(config());
    assert_eq!(code(&mut worker, &token()), "forwarded");
    give_keys(&mut worker, &json!({"keys": [jwk(3, "k2")]}), UnixSeconds(NOW.0 + 60));
    assert_eq!(code(&mut worker, &token()), "token_key_unknown");
}

#[test]
fn an_issuer_without_a_fitting_key_does_not_block_the_others() {
    let mut document = config();
    let second = json!({"issuer": "second", "audiences": ["x"], "jwks": "sidecar", "algorithms": ["EdDSA"]});
    document["issuers"].as_array_mut().unwrap().push(second);
    let mut worker = worker_with(document);
    assert_eq!(code(&mut worker, &token()), "forwarded");
}

/// A stolen key is withdrawn by keys of another algorithm, which this issuer's configuration does not accept.
#[test]
fn a_key_that_was_withdrawn_is_not_good_any_more_whatever_comes_in_its_place() {
    let mut document = config();
    document["issuers"][0]["algorithms"] = json!(["ES256"]);
    let mut worker = worker_with(document);
    assert_eq!(code(&mut worker, &token()), "forwarded");
    let other = json!({"kty": "oct", "kid": "other", "alg": "HS256", "k": "A".repeat(43)});
    let later = NOW.after(Duration::from_secs(60));
    give_keys(&mut worker, &json!({"keys": [other]}), later);
    let (name, value) = bearer(&token());
    let sent = Event::Request(request("GET", "/", &[(name, &value)]));
    let refused: Outcome = worker.on_request(9, sent, at(later), &NoHostCrypto).into();
    assert_eq!(refused.code().as_deref(), Some("token_key_unknown"));
}

#[test]
fn a_new_configuration_begins_with_the_keys_of_the_one_before() {
    let mut vm = Vm::default();
    let mut before = Worker::new(Config::from_value(config()).unwrap(), "worker", &mut vm);
    give_keys(&mut before, &json!({"keys": [jwk(1, "k1")]}), NOW);
    let mut elsewhere = config();
    elsewhere["sidecar"]["cluster"] = json!("another");
    let mut worker = Worker::new(Config::from_value(elsewhere).unwrap(), "worker", &mut vm);
    assert!(call(&mut worker, "GET", "/", &token()).is_held(), "another sidecar's keys are others");
    let mut worker = Worker::new(Config::from_value(config()).unwrap(), "worker", &mut vm);
    assert_eq!(code(&mut worker, &token()), "forwarded");
    assert!(due(&mut worker, Callout::Keys, at(NOW)).is_some(), "and fetches them anew");
}

#[test]
fn tokens_of_unknown_keys_leave_room_for_good_ones() {
    let mut document = config();
    document["bounds"] = json!({"max_held_requests": 8});
    let mut worker = worker_with(document);
    let later = UnixSeconds(NOW.0 + 5);
    let unknown = sign(3, &json!({"alg": "ES256", "kid": "k9"}), &claims());
    let mut send = |id: u32, token: &str| -> Outcome {
        let (name, value) = bearer(token);
        worker.on_request(id, Event::Request(request("GET", "/", &[(name, &value)])), at(later), &NoHostCrypto).into()
    };
    assert!(send(1, &unknown).is_held() && send(2, &unknown).is_held());
    assert_eq!(send(3, &unknown).code().as_deref(), Some("overloaded"));
    assert!(send(4, &token()).call.is_some());
}

#[test]
fn a_clients_trusted_trailers_go_too() {
    let worker = worker_with(config());
    let trailers = Headers::from_iter([("x_user_id", "root"), ("grpc-status", "0")]);
    assert_eq!(worker.trailer_changes(&trailers), [HeaderChange::Remove("x_user_id".to_owned())]);
}

#[test]
fn no_more_requests_wait_than_the_limit_and_those_that_leave_make_room() {
    let mut document = config();
    document["bounds"] = json!({"max_held_requests": 1});
    let mut worker = worker_with(document);
    let (name, value) = bearer(&token());
    let send = |worker: &mut Worker, id| step(worker, id, Event::Request(request("GET", "/", &[(name, &value)])));
    assert!(send(&mut worker, 1).call.is_some());
    let refused = send(&mut worker, 2);
    assert_eq!(refused.code().as_deref(), Some("overloaded"));
    worker.forget(1, Now::default());
    assert!(send(&mut worker, 3).is_held());
}

#[test]
fn answers_get_security_headers_whoever_made_them() {
    let mut worker = worker_with(config());
    let answer = || Event::Answer(Headers::from_iter([(":status", "200"), ("server", "upstream")]));
    step(&mut worker, 1, Event::Request(request("GET", "/public", &[])));
    let changes = step(&mut worker, 1, answer()).answer.unwrap();
    assert!(changes.contains(&HeaderChange::Remove("server".to_owned())));
    assert_eq!(set(&changes, "x-content-type-options"), Some(&b"nosniff"[..]));
    assert!(set(&changes, "strict-transport-security").is_some());
    // To a request that was never seen: Envoy's own answer, its scheme unknown.
    let changes = step(&mut worker, 9, answer()).answer.unwrap();
    assert!(set(&changes, "x-frame-options").is_some() && set(&changes, "strict-transport-security").is_none());
    // To a request that is still held: Envoy gave up waiting.
    call(&mut worker, "GET", "/", &token());
    assert!(step(&mut worker, 1, answer()).answer.is_some());
    assert!(step(&mut worker, 1, verdict(CheckVerdict::Live)).forwarded.is_none());
}

#[test]
fn a_preflight_is_answered_by_the_rule_of_the_method_that_it_announces() {
    let mut document = config();
    let cors = json!({"allow_origins": ["https://spa.example"], "max_age": "1h"});
    document["routes"][2]["cors"] = cors;
    document["routes"][1]["match"]["path"] = json!({"prefix": "/orders"});
    document["routes"].as_array_mut().unwrap().swap(1, 2);
    let mut worker = worker_with(document);
    let mut send = |method: &str, path: &str, origin: &str, announced: &str, extra: &[(&str, &str)]| {
        let marks = [("origin", origin), ("access-control-request-method", announced)];
        let headers: Vec<_> = marks.into_iter().chain(extra.iter().copied()).collect();
        worker.forget(1, Now::default());
        step(&mut worker, 1, Event::Request(request(method, path, &headers)))
    };
    let page = "https://spa.example";
    // The rule for POST answers, though the one for OPTIONS would be another.
    for extra in [&[][..], &[("x-http-method-override", "POST")]] {
        let answered = send("OPTIONS", "/orders", page, "POST", extra);
        let reply = answered.reply.unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", page),
            ("access-control-allow-methods", "POST"),
            ("access-control-max-age", "3600"),
        ] {
            assert!(reply.headers.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
        assert!(answered.forwarded.is_none());
        assert_eq!(answered.described, ["decision=allow reason=preflight rule=write"]);
    }
    // A rule that says nothing about other origins leaves it to the upstream.
    assert!(send("OPTIONS", "/orders", page, "GET", &[]).forwarded.is_some());
    let foreign = send("OPTIONS", "/orders", "https://evil.example", "POST", &[]);
    assert_eq!(foreign.code().as_deref(), Some("origin_refused"));
    let headers = foreign.reply.unwrap().headers;
    assert!(!headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{headers:?}");
    let either = send("OPTIONS", "/ORDERS", page, "POST", &[]);
    assert_eq!(either.code().as_deref(), Some("path_ambiguous"));
    assert_eq!(send("OPTIONS", "/orders", page, "P OST", &[]).code().as_deref(), Some("method_invalid"));
    assert_eq!(send("OPTIONS", "/", page, "POST", &[]).code().as_deref(), Some("credential_missing"));
    let denied = send("GET", "/cors", page, "", &[]).reply.unwrap();
    assert!(denied.headers.contains(&("access-control-allow-origin".to_owned(), page.to_owned())));
}

#[test]
fn what_no_rule_matches_is_not_there_where_the_default_is_to_deny() {
    let mut document = config();
    document["default_rule"] = json!("deny");
    let mut worker = worker_with(document);
    let good = bearer(&token());
    let preflight = [("origin", "https://spa.example"), ("access-control-request-method", "POST")];
    for request in [request("GET", "/nowhere", &[(good.0, &good.1)]), request("OPTIONS", "/nowhere", &preflight)] {
        let refused = step(&mut worker, 1, Event::Request(request));
        assert_eq!(refused.code().as_deref(), Some("no_rule"));
        assert_eq!(refused.reply.unwrap().status, 404);
        worker.forget(1, Now::default());
    }
}

#[test]
fn an_ambiguous_request_is_told_what_is_in_the_way() {
    let mut document = config();
    document["routes"][0]["match"]["hosts"] = json!(["app.example"]);
    let mut worker = worker_with(document);
    let forwarded = request("GET", "/public", &[("x-forwarded-host", "origin-1.internal")]);
    let refused = step(&mut worker, 1, Event::Request(forwarded));
    let body: serde_json::Value = serde_json::from_str(&refused.reply.unwrap().body).unwrap();
    assert_eq!(
        (body["status"].as_u64(), body["code"].as_str(), body["detail"].as_str()),
        (
            Some(400),
            Some("path_ambiguous"),
            Some(
                "The header x-forwarded-host may lead to another rule (upstream_interpretations.forwarded_host_headers)"
            )
        )
    );
    assert_eq!(
        refused.described,
        ["decision=deny reason=path_ambiguous rule=default interpretation=forwarded_host_headers"]
    );
}

#[test]
fn a_connection_header_cannot_have_ours_dropped() {
    let mut worker = worker_with(config());
    let sent = request("GET", "/public", &[("connection", "upgrade, x-user-id"), ("upgrade", "websocket")]);
    let passed = step(&mut worker, 1, Event::Request(sent)).forwarded.unwrap();
    assert_eq!(set(&passed, "connection"), Some(&b"upgrade"[..]));
}

#[test]
fn https_is_required_where_told() {
    let mut document = config();
    document["require_https"] = json!(true);
    let mut worker = worker_with(document);
    let by_http = request("GET", "/public", &[("x-forwarded-proto", "http")]);
    assert_eq!(step(&mut worker, 1, Event::Request(by_http)).code().as_deref(), Some("https_required"));
    let by_https = request("GET", "/public", &[("x-forwarded-proto", "https")]);
    assert!(step(&mut worker, 2, Event::Request(by_https)).forwarded.is_some());
    for (id, list) in [(3, "https,http"), (4, "http,https")] {
        let page = request("GET", "/public", &[("x-forwarded-proto", list), ("accept", "text/html")]);
        let refused = step(&mut worker, id, Event::Request(page));
        assert_eq!(refused.described, ["decision=deny reason=https_required rule=public"]);
        let reply = refused.reply.unwrap();
        assert_eq!(reply.status, 403, "a redirection would lead back here");
        assert!(reply.body.contains("X-Forwarded-Proto has several values"));
        let answer = Event::Answer(Headers::from_iter([(":status", "403")]));
        assert_eq!(set(&step(&mut worker, id, answer).answer.unwrap(), "strict-transport-security"), None);
    }
}

#[test]
fn an_issuer_with_inline_keys_needs_no_sidecar() {
    let mut worker = new_worker(json!({
        "issuers": [{"issuer": "idp", "audiences": ["app"], "jwks": {"inline": {"keys": [jwk(4, "idp-1")]}}}],
        "routes": [{"name": "session", "match": {"path": {"exact": "/session"}}, "require_session": true}],
    }));
    let foreign = json!({"iss": "idp", "aud": "app", "sub": "bob", "exp": NOW.0 + 60, "sid": "of-their-own"});
    let token = sign(4, &json!({"alg": "ES256", "kid": "idp-1"}), &foreign);
    let passed = call(&mut worker, "GET", "/", &token).forwarded.unwrap();
    assert_eq!(set(&passed, "x-user-id"), Some(&b"bob"[..]));
    assert_eq!(set(&passed, "x-token-issuer"), Some(&b"idp"[..]));
    assert_eq!(set(&passed, "x-session-id"), None, "no session that the sidecar knows");
    worker.forget(1, Now::default());
    assert_eq!(call(&mut worker, "GET", "/session", &token).code().as_deref(), Some("session_missing"));
    assert!(due(&mut worker, Callout::Keys, at(NOW)).is_none(), "no keys to fetch");
}

#[test]
fn a_cookie_whose_login_is_over_shuts_nobody_out_where_a_token_is_optional() {
    let mut worker = worker_with(config());
    let expired = token_with(|claims| claims["exp"] = json!(NOW.0 - 60));
    let cookie = |token: &str| format!("__Host-session-gate={token}");
    let early = token_with(|claims| claims["nbf"] = json!(NOW.0 + 600));
    let large = "a".repeat(9_000);
    let tokens = [expired.as_str(), &early, &large, "deleted", ""];
    // A form that is sent by POST, by a browser that says nothing of where it was, too.
    let sent = tokens.iter().flat_map(|token| [("GET", *token), ("POST", *token)]);
    for (id, (method, token)) in (10..).zip(sent) {
        let sent = request(method, "/optional", &[("cookie", &cookie(token))]);
        let outcome = step(&mut worker, id, Event::Request(sent));
        assert_eq!(outcome.described, ["decision=allow reason=anonymous rule=optional"], "{token}");
        let changes = outcome.forwarded.unwrap();
        assert_eq!(changes, [HeaderChange::Remove("cookie".to_owned())], "it is taken out");
    }
    let (name, value) = bearer(&expired);
    let sent = request("GET", "/optional", &[(name, &value)]);
    assert_eq!(step(&mut worker, 2, Event::Request(sent)).code().as_deref(), Some("token_expired"));
    let sent = request("GET", "/session", &[("cookie", &cookie(&expired))]);
    assert_eq!(step(&mut worker, 3, Event::Request(sent)).code().as_deref(), Some("token_expired"));
}

#[test]
fn a_good_cookie_serves_no_other_sites_request_where_a_token_is_optional_either() {
    let mut worker = worker_with(config());
    let cookie = format!("__Host-session-gate={}", token());
    let sent = request("POST", "/optional", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")]);
    assert!(step(&mut worker, 1, Event::Request(sent)).is_held(), "whether it counts as none is not known yet");
    assert_eq!(step(&mut worker, 1, verdict(CheckVerdict::Live)).code().as_deref(), Some("csrf_refused"));
    let sent = request("POST", "/optional", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")]);
    step(&mut worker, 2, Event::Request(sent));
    assert!(step(&mut worker, 2, verdict(CheckVerdict::SessionTerminated)).forwarded.is_some(), "it counts as none");
    let sent = request("POST", "/session", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")]);
    assert_eq!(step(&mut worker, 3, Event::Request(sent)).code().as_deref(), Some("csrf_refused"), "at once");
}

#[test]
fn a_token_that_is_bound_to_a_key_is_no_bearer_token_unless_the_issuer_says_so() {
    let bound = token_with(|claims| claims["cnf"] = json!({"jkt": "x"}));
    assert_eq!(code(&mut worker_with(config()), &bound), "token_claim_unusable");
    let mut document = config();
    document["issuers"][0]["bound_tokens"] = json!("accept_as_bearer");
    assert!(admitted(&mut worker_with(document), &bound).forwarded.is_some());
}

/// The headers that the answer to a request with that cookie gets, as `name: value`.
fn answer_headers(headers: &[(&str, &str)]) -> Vec<String> {
    let mut worker = worker_with(config());
    let cookie = format!("__Host-session-gate={}", token());
    let sent = request("GET", "/", &[("cookie", &cookie), ("x-forwarded-proto", "https")]);
    step(&mut worker, 1, Event::Request(sent));
    step(&mut worker, 1, verdict(CheckVerdict::Live));
    let answer = Event::Answer(headers.iter().copied().collect());
    let set = |change| match change {
        HeaderChange::Set(name, value) => Some(format!("{name}: {}", String::from_utf8(value).unwrap())),
        HeaderChange::Add(..) | HeaderChange::Remove(_) => None,
    };
    step(&mut worker, 1, answer).answer.unwrap().into_iter().filter_map(set).collect()
}

#[test]
fn answers_are_private_and_careful_by_default_and_hurt_nobody() {
    let page = answer_headers(&[(":status", "200"), ("content-type", "text/html")]);
    for header in [
        "cache-control: private",
        "vary: Cookie",
        "strict-transport-security: max-age=31536000",
        "content-security-policy: base-uri 'self'; frame-ancestors 'none'",
    ] {
        assert!(page.iter().any(|there| there == header), "{header}: {page:?}");
    }
    let data = answer_headers(&[(":status", "200"), ("content-type", "application/json")]);
    assert!(!data.iter().any(|there| there.starts_with("content-security-policy")), "it is no page: {data:?}");
}

#[test]
fn a_limit_that_is_configured_makes_no_other_appear() {
    let mut document = config();
    document["rate_limits"] = json!({"login": {"requests": 1, "window": 60}});
    document["routes"] = json!([{"name": "all", "authentication": "public"}]);
    let mut worker = worker_with(document);
    let outcome = step(&mut worker, 1, Event::Request(request("GET", "/", &[])));
    assert!(outcome.forwarded.is_some() && outcome.call.is_none());
}
