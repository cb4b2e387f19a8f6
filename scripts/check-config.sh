#!/usr/bin/env bash
# Checks the configurations in envoy/: Envoy must take each as it stands, and the filter its part.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

sidecar="$ROOT/target/debug/store-sidecar"
for file in envoy/*.yaml envoy/istio/*.yaml; do
  say "checking the filter's part of $file"
  "$sidecar" filter check "$file" >&2
done
for file in envoy/*.yaml; do
  say "checking $file with Envoy"
  "$ENVOY_PATH" --mode validate --disable-hot-restart --log-level warning -c "$file" >/dev/null
done
