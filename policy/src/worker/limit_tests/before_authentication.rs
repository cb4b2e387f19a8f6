//! Limits that a request must meet before its token is looked at.

use super::*;

fn metered(more: impl FnOnce(&mut Value)) -> Worker {
    let mut document = config();
    document["rate_limits"] = json!({
        "tries": {"requests": 160, "key": [{"header": "x-client"}]},
        "late": {"requests": 160, "key": []},
    });
    document["rate_limit_before_authentication"] = json!(["tries"]);
    more(&mut document);
    let mut worker = new_worker(document);
    give_keys(&mut worker, &json!({"keys": [jwk(1, "k1")]}), NOW);
    tell(&mut worker, &[]);
    worker
}

fn forged() -> String {
    sign(2, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims())
}

fn good() -> String {
    sign(1, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims())
}

fn send_token(worker: &mut Worker, id: RequestId, client: &str, token: &str) -> Outcome {
    let (name, value) = bearer(token);
    send(worker, id, &[(name, &value), ("x-client", client)])
}

#[test]
fn a_token_is_not_looked_at_before_its_turn_and_a_forged_one_has_used_it() {
    let mut worker = metered(|_| {});
    let first = send_token(&mut worker, 1, "a", &forged());
    let [ask] = asked(&first).try_into().unwrap();
    assert_eq!(ask.counter.as_str(), &*counter("tries:header.x-client=a"));
    let woken = give(&mut worker, first.callout.unwrap(), &grants(&[2]), later(1));
    assert_eq!(woken[0].1.code().as_deref(), Some("token_signature_invalid"));
    assert!(send_token(&mut worker, 2, "a", &good()).forwarded.is_some(), "the second of two");
    let third = send_token(&mut worker, 3, "a", &good());
    let woken = give(&mut worker, third.callout.unwrap(), &grants(&[0]), later(2));
    assert_eq!(woken[0].1.code().as_deref(), Some("rate_limited"));
    let at_once = send_token(&mut worker, 4, "a", &forged());
    assert_eq!(at_once.code().as_deref(), Some("rate_limited"), "nobody looks at its signature");
    assert!(send_token(&mut worker, 5, "b", &good()).call.is_some(), "another client has another count");
}

#[test]
fn a_request_without_a_token_and_a_route_that_says_so_have_no_turn() {
    let mut worker = metered(|document| {
        document["routes"] = json!([
            {"name": "free", "match": {"path": {"exact": "/free"}}, "rate_limit_before_authentication": []},
            {"name": "all"},
        ]);
    });
    assert_eq!(send(&mut worker, 1, &[]).code().as_deref(), Some("credential_missing"));
    let (name, value) = bearer(&good());
    let free = Event::Request(request("GET", "/free", &[(name, &value)]));
    assert!(Outcome::from(worker.on_request(2, free, CLOCKS, &NoHostCrypto)).forwarded.is_some());
    assert!(send_token(&mut worker, 3, "a", &good()).call.is_some());
}

#[test]
fn the_limits_of_the_route_come_after_it_and_both_are_taken_once() {
    let mut worker = metered(|document| {
        document["routes"] = json!([{"name": "all", "rate_limit": ["tries", "late"]}]);
    });
    let first = send_token(&mut worker, 1, "a", &good());
    let early = give(&mut worker, first.callout.unwrap(), &grants(&[1]), later(1));
    let [ask] = asked(&early[0].1).try_into().unwrap();
    assert_eq!(ask.counter.as_str(), &*counter("late:"), "not `tries` again");
    let woken = give(&mut worker, early[0].1.callout.unwrap(), &grants(&[1]), later(2));
    assert!(woken[0].1.forwarded.is_some());
    assert!(send_token(&mut worker, 2, "a", &good()).call.is_some(), "the one admission is used");
}

#[test]
fn what_waits_for_its_turn_takes_no_more_than_a_quarter_of_the_room() {
    let mut worker = metered(|document| document["bounds"] = json!({"max_held_requests": 8}));
    assert!(send_token(&mut worker, 1, "a", &forged()).call.is_some());
    assert!(send_token(&mut worker, 2, "b", &forged()).call.is_some());
    assert_eq!(send_token(&mut worker, 3, "c", &forged()).code().as_deref(), Some("limit_unavailable"));
}
