#!/usr/bin/env bash
# Runs the tests that drive a Chromium, or says that they are skipped where there is none and none can be installed.
# Its arguments are cargo's. `with-tools.sh envoy redis chromedriver --` comes before it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

if [[ -z "${CHROMEDRIVER:-}" ]]; then
  say "==> SKIPPED: the tests in a browser, for there is no chromedriver"
  exit
fi
# Each starts a browser or two, an Envoy with four workers, a sidecar and a Redis.
exec cargo test "$@" --test browser -- --ignored --test-threads 2
