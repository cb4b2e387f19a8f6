//! Limits from a request's headers to its answer's.

use serde_json::{Value, json};
use session_gate_protocol::{Algorithm, Lease, LeaseAsk, LeaseGrant, LeaseReply, LeaseRequest, LimitKey, QuotaState};

use super::*;
use crate::{
    http::headers::{HeaderChange, Headers},
    knowledge::Changes,
    metric::LimitOutcome,
    response::grpc::GrpcStatus,
    testing::{
        CLOCKS, NOW, Outcome, bearer, claims, config, due, feed_due, give, give_keys, jwk, new_worker, request, sign,
    },
};
use session_gate_jose::NoHostCrypto;

fn later(millis: u64) -> Now {
    Now { monotonic: CLOCKS.monotonic + Duration::from_millis(millis), ..CLOCKS }
}

/// A worker with that `rate_limits` section and these routes, whose feed says this.
fn worker(limits: Value, routes: Value, feed: &[Value]) -> Worker {
    let mut document = config();
    document["rate_limits"] = limits;
    document["routes"] = routes;
    let mut worker = new_worker(document);
    give_keys(&mut worker, &json!({"keys": [jwk(1, "k1")]}), NOW);
    tell(&mut worker, feed);
    worker
}

fn tell(worker: &mut Worker, changes: &[Value]) -> Option<Changes> {
    feed_due(worker, CLOCKS);
    let entries = changes
        .iter()
        .enumerate()
        .map(|(place, change)| json!({"at": format!("5-{}", place + 1), "until": 4_000_000_000_u64, "change": change}));
    let body = json!({
        "epoch": {"id": "e1", "since": 0}, "cursor": format!("5-{}", changes.len()), "age_ms": 0, "more": false,
        "entries": entries.collect::<Vec<_>>(), "ended": "",
    });
    let reply = CallReply { status: Some(200), body: body.to_string().into_bytes() };
    worker.on_reply_to(worker.last_question(), &reply, CLOCKS, &NoHostCrypto).changes
}

fn public(limits: Value) -> Value {
    json!([{"name": "all", "authentication": "public", "rate_limit": limits}])
}

fn send(worker: &mut Worker, id: RequestId, headers: &[(&str, &str)]) -> Outcome {
    worker.on_request(id, Event::Request(request("GET", "/", headers)), CLOCKS, &NoHostCrypto).into()
}

fn answered(worker: &mut Worker, id: RequestId, headers: &[(&str, &str)]) -> Vec<HeaderChange> {
    let answer = Event::Answer(headers.iter().copied().collect::<Headers>());
    Outcome::from(worker.on_request(id, answer, CLOCKS, &NoHostCrypto)).answer.unwrap()
}

fn asks(call: &Call) -> Vec<LeaseAsk> {
    let request: LeaseRequest = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
    assert_eq!(request.worker, "worker");
    request.asks
}

fn asked(outcome: &Outcome) -> Vec<LeaseAsk> {
    asks(outcome.call.as_ref().expect("the sidecar is asked"))
}

fn counter(key: &str) -> String {
    key.parse::<LimitKey>().unwrap().counter().to_string()
}

/// So many are given of each that is asked for.
fn grants(given: &[u64]) -> CallReply {
    let grant = |granted: &u64| {
        let (remaining, again_ms) = if *granted == 0 { (0, 5_000) } else { (50, 0) };
        LeaseGrant::Lease(Lease {
            granted: *granted,
            lifetime_ms: 10_000,
            outstanding: 0,
            retry_ms: again_ms,
            again_ms,
            quotas: vec![QuotaState { remaining, reset_ms: 60_000 }],
        })
    };
    let reply = LeaseReply { workers: 2, grants: given.iter().map(grant).collect() };
    CallReply { status: Some(200), body: serde_json::to_vec(&reply).unwrap() }
}

fn set<'a>(changes: &'a [HeaderChange], wanted: &str) -> Option<&'a str> {
    changes.iter().find_map(|change| match change {
        HeaderChange::Set(name, value) if name == wanted => std::str::from_utf8(value).ok(),
        _ => None,
    })
}

#[test]
fn a_request_waits_for_its_lease_and_those_behind_it_need_none() {
    let mut worker = worker(json!({"api": {"requests": 160, "key": []}}), public(json!(["api"])), &[]);
    let first = send(&mut worker, 1, &[]);
    let [ask] = asked(&first).try_into().unwrap();
    assert_eq!((ask.counter.as_str(), ask.need, ask.want), (&*counter("api:"), 1, 13));
    assert_eq!(ask.quotas[0].algorithm, Algorithm::SlidingWindow);
    assert!(send(&mut worker, 2, &[]).call.is_none(), "one question is under way");
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[3]), later(1));
    assert_eq!(woken.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
    assert!(woken.iter().all(|(_, outcome)| outcome.forwarded.is_some()));
    assert!(send(&mut worker, 3, &[]).forwarded.is_some());
    let headers = answered(&mut worker, 3, &[]);
    assert_eq!(set(&headers, "ratelimit"), Some("\"api\";r=50;t=60"));
    assert_eq!(set(&headers, "ratelimit-policy"), Some("\"api\";q=160;w=3600"));
}

#[test]
fn those_that_wait_are_asked_for_together() {
    let limits = json!({"login": {"requests": 5, "window": 60, "key": [], "exact": true}});
    let mut worker = worker(limits, public(json!(["login"])), &[]);
    let first = send(&mut worker, 1, &[]);
    (2..=7).for_each(|id| assert!(send(&mut worker, id, &[]).call.is_none()));
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[1]), later(1));
    assert!(woken[0].1.forwarded.is_some());
    let [ask] = asked(&woken[1].1).try_into().unwrap();
    assert_eq!((ask.need, ask.want), (6, 6), "for itself and the five behind it");
    let woken = give(&mut worker, woken[1].1.callout.unwrap(), &grants(&[4]), later(2));
    let passed: Vec<bool> = woken.iter().map(|(_, outcome)| outcome.forwarded.is_some()).collect();
    assert_eq!(passed, [true, true, true, true, false, false], "in their order");
}

/// They may have waited for the same call without wanting the same.
#[test]
fn for_others_no_more_is_asked_than_waits_for_the_same_key() {
    let limits = json!({"all": {"requests": 100, "key": []}, "each": {"requests": 100, "key": [{"header": "x-user"}]}});
    let mut worker = worker(limits, public(json!(["all", "each"])), &[]);
    let first = send(&mut worker, 1, &[("x-user", "alice")]);
    for (id, user) in [(2, "bob"), (3, "carol"), (4, "bob")] {
        assert!(send(&mut worker, id, &[("x-user", user)]).call.is_none());
    }
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[9, 9]), later(1));
    assert!(woken[0].1.forwarded.is_some());
    let needs = |place: usize| asked(&woken[place].1).iter().map(|ask| ask.need).collect::<Vec<u64>>();
    assert_eq!((needs(1), needs(2)), (vec![1], vec![1]), "each for itself");
    let call = woken[1].1.callout.unwrap();
    let woken = give(&mut worker, call, &grants(&[1]), later(2));
    assert_eq!(woken.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 4]);
    let [ask] = asked(&woken[1].1).try_into().unwrap();
    assert_eq!(ask.need, 1, "the other one of the same user had what came");
}

#[test]
fn who_is_denied_is_told_by_which_limit_and_for_how_long() {
    let limits = json!({"api": {"requests": 9, "window": "1min", "key": []}});
    let mut worker = worker(limits, public(json!(["api"])), &[]);
    let first = send(&mut worker, 1, &[]);
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[0]), later(1));
    let reply = woken[0].1.reply.as_ref().unwrap();
    assert_eq!((reply.status, woken[0].1.code().as_deref()), (429, Some("rate_limited")));
    assert!(reply.headers.contains(&("retry-after".to_owned(), "5".to_owned())), "{:?}", reply.headers);
    assert_eq!(woken[0].1.described, ["decision=deny reason=rate_limited rule=all limit=api"]);
    let again = send(&mut worker, 2, &[]);
    assert_eq!(again.code().as_deref(), Some("rate_limited"));
    assert!(again.call.is_none(), "nobody is asked");
    assert!(again.counted.contains(&Counter::Limit("api".parse().unwrap(), LimitOutcome::Denied)));
    let headers = answered(&mut worker, 2, &[]);
    assert_eq!(set(&headers, "ratelimit"), Some("\"api\";r=0;t=6"));
    assert_eq!(set(&headers, "x-ratelimit-remaining"), Some("0"));
    let grpc = send(&mut worker, 3, &[("content-type", "application/grpc")]);
    assert_eq!(grpc.reply.unwrap().grpc, Some((GrpcStatus::ResourceExhausted, "Too many requests")));
}

#[test]
fn a_request_takes_from_all_of_its_limits_or_from_none() {
    let limits = json!({"one": {"requests": 9, "key": []}, "two": {"requests": 5, "key": []}});
    let mut worker = worker(limits, public(json!(["one", "two"])), &[]);
    let first = send(&mut worker, 1, &[]);
    assert_eq!(asked(&first).len(), 2, "in one call");
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[2, 1]), later(1));
    assert!(woken[0].1.forwarded.is_some());
    assert_eq!(set(&answered(&mut worker, 1, &[]), "ratelimit"), Some("\"two\";r=5;t=60"), "the tighter one");
    let second = send(&mut worker, 2, &[]);
    let [ask] = asked(&second).try_into().unwrap();
    assert_eq!(ask.counter.as_str(), counter("two:"));
    let woken = give(&mut worker, second.callout.unwrap(), &grants(&[0]), later(1));
    assert_eq!(woken[0].1.described, ["decision=deny reason=rate_limited rule=all limit=two"]);
    let back = worker.hand_back(later(2));
    let settled = asks(&back[0].1).into_iter().find(|ask| ask.counter.as_str() == counter("one:")).unwrap().settle;
    assert_eq!(settled[0].used, 1, "who was denied has taken nothing");
}

#[test]
fn a_limit_in_the_shadow_refuses_nobody() {
    let limits = json!({"new": {"requests": 5, "key": [], "shadow": true}});
    let mut worker = worker(limits, public(json!(["new"])), &[]);
    let first = send(&mut worker, 1, &[]);
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[0]), later(1));
    assert!(woken[0].1.forwarded.is_some());
    assert_eq!(woken[0].1.described, ["decision=allow reason=public rule=all shadow_limit=new"]);
    assert!(woken[0].1.counted.contains(&Counter::Limit("new".parse().unwrap(), LimitOutcome::ShadowDenied)));
    assert_eq!(set(&answered(&mut worker, 1, &[]), "ratelimit"), None);
}

#[test]
fn while_the_sidecar_is_away_each_limit_does_as_it_is_told() {
    for (mode, passes) in [("deny", 0), ("allow", 5), ("share", 2)] {
        let limits = json!({"api": {"requests": 2, "key": [], "on_store_unavailable": mode}});
        let mut worker = worker(limits, public(json!(["api"])), &[]);
        let first = send(&mut worker, 1, &[]);
        let failed = worker.on_reply_to(first.callout.unwrap(), &CallReply::failed(), later(250), &NoHostCrypto);
        assert_eq!((failed.limits, failed.counters), (Some(Reachable::No), vec![Counter::Leases(CallOutcome::Failed)]));
        let mut outcomes: Vec<Outcome> = failed.requests.into_iter().map(|(_, effects)| effects.into()).collect();
        outcomes.extend((2..=5).map(|id| send(&mut worker, id, &[])));
        assert!(outcomes.iter().all(|outcome| outcome.call.is_none()), "{mode}");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.forwarded.is_some()).count(), passes, "{mode}");
        let code = outcomes[4].code();
        let expected = [("deny", Some("limit_unavailable")), ("allow", None), ("share", Some("rate_limited"))];
        assert!(expected.contains(&(mode, code.as_deref())), "{mode} {code:?}");
        if mode == "deny" {
            let reply = outcomes[4].reply.as_ref().unwrap();
            assert!(reply.status == 503 && reply.headers.contains(&("retry-after".to_owned(), "1".to_owned())));
        }
        assert!(outcomes[0].described[0].ends_with(" limit_unavailable=api"), "{:?}", outcomes[0].described);
    }
}

#[test]
fn limits_count_by_what_they_say() {
    let limits = json!({
        "by-user": {"requests": 9}, "by-session": {"requests": 9, "key": ["session"]},
        "by-tenant": {"requests": 9, "key": [{"header": "X-Tenant"}, {"claim": "plan"}]},
    });
    let names = json!(["by-user", "by-session", "by-tenant"]);
    let routes = json!([{"name": "all", "authentication": "optional", "rate_limit": names}]);
    let mut worker = worker(limits, routes, &[]);
    let counters =
        |outcome: &Outcome| -> Vec<String> { asked(outcome).into_iter().map(|ask| ask.counter.to_string()).collect() };
    let mut payload = claims();
    payload["plan"] = json!("pro");
    let token = sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &payload);
    let (name, value) = bearer(&token);
    let named = send(&mut worker, 1, &[(name, &value), ("x-tenant", "a&b")]);
    let session = payload["sid"].as_str().unwrap();
    assert_eq!(
        counters(&named),
        [
            counter("by-user:issuer=session-gate&user=alice"),
            counter(&format!("by-session:session={session}")),
            counter("by-tenant:claim.plan=pro&header.x-tenant=a%26b"),
        ]
    );
    let anonymous = send(&mut worker, 2, &[]);
    assert_eq!(
        counters(&anonymous),
        [
            counter("by-user:address="),
            counter("by-session:address="),
            counter("by-tenant:claim.plan=&header.x-tenant=")
        ]
    );
}

#[test]
fn without_a_word_a_route_has_the_limit_of_its_clients() {
    let routes = json!([
        {"name": "free", "match": {"path": {"exact": "/free"}}, "authentication": "public", "rate_limit": []},
        {"name": "all", "authentication": "optional", "cors": {"allow_origins": ["https://spa.example"]}},
    ]);
    let mut worker = worker(json!({"default": {}, "authenticated": {}}), routes, &[]);
    let anonymous = asked(&send(&mut worker, 1, &[]));
    assert_eq!((anonymous[0].counter.to_string(), anonymous[0].quotas[0].requests), (counter("default:address="), 100));
    let (name, value) = bearer(&crate::testing::token());
    let known = asked(&send(&mut worker, 2, &[(name, &value)]));
    assert_eq!(known[0].counter.to_string(), counter("authenticated:issuer=session-gate&user=alice"));
    assert_eq!((known[0].quotas[0].requests, known[0].quotas[0].window_ms), (1000, 3_600_000));
    let free = worker.on_request(3, Event::Request(request("GET", "/free", &[])), CLOCKS, &NoHostCrypto);
    assert!(Outcome::from(free).forwarded.is_some());
    let preflight = [("origin", "https://spa.example"), ("access-control-request-method", "GET")];
    let preflight = worker.on_request(4, Event::Request(request("OPTIONS", "/", &preflight)), CLOCKS, &NoHostCrypto);
    assert_eq!(Outcome::from(preflight).reply.map(|reply| reply.status), Some(204), "a preflight is no request");
}

#[test]
fn a_claim_and_then_an_override_say_how_many() {
    let limits = json!({"api": {"requests": 9, "requests_from": {"claim": "plan", "values": {"pro": 90}}}});
    let routes = json!([{"name": "all", "rate_limit": ["api"]}]);
    let mut worker = worker(limits, routes, &[]);
    let mut payload = claims();
    payload["plan"] = json!("pro");
    let token = sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &payload);
    let (name, value) = bearer(&token);
    let first = send(&mut worker, 1, &[(name, &value)]);
    assert_eq!(asked(&first)[0].quotas[0].requests, 90);
    give(&mut worker, first.callout.unwrap(), &grants(&[0]), later(1));
    assert_eq!(send(&mut worker, 2, &[(name, &value)]).code().as_deref(), Some("rate_limited"));
    let key = "api:issuer=session-gate&user=alice";
    let rule = json!({"kind": "limit", "key": key, "requests": [900]});
    let added = json!({"kind": "rule_added", "rule_id": counter(key), "rule": rule});
    let changes = tell(&mut worker, &[added]).unwrap();
    assert!(changes.affect_no_stream());
    let second = send(&mut worker, 3, &[(name, &value)]);
    assert_eq!(asked(&second)[0].quotas[0].requests, 900, "at once");
}

#[test]
fn an_answer_says_what_its_request_has_cost_and_nobody_else_hears_of_it() {
    let cost = json!({"response_header": "X-Cost", "reserve": 3});
    let limits = json!({"api": {"requests": 160, "key": [], "cost": cost}});
    let mut worker = worker(limits, public(json!(["api"])), &[]);
    let first = send(&mut worker, 1, &[]);
    assert_eq!(asked(&first)[0].need, 3);
    give(&mut worker, first.callout.unwrap(), &grants(&[10]), later(1));
    let changes = answered(&mut worker, 1, &[("x-cost", "5")]);
    assert!(changes.contains(&HeaderChange::Remove("x-cost".to_owned())));
    assert_eq!(asks(&worker.hand_back(later(2))[0].1)[0].settle[0].used, 5);
}

#[test]
fn a_slot_is_held_until_its_stream_is_over() {
    let limits = json!({"streams": {"in_flight": 16, "key": []}});
    let mut worker = worker(limits, public(json!(["streams"])), &[]);
    let first = send(&mut worker, 1, &[]);
    give(&mut worker, first.callout.unwrap(), &grants(&[1]), later(1));
    answered(&mut worker, 1, &[]);
    let second = send(&mut worker, 2, &[]);
    assert_eq!(asked(&second)[0].kept, 1);
    give(&mut worker, second.callout.unwrap(), &grants(&[0]), later(1));
    worker.forget(1, later(2));
    let third = send(&mut worker, 3, &[]);
    assert!(third.forwarded.is_some(), "the slot is here: {:?}", third.code());
}

#[test]
fn what_was_taken_back_while_a_request_waited_is_not_served() {
    let routes = json!([{"name": "all", "rate_limit": ["api"]}]);
    let mut worker = worker(json!({"api": {"requests": 9}}), routes, &[]);
    let (name, value) = bearer(&crate::testing::token());
    let first = send(&mut worker, 1, &[(name, &value)]);
    tell(&mut worker, &[json!({"kind": "session_ended", "session_id": claims()["sid"]})]);
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[3]), later(1));
    assert_eq!(woken[0].1.code().as_deref(), Some("session_terminated"));
    assert_eq!(asks(&worker.hand_back(later(2))[0].1)[0].settle[0].used, 0);
}

#[test]
fn a_question_that_went_with_its_request_is_asked_again_for_the_others() {
    let mut worker = worker(json!({"api": {"requests": 160, "key": []}}), public(json!(["api"])), &[]);
    let first = send(&mut worker, 1, &[]);
    send(&mut worker, 2, &[]);
    worker.forget(1, later(1));
    let due = worker.due(later(50));
    let (callout, call) = due.iter().find(|(callout, _)| matches!(callout, Callout::Leases(_))).unwrap();
    let [ask] = asks(call).try_into().unwrap();
    assert_eq!(ask, asked(&first)[0], "word for word");
    let woken = give(&mut worker, *callout, &grants(&[3]), later(51));
    assert!(woken[0].0 == 2 && woken[0].1.forwarded.is_some());
    let late = give(&mut worker, first.callout.unwrap(), &grants(&[3]), later(52));
    assert!(late.is_empty());
}

#[test]
fn a_question_that_was_asked_when_another_requests_reply_came_goes_with_that_one() {
    let mut worker = worker(json!({"api": {"requests": 160, "key": []}}), public(json!(["api"])), &[]);
    let first = send(&mut worker, 1, &[]);
    send(&mut worker, 2, &[]);
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[1]), later(1));
    assert!(woken[0].1.forwarded.is_some() && woken[1].1.call.is_some());
    // The host was called for the first, and brings the second's reply to it, if it is still there.
    worker.forget(1, later(2));
    let due = worker.due(later(50));
    let (callout, _) =
        due.iter().find(|(callout, _)| matches!(callout, Callout::Leases(_))).expect("it is asked again");
    let woken = give(&mut worker, *callout, &grants(&[3]), later(51));
    assert!(woken[0].0 == 2 && woken[0].1.forwarded.is_some());
}

#[test]
fn a_new_configuration_goes_on_with_what_is_leased() {
    let mut document = config();
    document["rate_limits"] = json!({"api": {"requests": 160, "key": []}});
    document["routes"] = public(json!(["api"]));
    let mut vm = Vm::default();
    let mut make = |document: Value| Worker::new(Config::from_value(document).unwrap(), "worker", &mut vm);
    let mut before = make(document.clone());
    document["realm"] = json!("new");
    let mut after = make(document);
    let first = send(&mut before, 1, &[]);
    give(&mut before, first.callout.unwrap(), &grants(&[3]), later(1));
    assert!(send(&mut after, 2, &[]).forwarded.is_some());
    before.forget(1, later(2));
    assert!(send(&mut after, 3, &[]).forwarded.is_some());
    assert!(send(&mut after, 4, &[]).is_held());
}

#[test]
fn a_worker_that_holds_as_many_as_it_may_does_not_ask() {
    let mut document = config();
    document["rate_limits"] = json!({"api": {"requests": 160, "key": [{"header": "x-key"}]}});
    document["routes"] = public(json!(["api"]));
    document["bounds"] = json!({"max_held_requests": 1});
    let mut worker = new_worker(document);
    assert!(send(&mut worker, 1, &[("x-key", "a")]).is_held());
    assert_eq!(send(&mut worker, 2, &[("x-key", "b")]).code().as_deref(), Some("limit_unavailable"));
}

#[test]
fn those_without_a_token_leave_room_for_those_with_one() {
    let mut document = config();
    document["rate_limits"] = json!({"api": {"requests": 160, "key": [{"header": "x-key"}]}});
    document["routes"] = json!([{"name": "all", "authentication": "optional", "rate_limit": ["api"]}]);
    document["bounds"] = json!({"max_held_requests": 2});
    let mut worker = new_worker(document);
    give_keys(&mut worker, &json!({"keys": [jwk(1, "k1")]}), NOW);
    tell(&mut worker, &[]);
    assert!(send(&mut worker, 1, &[("x-key", "a")]).is_held());
    assert_eq!(send(&mut worker, 2, &[("x-key", "b")]).code().as_deref(), Some("limit_unavailable"));
    let (name, value) = bearer(&sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims()));
    assert!(send(&mut worker, 3, &[("x-key", "c"), (name, &value)]).is_held());
}

/// A page of another origin sees of an answer only what is exposed.
#[test]
fn a_page_may_read_every_header_of_a_denial_that_says_why_or_until_when() {
    let limits = json!({"api": {"requests": 1, "key": []}});
    let routes = json!([{"name": "all", "authentication": "public", "rate_limit": ["api"],
        "cors": {"allow_origins": ["https://spa.example"]}}]);
    let mut worker = worker(limits, routes, &[]);
    let page = [("origin", "https://spa.example")];
    let first = send(&mut worker, 1, &page);
    let denied = give(&mut worker, first.callout.unwrap(), &grants(&[0]), later(1)).remove(0).1.reply.unwrap();
    assert_eq!(denied.status, 429);
    let header = |name: &str| denied.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str());
    let exposed: Vec<&str> = header("access-control-expose-headers").unwrap().split(", ").collect();
    assert!(header("retry-after").is_some() && exposed.contains(&"retry-after"));
    let added = answered(&mut worker, 1, &[(":status", "429")]);
    let limit_headers =
        ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    for name in limit_headers {
        assert!(set(&added, name).is_some() && exposed.contains(&name), "{name}: {exposed:?}");
    }
    for name in ["www-authenticate", "x-request-id"] {
        assert!(exposed.contains(&name), "{name}: {exposed:?}");
    }
}

/// Its limits have been asked about, and meanwhile the key of its token has gone.
#[test]
fn a_request_that_waits_for_keys_after_its_limits_is_woken_by_them() {
    let mut document = config();
    document["rate_limits"] = json!({"api": {"requests": 160, "key": []}});
    document["routes"] = json!([{"name": "all", "rate_limit": ["api"]}]);
    let mut worker = new_worker(document);
    let keys = |kid: &str| json!({"keys": [jwk(1, kid)]});
    give_keys(&mut worker, &keys("k1"), NOW);
    tell(&mut worker, &[]);
    let (name, value) = bearer(&sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims()));
    let first = send(&mut worker, 1, &[(name, &value)]);
    let lease = first.callout.unwrap();
    give_keys(&mut worker, &keys("k2"), NOW.after(Duration::from_secs(60)));
    // By now what is known of the feed is too old: its token is judged anew.
    let now = Now { wall: NOW.after(Duration::from_secs(120)), ..later(2_000) };
    let woken = give(&mut worker, lease, &grants(&[1]), now);
    assert!(matches!(woken.as_slice(), [(1, outcome)] if outcome.is_held()), "it waits for its key");
    let fetched = due(&mut worker, Callout::Keys, now);
    assert!(fetched.is_some(), "they are fetched for it");
    let body = keys("k2").to_string().into_bytes();
    let woken = give(&mut worker, Callout::Keys, &CallReply { status: Some(200), body }, now);
    assert!(matches!(woken.as_slice(), [(1, outcome)] if outcome.code().as_deref() == Some("token_key_unknown")));
}

/// Each cause for which requests of unknown senders wait: a flood of one keeps nobody from logging in.
#[test]
fn no_flood_takes_the_place_of_a_login() {
    let made_up = |id: u32| {
        let user = "alice".parse().unwrap();
        bearer(session_gate_protocol::OpaqueToken::new(&user, &[u8::try_from(id).unwrap(); 32]).expose())
    };
    let unknown_key = |id: u32| bearer(&sign(3, &json!({"alg": "ES256", "kid": format!("u{id}")}), &claims()));
    let of_known_key = |_: u32| bearer(&sign(2, &json!({"alg": "ES256", "kid": "k1"}), &claims()));
    type Flood = fn(u32) -> (&'static str, String);
    let floods: [(Flood, &str, &str); 3] = [
        (made_up, "/", "overloaded"),
        (unknown_key, "/", "overloaded"),
        (of_known_key, "/metered", "limit_unavailable"),
    ];
    for (flood, path, code) in floods {
        let mut document = config();
        document["issuers"][0]["opaque_tokens"] = json!(true);
        document["rate_limits"] = json!({
            "login": {"requests": 20, "key": [{"header": "x-address"}], "exact": true},
            "tries": {"requests": 160, "key": [{"header": "x-try"}]},
        });
        document["routes"] = json!([
            {"name": "login", "match": {"path": {"exact": "/login"}}, "authentication": "public", "rate_limit": ["login"]},
            {"name": "metered", "match": {"path": {"exact": "/metered"}}, "rate_limit_before_authentication": ["tries"]},
        ]);
        document["bounds"] = json!({"max_held_requests": 16});
        let mut worker = new_worker(document);
        give_keys(&mut worker, &json!({"keys": [jwk(1, "k1")]}), NOW);
        tell(&mut worker, &[]);
        let now = Now { wall: NOW.after(Duration::from_secs(10)), ..CLOCKS };
        let mut send = |id: u32, path: &str, headers: &[(&str, &str)]| -> Outcome {
            worker.on_request(id, Event::Request(request("GET", path, headers)), now, &NoHostCrypto).into()
        };
        let codes: Vec<_> = (1..=40)
            .map(|id| {
                let (name, value) = flood(id);
                send(id, path, &[(name, &value), ("x-try", &id.to_string())]).code()
            })
            .collect();
        assert!(codes.iter().take(4).all(Option::is_none), "{codes:?}");
        assert!(codes.iter().skip(4).all(|refused| refused.as_deref() == Some(code)), "{codes:?}");
        assert!(send(50, "/login", &[("x-address", "a")]).call.is_some(), "{code} at {path}");
        assert!(send(51, "/login", &[("x-address", "b")]).call.is_some(), "{code} at {path}");
    }
}

mod before_authentication;
