#!/usr/bin/env bash
# Checks that the files which are generated from the types are those in the repository.
# `check-generated.sh --write` writes them anew.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# FILE: the arguments of store-sidecar that print it.
generated=(
  "envoy/filter.schema.json:filter schema"
  "docs/openapi.json:openapi"
)

stale=0
for entry in "${generated[@]}"; do
  file="${entry%%:*}"
  read -ra arguments <<<"${entry#*:}"
  fresh="$(mktemp)"
  cargo run --quiet --locked -p store-sidecar --bin store-sidecar -- "${arguments[@]}" >"$fresh"
  if [[ "${1:-}" == --write ]]; then
    cp "$fresh" "$file"
  elif ! diff -u "$file" "$fresh" >&2; then
    say "$file is not what its types say: run scripts/check-generated.sh --write"
    stale=1
  fi
  rm -f "$fresh"
done
exit "$stale"
