#!/usr/bin/env bash
# Checks the configurations in envoy/: Envoy must take each as it stands, and the filter its part.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

sidecar="$ROOT/target/debug/store-sidecar"
# An example's credential is a placeholder, which the check refuses.
filled_in="$(mktemp)"
trap 'rm -f "$filled_in"' EXIT
for file in envoy/*.yaml envoy/istio/*.yaml; do
  say "checking the filter's part of $file"
  sed 's/REPLACE-BY-ONE-OF-THE-SIDECARS-FILTER-CREDENTIALS/a-credential-of-32-characters-at-least/' "$file" >"$filled_in"
  "$sidecar" filter check "$filled_in" >&2
done
for file in envoy/*.yaml; do
  say "checking $file with Envoy"
  "$ENVOY_PATH" --mode validate --disable-hot-restart --log-level warning -c "$file" >/dev/null
done
