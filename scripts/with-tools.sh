#!/usr/bin/env bash
# Runs a command with the named tools in its environment: `with-tools.sh envoy redis -- COMMAND …`
# sets ENVOY_PATH and FUNC_E, REDIS_SERVER. `chromedriver` sets CHROMEDRIVER, to nothing where there is no Chromium.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
tool="$ROOT/scripts/tool.sh"

while [[ "${1:---}" != -- ]]; do
  case "$1" in
    envoy)
      # func-e first: it may be what provides Envoy.
      FUNC_E="$("$tool" func-e)"
      ENVOY_PATH="$("$tool" envoy)"
      [[ -z "$FUNC_E" ]] || say "Envoy is started through $FUNC_E"
      export FUNC_E ENVOY_PATH
      ;;
    redis)
      REDIS_SERVER="$("$tool" redis)"
      export REDIS_SERVER
      ;;
    chromedriver)
      CHROMEDRIVER="$("$tool" chromedriver)"
      export CHROMEDRIVER
      ;;
    *) die "with-tools.sh: unknown tool $1" ;;
  esac
  shift
done
shift
exec "$@"
