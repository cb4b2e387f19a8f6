//! What a decision costs once its token is known: allocations, counted. A change that makes it dearer has to change the
//! number here, and so is seen.

mod job;

use std::time::Duration;

use serde_json::{Value, json};
use session_gate_jose::NoHostCrypto;
use session_gate_policy::{
    config::Config,
    http::headers::Headers,
    ids::{Callout, RequestId},
    request::{Effect, Event},
    sidecar::client::CallReply,
    time::Now,
    vm::Vm,
    worker::Worker,
};
use session_gate_protocol::UnixSeconds;

const NOW: Now = Now { wall: UnixSeconds(job::NOW), monotonic: Duration::from_secs(100) };

fn ok(body: &Value) -> CallReply {
    CallReply { status: Some(200), body: body.to_string().into_bytes() }
}

/// A worker that knows its keys and the feed.
fn worker(configuration: &Value) -> Option<Worker> {
    let config = Config::from_json(configuration.to_string().as_bytes()).ok()?;
    let mut worker = Worker::new(config, "worker", &mut Vm::default());
    for (callout, _) in worker.due(NOW) {
        let reply = match callout {
            Callout::Keys => ok(&job::keys()),
            Callout::Feed(_) => ok(&job::feed()),
            _ => CallReply::failed(),
        };
        worker.on_reply_to(callout, &reply, NOW, &NoHostCrypto);
    }
    Some(worker)
}

fn headers(entries: Vec<(String, String)>) -> Headers {
    entries.into_iter().collect()
}

/// Serves a request, and grants whatever it asks for.
fn serve(worker: &mut Worker, id: RequestId, request: Headers) {
    let mut effects = worker.on_request(id, Event::Request(request), NOW, &NoHostCrypto);
    while let Some(Effect::Call(callout, _)) = effects.iter().find(|effect| matches!(effect, Effect::Call(..))) {
        let reply = ok(&job::leases());
        let outcome = worker.on_reply_to(*callout, &reply, NOW, &NoHostCrypto);
        effects = outcome.requests.into_iter().flat_map(|(_, effects)| effects).collect();
    }
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Forward(..))), "{effects:?}");
}

/// Allocations of one request from its headers to its end, after it was served a few times.
fn allocations(path: &str, token: Option<&str>) -> Option<u64> {
    allocations_with(&job::configuration(), path, token)
}

fn allocations_with(configuration: &Value, path: &str, token: Option<&str>) -> Option<u64> {
    let mut worker = worker(configuration)?;
    for id in 1..4 {
        serve(&mut worker, id, headers(job::request(path, token)));
        worker.on_request(id, Event::Answer(headers(job::response())), NOW, &NoHostCrypto);
        worker.forget(id, NOW);
    }
    let (request, response) = (headers(job::request(path, token)), headers(job::response()));
    let counted = allocation_counter::measure(|| {
        let effects = worker.on_request(9, Event::Request(request), NOW, &NoHostCrypto);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Forward(..))));
        worker.on_request(9, Event::Answer(response), NOW, &NoHostCrypto);
        worker.forget(9, NOW);
    });
    Some(counted.count_total)
}

#[test]
fn a_warm_request_allocates_no_more_than_it_did() {
    let counted = allocations("/orders/7", Some(&job::token())).unwrap();
    assert!(counted <= 85, "{counted}");
}

#[test]
fn a_public_request_allocates_no_more_than_it_did() {
    let counted = allocations("/healthz", None).unwrap();
    assert!(counted <= 29, "{counted}");
}

#[test]
fn a_warm_request_with_a_proof_allocates_no_more_than_it_did() {
    let mut configuration = job::configuration();
    configuration["upstreams"] = json!({"app": {"proof_keys": {"k1": "a-secret-of-32-characters-or-more"}}});
    configuration["upstream"] = json!("app");
    let counted = allocations_with(&configuration, "/orders/7", Some(&job::token())).unwrap();
    assert!(counted <= 93, "{counted}");
}
