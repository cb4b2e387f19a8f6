//! Whole paths through a real Envoy, a real sidecar and, where a test says so, a real Redis. Each test
//! starts its own, on free ports.

mod browsers;
mod envoy_replies;
mod feed;
mod forged_tokens;
mod freeze;
mod in_flight;
mod informational;
mod limits;
mod limits_before_authentication;
mod limits_cost;
mod limits_keys;
mod limits_together;
mod limits_trouble;
mod lockout;
mod login_pages;
mod login_story;
mod method_overrides;
mod odd_headers;
mod path_corpus;
mod races;
mod reach;
mod reconfigure;
mod redis_trouble;
mod renewal;
mod session_commands;
mod session_limit;
mod sidecar_trouble;
mod slow_clients;
mod streams;
mod survival;
mod taken_back;
mod trap;
mod trusted_headers;
mod workers;
