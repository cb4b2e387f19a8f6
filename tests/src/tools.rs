//! Where the programs are that the harness starts.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// How to start Envoy.
#[derive(Clone, Debug)]
pub struct EnvoyTool {
    /// Envoy itself.
    pub binary: PathBuf,
    /// func-e, which then starts it.
    pub func_e: Option<PathBuf>,
}

/// Envoy, as `ENVOY_PATH` and `FUNC_E` name it (`make` sets both), else as `scripts/tool.sh` finds it.
///
/// # Errors
/// Where there is none and none can be installed.
pub fn envoy() -> Result<EnvoyTool> {
    static FOUND: OnceLock<Option<EnvoyTool>> = OnceLock::new();
    if let Some(binary) = from_environment("ENVOY_PATH") {
        return Ok(EnvoyTool { binary, func_e: from_environment("FUNC_E") });
    }
    FOUND
        .get_or_init(|| {
            let binary = from_script("envoy")?;
            Some(EnvoyTool { binary, func_e: from_script("func-e") })
        })
        .clone()
        .context("no Envoy: `make tools` says why")
}

/// A Redis or Valkey server, as `REDIS_SERVER` names it (`make` sets it), else as `scripts/tool.sh`
/// finds it.
///
/// # Errors
/// Where there is none and none can be installed.
pub fn redis_server() -> Result<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(binary) = from_environment("REDIS_SERVER") {
        return Ok(binary);
    }
    FOUND.get_or_init(|| from_script("redis")).clone().context("no Redis: `make tools` says why")
}

/// What drives a Chromium, as `CHROMEDRIVER` names it (`make` sets it), else as `scripts/tool.sh` finds it.
///
/// # Errors
/// Where there is none and none can be installed.
pub fn chromedriver() -> Result<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(binary) = from_environment("CHROMEDRIVER") {
        return Ok(binary);
    }
    FOUND.get_or_init(|| from_script("chromedriver")).clone().context("no Chromium: `make tools` says why")
}

/// The sidecar's binary, which cargo has put beside the harness's own.
///
/// # Errors
/// Where it is not built.
pub fn sidecar() -> Result<PathBuf> {
    let binary = profile_dir()?.join("store-sidecar");
    ensure!(
        binary.exists(),
        "{} is not built: run `cargo build -p store-sidecar` (`make test` does)",
        binary.display()
    );
    Ok(binary)
}

/// The filter.
///
/// # Errors
/// Where it is not built.
pub fn filter() -> Result<PathBuf> {
    let module = root().join("target").join("session_gate.wasm");
    ensure!(module.exists(), "{} is not built: run `make wasm` (`make test` does)", module.display());
    Ok(module)
}

/// The plugin that verifies signature vectors.
///
/// # Errors
/// Where it is not built.
pub fn vectors_plugin() -> Result<PathBuf> {
    let module = root().join("target/wasm32-wasip1/wasm/examples/vectors.wasm");
    ensure!(module.exists(), "{} is not built: `make test` builds it", module.display());
    Ok(module)
}

/// The example configuration.
pub fn envoy_yaml() -> PathBuf {
    root().join("envoy").join("envoy.yaml")
}

/// The folder of the running test or demo's profile: `target/debug` as a rule.
fn profile_dir() -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let dir = executable.parent().context("an executable is in a folder")?;
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    Ok(dir.to_owned())
}

fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn from_script(tool: &str) -> Option<PathBuf> {
    let script = root().join("scripts").join("tool.sh");
    let output = std::process::Command::new(script).arg(tool).stderr(std::process::Stdio::inherit()).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let path = path.trim();
    (output.status.success() && !path.is_empty()).then(|| PathBuf::from(path))
}
