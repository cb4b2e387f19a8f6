#!/usr/bin/env bash
# Starts the Envoy that the rest here uses with a configuration of the user's own: `envoy.sh FILE`. Paths in the file are
# as seen from the repository's root.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

[[ -n "${1:-}" ]] || die "CONFIG is missing: the file with Envoy's configuration, as in \`make envoy CONFIG=gate.yaml\`"
[[ -r "$1" ]] || die "CONFIG is $1, which cannot be read from $ROOT"
say "Envoy with $1; Ctrl-C stops it"
exec "${ENVOY_PATH:?is set by with-tools.sh}" -c "$1" --disable-hot-restart --concurrency 2 --log-level warning
