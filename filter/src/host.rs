//! The one module that makes host calls.
//!
//! The SDK's convenience methods unwrap, and its string getters panic on a value that is not UTF-8,
//! so only `hostcalls` is used, and of its header getters only those for bytes. Most of these, too,
//! panic on a status that they do not expect; so each call here is made in a phase where Envoy allows
//! it. The few that report a refusal are logged.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use log::{debug, info, warn};
use proxy_wasm::{
    hostcalls,
    types::{BufferType, GrpcStatusCode, MapType, MetricType, Status},
};
use session_gate_policy::{
    http::headers::{HeaderChange, Headers},
    limits::Reachable,
    metric::{Counter, VM_MEMORY},
    response::{denial::Reply, grpc::GrpcStatus},
    sidecar::client::{Call, CallReply},
    time::Now,
};
use session_gate_protocol::UnixSeconds;

/// The access log reads it as `%FILTER_STATE(wasm.session_gate:PLAIN)%`.
const DESCRIPTION: &str = "session_gate";
/// No reply of the sidecar's is longer: a page of the feed has some 192 KiB, and a single entry more at
/// most.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

thread_local! {
    /// Ids of the counters that were defined: a VM static, for a metric belongs to the VM.
    static METRICS: RefCell<HashMap<Counter, u32>> = RefCell::new(HashMap::new());
}

/// A name that no other worker has.
pub(crate) fn random_name() -> String {
    // Keyed by the host's randomness.
    format!("{:016x}", RandomState::new().hash_one(0))
}

pub(crate) fn now() -> Now {
    Now { wall: wall_clock(), monotonic: monotonic_clock() }
}

/// The host offers it to WASI only.
#[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
fn monotonic_clock() -> Duration {
    thread_local! {
        static START: Instant = Instant::now();
    }
    START.with(|start| start.elapsed())
}

fn wall_clock() -> UnixSeconds {
    let seconds = hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(u64::MAX, |since_epoch| since_epoch.as_secs());
    // Without a clock every token has expired.
    UnixSeconds(seconds)
}

pub(crate) fn set_tick_period(period: Duration) {
    note("set_tick_period", hostcalls::set_tick_period(period));
}

pub(crate) fn plugin_configuration() -> Vec<u8> {
    let whole = usize::MAX >> 1;
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, whole).ok().flatten().unwrap_or_default()
}

/// The headers or trailers of the message that the current callback is about.
pub(crate) fn headers(map: MapType) -> Headers {
    Headers::new(hostcalls::get_map_bytes(map).unwrap_or_default())
}

pub(crate) fn change(map: MapType, changes: &[HeaderChange]) {
    for change in changes {
        match change {
            HeaderChange::Add(name, value) => note("add header", hostcalls::add_map_value_bytes(map, name, value)),
            HeaderChange::Remove(name) => note("remove header", hostcalls::remove_map_value(map, name)),
            HeaderChange::Set(name, value) => {
                note("set header", hostcalls::set_map_value_bytes(map, name, Some(value)));
            }
        }
    }
}

/// Starts a call, and answers the token that its reply will have. `None`: it cannot be made, an
/// unknown cluster for instance.
pub(crate) fn dispatch(call: &Call) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    hostcalls::dispatch_http_call(&call.cluster, headers, call.body.as_deref(), Vec::new(), call.timeout)
        .inspect_err(|status| debug!("session_gate: no call to cluster {:?}: {status:?}", call.cluster))
        .ok()
}

/// What came of the call that has just returned.
pub(crate) fn call_reply(body_bytes: usize) -> CallReply {
    let status = headers(MapType::HttpCallResponseHeaders).text(":status").and_then(|status| status.parse().ok());
    let wanted = body_bytes.min(MAX_REPLY_BYTES);
    let body = if wanted == 0 {
        None
    } else {
        hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, wanted).ok().flatten()
    };
    CallReply { status, body: body.unwrap_or_default() }
}

/// Makes the following host calls be about that request. `false`: it is gone.
pub(crate) fn act_for(id: u32) -> bool {
    hostcalls::set_effective_context(id).is_ok()
}

pub(crate) fn resume_request() {
    note("resume request", hostcalls::resume_http_request());
}

pub(crate) fn resume_answer() {
    note("resume answer", hostcalls::resume_http_response());
}

/// Ends the request's stream at once.
pub(crate) fn end_stream() {
    note("end stream", hostcalls::reset_http_request());
}

pub(crate) fn reply(reply: &Reply) {
    if let Some((status, message)) = reply.grpc {
        let metadata = reply
            .headers
            .iter()
            .filter(|(name, _)| name != "content-type")
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
        note("reply", hostcalls::send_grpc_response(grpc_status(status), Some(message), metadata));
    } else {
        let headers = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        note("reply", hostcalls::send_http_response(reply.status.into(), headers, Some(reply.body.as_bytes())));
    }
}

const fn grpc_status(status: GrpcStatus) -> GrpcStatusCode {
    match status {
        GrpcStatus::InvalidArgument => GrpcStatusCode::InvalidArgument,
        GrpcStatus::PermissionDenied => GrpcStatusCode::PermissionDenied,
        GrpcStatus::ResourceExhausted => GrpcStatusCode::ResourceExhausted,
        GrpcStatus::Unimplemented => GrpcStatusCode::Unimplemented,
        GrpcStatus::Unavailable => GrpcStatusCode::Unavailable,
        GrpcStatus::Unauthenticated => GrpcStatusCode::Unauthenticated,
    }
}

/// Closed rather than open, should Envoy ever ask before it has configured.
pub(crate) fn refuse_unconfigured() {
    note("reply", hostcalls::send_http_response(503, vec![("cache-control", "no-store"), ("retry-after", "1")], None));
}

pub(crate) fn count(counter: Counter) {
    count_by(counter, 1);
}

pub(crate) fn count_by(counter: Counter, by: u64) {
    let Ok(by) = i64::try_from(by) else { return };
    if by == 0 {
        return;
    }
    let id = METRICS.with_borrow_mut(|metrics| {
        if let Some(id) = metrics.get(&counter) {
            return Some(*id);
        }
        let id = hostcalls::define_metric(MetricType::Counter, &counter.name()).ok()?;
        metrics.insert(counter, id);
        Some(id)
    });
    if let Some(id) = id {
        note("count", hostcalls::increment_metric(id, by));
    }
}

/// Shows how large this VM is, if none was larger so far.
pub(crate) fn record_memory() {
    thread_local! {
        static RECORDED: Cell<u64> = const { Cell::new(0) };
    }
    let bytes = memory_bytes();
    if bytes == RECORDED.replace(bytes) {
        return;
    }
    let Ok(id) = hostcalls::define_metric(MetricType::Gauge, VM_MEMORY) else { return };
    if hostcalls::get_metric(id).is_ok_and(|largest| largest < bytes) {
        note("record memory", hostcalls::record_metric(id, bytes));
    }
}

#[cfg(target_arch = "wasm32")]
fn memory_bytes() -> u64 {
    const PAGE_BYTES: u64 = 64 * 1024;
    core::arch::wasm32::memory_size::<0>() as u64 * PAGE_BYTES
}

/// Built natively for its documentation only.
#[cfg(not(target_arch = "wasm32"))]
fn memory_bytes() -> u64 {
    0
}

/// Whoever runs Envoy finds it in its log.
pub(crate) fn tell_of_limits(reachable: Reachable) {
    match reachable {
        Reachable::No => warn!("session_gate: limits cannot be asked about: each one's on_store_unavailable decides"),
        Reachable::Yes => info!("session_gate: limits can be asked about again"),
    }
}

pub(crate) fn describe(text: &str) {
    note("describe", hostcalls::set_property(vec![DESCRIPTION], Some(text.as_bytes())));
}

/// One of Envoy's attributes of the request; `None` where it has none such.
pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// A host function of Envoy's; `None` where this host has none of that name, or it fails.
pub(crate) fn foreign_function(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function(name, Some(arguments)).ok().flatten()
}

fn note(what: &str, result: Result<(), Status>) {
    if let Err(status) = result {
        warn!("session_gate: {what}: {status:?}");
    }
}
