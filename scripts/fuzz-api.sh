#!/usr/bin/env bash
# Sends what docs/openapi.json allows, and what it forbids, to a sidecar of this build, once for each role and once
# without a credential, and fails where an answer is none that the document describes: a status, a body, a
# header or a media type that it does not name, a refusal of what it allows, an answer to what it forbids, or 5xx.
#
# FUZZ_EXAMPLES=100: how many requests for each operation and phase. FUZZ_SEED: repeats a run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

schemathesis="$(python_package schemathesis "$SCHEMATHESIS_VERSION")" ||
  die "no fuzzer: install python3 with venv, so that the PyPI package schemathesis can be had"
examples="${FUZZ_EXAMPLES:-100}"
seed="${FUZZ_SEED:-$RANDOM$RANDOM}"

say "building the sidecar"
cargo build --quiet --locked -p store-sidecar --bin store-sidecar
sidecar="${CARGO_TARGET_DIR:-$ROOT/target}/debug/store-sidecar"

scratch="$(mktemp -d)"
pid=''
cleanup() {
  if [[ -n "$pid" ]]; then kill "$pid" 2>/dev/null || true; fi
  rm -rf "$scratch"
}
trap cleanup EXIT

credential() { printf 'fuzz-%s-credential-0123456789abcdef\n' "$1"; }

# A sidecar of its own for each role: one run must not fill the next one's store.
start() {
  : >"$scratch/log"
  # The longest durations that can be configured: the document cannot know which are.
  SESSION_DURATION_HOURS=8760 TOKEN_DURATION_HOURS=8760 \
    SESSION_GATE_LISTEN=127.0.0.1:0 SESSION_GATE_GENERATE_KEY="$scratch/key.pem" LOG_LEVEL=info \
    SESSION_GATE_ADMIN_CREDENTIALS="$(credential admin)" SESSION_GATE_APP_CREDENTIALS="$(credential app)" \
    SESSION_GATE_FILTER_CREDENTIALS="$(credential filter)" SESSION_GATE_MONITOR_CREDENTIALS="$(credential monitor)" \
    "$sidecar" 2>"$scratch/log" &
  pid=$!
  for _ in $(seq 100); do
    address="$(sed -n 's/.*listening.*address=\([0-9.:]*\).*/\1/p' "$scratch/log")"
    [[ -n "$address" ]] && return
    kill -0 "$pid" 2>/dev/null || die "the sidecar has ended: $(cat "$scratch/log")"
    sleep 0.1
  done
  die "the sidecar does not listen: $(cat "$scratch/log")"
}

failed=0
for role in admin app filter monitor nobody; do
  start
  say "fuzzing as $role (seed $seed)"
  header=()
  # Whoever has another role is refused, whatever it sends: what is allowed cannot be told from what is not.
  checks=(--checks all --exclude-checks unsupported_method)
  if [[ "$role" != nobody ]]; then header=(--header "Authorization: Bearer $(credential "$role")"); fi
  if [[ "$role" != admin ]]; then
    checks=(--checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance)
  fi
  # It keeps what it has found in the folder where it runs.
  (cd "$scratch" && PYTHONPATH="$ROOT/scripts" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=fuzz_api_hooks \
    "$schemathesis/bin/schemathesis" run "$ROOT/docs/openapi.json" \
    --url "http://$address" ${header[@]+"${header[@]}"} "${checks[@]}" --max-examples "$examples" --seed "$seed" \
    --generation-codec ascii --request-timeout 10 --max-failures 20 --workers 1 --no-color) >&2 || failed=1
  kill -0 "$pid" 2>/dev/null || die "the sidecar has ended: $(tail -n 5 "$scratch/log")"
  kill "$pid"
  wait "$pid" 2>/dev/null || true
  pid=''
done
exit "$failed"
