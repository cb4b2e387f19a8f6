//! A wasm plugin that traps on demand: with it the tests show that they would see a trap of the
//! filter.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// The smallest plugin that Envoy takes. It traps on a request with more than 20 headers, pseudo
/// headers included, and lets all others pass.
const PLUGIN: &str = r#"
(module
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_headers") (param $context i32) (param $headers i32) (param i32) (result i32)
    (if (i32.gt_u (local.get $headers) (i32.const 20)) (then (unreachable)))
    (i32.const 0)))
"#;

/// Writes the plugin into `dir`.
///
/// # Errors
/// Where it cannot be written.
pub fn write_plugin(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("trap.wasm");
    std::fs::write(&path, wat::parse_str(PLUGIN)?)?;
    Ok(path)
}
