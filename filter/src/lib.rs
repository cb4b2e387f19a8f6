//! Session Gate's filter: the proxy-wasm host of `session-gate-policy`.
//!
//! It translates and decides nothing: Envoy's callbacks become events, the policy's effects become
//! host calls. All host calls are made in `host`.

mod crypto;
mod gate;
mod host;
mod peers;
mod reach;

use std::time::Duration;

use gate::Gate;
use log::{error, info, warn};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel},
};
use session_gate_policy::config::Config;

/// How often a worker looks whether something is due: how soon a fetch of the keys begins, and a
/// question to the feed that failed is asked again.
const TICK: Duration = Duration::from_millis(50);

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root { id, gate: None }));
}}

/// One plugin configuration in one VM.
struct Root {
    id: u32,
    /// There once a configuration was accepted.
    gate: Option<Gate>,
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        if let Some(gate) = &self.gate {
            gate.hand_back();
        }
        true
    }

    fn on_http_call_response(&mut self, token: u32, _headers: usize, body_bytes: usize, _trailers: usize) {
        if let Some(gate) = &self.gate {
            gate.on_reply(token, body_bytes);
        }
    }
}

impl RootContext for Root {
    /// Refuses a configuration with any mistake; Envoy then goes on with the one before.
    fn on_configure(&mut self, _bytes: usize) -> bool {
        match Config::from_json(&host::plugin_configuration()) {
            Ok(config) => {
                for warning in config.warnings() {
                    warn!("session_gate: configuration: {warning}");
                }
                host::set_tick_period(TICK);
                self.gate = Some(Gate::new(self.id, config));
                info!("session_gate: configuration accepted");
                true
            }
            Err(problems) => {
                for problem in problems {
                    error!("session_gate: configuration refused: {problem}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(gate) = &self.gate {
            gate.make_due_calls();
            gate.look_at_streams();
            gate.count_forgotten_keys();
        }
        host::record_memory();
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id: context_id, gate: self.gate.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    id: u32,
    /// Never missing where Envoy keeps to its word: it serves no request before it has configured.
    gate: Option<Gate>,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, _headers: usize, body_bytes: usize, _trailers: usize) {
        if let Some(gate) = &self.gate {
            gate.on_reply(token, body_bytes);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(gate) = &self.gate {
            gate.forget(self.id);
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        match &self.gate {
            Some(gate) => gate.on_request(self.id),
            None => {
                host::refuse_unconfigured();
                Action::Pause
            }
        }
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        if let Some(gate) = &self.gate {
            gate.on_request_trailers();
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        self.gate.as_ref().map_or(Action::Continue, |gate| gate.on_answer(self.id))
    }

    fn on_http_response_trailers(&mut self, _trailers: usize) -> Action {
        Gate::on_answer_trailers();
        Action::Continue
    }
}
