#!/usr/bin/env bash
# Checks that each planted flaw of the simulation still applies to the sources. That it is found shows scripts/sim-bites.sh.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

have patch || die "the program \`patch\` is missing"

failed=0
while IFS= read -r flaw; do
  if ! patch --dry-run --quiet --force --strip 1 --fuzz 0 <"$flaw" >/dev/null; then
    printf '%s does not apply any more: make it anew\n' "${flaw#./}" >&2
    failed=1
  fi
done < <(find tests/simulation/flaws -name '*.patch')
((failed == 0)) || die "a planted flaw does not apply"
