#!/usr/bin/env bash
# Builds the filter to target/session_gate.wasm and checks its size: it travels in every OCI image
# and is compiled by every Envoy that loads it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

budget=2359296 # 2.25 MiB
built=target/wasm32-wasip1/wasm/session_gate.wasm
module=target/session_gate.wasm

have cargo || die "Rust is missing: install rustup, which takes the toolchain from rust-toolchain.toml"

# rust-toolchain.toml asks for the target; a rustup that only looks there when it installs the
# toolchain needs to be told.
if have rustup && ! rustup target list --installed | grep -qx wasm32-wasip1; then
  say "installing the Rust target wasm32-wasip1"
  rustup target add wasm32-wasip1 >&2
fi

say "building the filter for wasm32-wasip1"
CARGO_TARGET_DIR="$ROOT/target" cargo build --locked -p session-gate-filter --profile wasm --target wasm32-wasip1
# Replaced in one step, and only by another module: an Envoy may be reading it.
if ! cmp -s "$built" "$module"; then
  cp "$built" "$module.new"
  mv "$module.new" "$module"
fi

size=$(($(wc -c <"$module")))
((size <= budget)) || die "$module has $size bytes, $((size - budget)) more than its budget of $budget"
say "$module: $size bytes of at most $budget"
