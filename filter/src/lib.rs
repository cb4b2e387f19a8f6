//! The proxy-wasm host of the policy.
