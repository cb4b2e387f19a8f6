#!/usr/bin/env bash
# Checks the configurations in envoy/: Envoy must take each as it stands, and the filter its part.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

for file in envoy/*.yaml; do
  say "checking the filter's configuration in $file"
  cargo run --quiet --locked -p store-sidecar -- filter check "$file"
  say "checking $file with Envoy"
  "$ENVOY_PATH" --mode validate --log-level warning --base-id "$((RANDOM % 30000 + 1))" -c "$file" >/dev/null
done
