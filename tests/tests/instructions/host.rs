//! What Envoy does for the filter, by proxy-wasm's ABI 0.2.1, and the little of WASI that Rust's library needs. Clocks
//! stand still, and what is random is the same each time: the same job costs the same instructions.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    guest::Guest,
    job,
    wire::{self, HeaderMap},
};

// Of the ABI's enumerations what is used here.
pub const REQUEST_HEADERS: u32 = 0;
pub const RESPONSE_HEADERS: u32 = 2;
pub const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;
const REQUEST_STREAM: u32 = 0;
const WARN: u32 = 3;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

/// A call that the filter makes.
pub struct Call {
    pub token: u32,
    pub path: String,
}

/// What the host holds, for one request at a time.
#[derive(Default)]
pub struct Host {
    configuration: Vec<u8>,
    /// Headers, by the number of their map.
    pub maps: HashMap<u32, HeaderMap>,
    pub call_response_body: Vec<u8>,
    /// Calls that nobody has answered yet.
    pub calls: Vec<Call>,
    /// Whether the filter has let the request that it held go on.
    pub resumed: bool,
    calls_made: u32,
    metrics: Vec<(String, u64)>,
}

impl Host {
    pub fn new(configuration: Vec<u8>) -> Self {
        Self { configuration, ..Self::default() }
    }

    pub fn header(&self, map: u32, name: &str) -> Option<&str> {
        self.maps.get(&map)?.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of one of the filter's metrics, by its name without the prefix.
    pub fn metric(&self, name: &str) -> u64 {
        let is_it = |metric: &str| metric.strip_prefix("session_gate.") == Some(name);
        self.metrics.iter().find(|(metric, _)| is_it(metric)).map_or(0, |(_, value)| *value)
    }

    fn metric_mut(&mut self, id: u32) -> Result<&mut u64> {
        self.metrics.get_mut(id as usize).map(|(_, value)| value).context("no such metric")
    }

    fn define_metric(&mut self, name: String) -> Result<u32> {
        let known = self.metrics.iter().position(|(metric, _)| *metric == name);
        let id = known.unwrap_or_else(|| {
            self.metrics.push((name, 0));
            self.metrics.len() - 1
        });
        Ok(u32::try_from(id)?)
    }

    fn call(&mut self, headers: HeaderMap) -> Result<u32> {
        self.calls_made += 1;
        let (_, path) = headers.into_iter().find(|(name, _)| name == ":path").context("a call without a path")?;
        self.calls.push(Call { token: self.calls_made, path });
        Ok(self.calls_made)
    }
}

/// Carries out a function that the filter imports. One that it doesn't need for an ordinary request is an error: so is
/// whatever refuses the request, and a panic.
pub fn carry_out(name: &str, arguments: &[u64], mut guest: Guest<'_>) -> Result<u32> {
    // Only metrics have amounts of 64 bits; all else is 32 bits wide.
    let amount = arguments.last().copied().unwrap_or_default();
    let narrow: Vec<u32> = arguments.iter().map(|argument| *argument as u32).collect();
    match (name, narrow.as_slice()) {
        ("proxy_log", &[level, text, length]) => {
            let text = guest.read_text(text, length)?;
            // Else something is wrong with the configuration, or it was a panic.
            ensure!(level < WARN, text);
        }
        ("proxy_set_tick_period_milliseconds" | "proxy_set_effective_context", [_])
        | ("proxy_set_property", [_, _, _, _])
        | ("environ_get", [_, _]) => {}
        ("proxy_get_current_time_nanoseconds", &[to]) => {
            guest.write(to, &(job::NOW * 1_000_000_000).to_le_bytes())?;
        }
        ("clock_time_get", &[_, _, to]) => guest.write(to, &100_000_000_000_u64.to_le_bytes())?,
        ("random_get", &[to, length]) => guest.write(to, &vec![7; length as usize])?,
        ("environ_sizes_get", &[count_to, bytes_to]) => {
            guest.write_u32(count_to, 0)?;
            guest.write_u32(bytes_to, 0)?;
        }
        ("proxy_get_buffer_bytes", &[buffer, _, _, to, length_to]) => {
            let bytes = match buffer {
                PLUGIN_CONFIGURATION => guest.host().configuration.clone(),
                CALL_RESPONSE_BODY => guest.host().call_response_body.clone(),
                _ => return Ok(NOT_FOUND),
            };
            guest.give(&bytes, to, length_to)?;
        }
        ("proxy_get_header_map_pairs", &[map, to, length_to]) => {
            let bytes = wire::serialize(guest.host().maps.entry(map).or_default())?;
            guest.give(&bytes, to, length_to)?;
        }
        ("proxy_remove_header_map_value", &[map, name, length]) => {
            let name = guest.read_text(name, length)?;
            guest.host().maps.entry(map).or_default().retain(|(other, _)| *other != name);
        }
        ("proxy_replace_header_map_value", &[map, name, name_length, value, value_length]) => {
            let name = guest.read_text(name, name_length)?;
            let value = guest.read_text(value, value_length)?;
            let map = guest.host().maps.entry(map).or_default();
            map.retain(|(other, _)| *other != name);
            map.push((name, value));
        }
        ("proxy_get_property", &[path, length, to, length_to]) => {
            if guest.read(path, length)? != b"source\0address" {
                return Ok(NOT_FOUND);
            }
            guest.give(b"192.0.2.7:40000", to, length_to)?;
        }
        ("proxy_http_call", &[_, _, headers, headers_length, _, _, _, _, _, token_to]) => {
            let headers = wire::deserialize(&guest.read(headers, headers_length)?)?;
            let token = guest.host().call(headers)?;
            guest.write_u32(token_to, token)?;
        }
        ("proxy_continue_stream", &[REQUEST_STREAM]) => guest.host().resumed = true,
        ("proxy_define_metric", &[_, name, length, id_to]) => {
            let name = guest.read_text(name, length)?;
            let id = guest.host().define_metric(name)?;
            guest.write_u32(id_to, id)?;
        }
        ("proxy_increment_metric", &[id, _]) => *guest.host().metric_mut(id)? += amount,
        ("proxy_record_metric", &[id, _]) => *guest.host().metric_mut(id)? = amount,
        ("proxy_get_metric", &[id, to]) => {
            let value = *guest.host().metric_mut(id)?;
            guest.write(to, &value.to_le_bytes())?;
        }
        // Envoy's verify_signature. Without it the filter verifies a token itself, once.
        ("proxy_call_foreign_function", _) => return Ok(NOT_FOUND),
        _ => bail!("the filter calls {name}{narrow:?}"),
    }
    Ok(OK)
}
