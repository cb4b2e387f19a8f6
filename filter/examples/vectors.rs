//! Signature vectors, verified by the wasm build in a real Envoy on both of its paths: Rust's own
//! cryptography, and Envoy's through the foreign function. For the integration tests.
//!
//! The plugin's configuration is a list of groups (`tests/src/vectors.rs`); the counters
//! `vectors.checked` and `vectors.wrong` say how it went, and the log which vector was wrong.

#[path = "../src/crypto.rs"]
mod crypto;
#[path = "../src/host.rs"]
#[expect(dead_code, reason = "most of the filter's host calls are not needed here")]
mod host;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::Envoy;
use log::error;
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{ContextType, LogLevel, MetricType},
};
use serde::Deserialize;
use session_gate_jose::{NoHostCrypto, VerifyingKey};
use session_gate_protocol::Jwk;

#[derive(Deserialize)]
struct Group {
    name: String,
    jwk: Jwk,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: u64,
    text: String,
    signature: String,
    good: Option<bool>,
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Vectors));
}}

struct Vectors;
struct Stream;

impl Context for Vectors {}
impl Context for Stream {}
impl HttpContext for Stream {}

impl RootContext for Vectors {
    fn on_configure(&mut self, _bytes: usize) -> bool {
        let groups: Vec<Group> = match serde_json::from_slice(&host::plugin_configuration()) {
            Ok(groups) => groups,
            Err(problem) => {
                error!("vectors: {problem}");
                return false;
            }
        };
        let (mut checked, mut wrong) = (0, 0);
        for group in &groups {
            for case in &group.cases {
                checked += 1;
                if !agrees(group, case) {
                    wrong += 1;
                    error!("vectors: {} {}", group.name, case.id);
                }
            }
        }
        count("vectors.checked", checked);
        count("vectors.wrong", wrong);
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn agrees(group: &Group, case: &Case) -> bool {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let (text, signature) = (decode(&case.text), decode(&case.signature));
    let (ours, hosts) = match VerifyingKey::from_jwk(&group.jwk, &[]) {
        Ok(key) => (key.verify(&text, &signature, &NoHostCrypto), key.verify(&text, &signature, &Envoy)),
        Err(_) => (false, false),
    };
    ours == hosts && case.good.is_none_or(|good| good == ours)
}

fn count(name: &str, value: i64) {
    // Defined also where it stays at zero, so that a test can tell zero from missing.
    let counted =
        hostcalls::define_metric(MetricType::Counter, name).and_then(|id| hostcalls::increment_metric(id, value));
    if let Err(status) = counted {
        error!("vectors: {name}: {status:?}");
    }
}
