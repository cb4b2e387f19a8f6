#!/usr/bin/env bash
# Checks the dependency rules: those of deny.toml, and that the policy stays free of I/O.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

deny="$("$ROOT/scripts/tool.sh" cargo-deny)"
say "checking bans, licences and sources"
"$deny" --locked --log-level error check bans licenses sources

# The database of advisories is fetched from the network, which a closed one does not allow. A
# finding fails the check, being out of reach does not.
if "$deny" --locked fetch db >/dev/null 2>&1; then
  say "checking advisories"
  "$deny" --locked --log-level error check advisories
else
  say "advisories: their database is out of reach here, not checked"
fi

say "checking that policy and what it stands on know no proxy, server, database, runtime or network"
forbidden='^(proxy-wasm|redis|axum|hyper|tokio|async-std|reqwest|tonic|mio|socket2|rustls)$'
for crate in session-gate-policy session-gate-protocol session-gate-jose session-gate-revocation; do
  found="$(cargo tree --locked -p "$crate" --all-features -e normal,build --prefix none --format '{p}' |
    cut -d ' ' -f 1 | sort -u | grep -E "$forbidden" || true)"
  [[ -z "$found" ]] || die "$crate depends on $(tr '\n' ' ' <<<"$found")"
done

say "checking that docs/architecture.md lists the workspace's crates"
# shellcheck disable=SC2016 # the backticks are Markdown's
listed="$(sed -n 's/^- `\([a-z\/-]*\)\/` (`\([a-z-]*\)`).*/\1 \2/p' docs/architecture.md | sort)"
actual="$(cargo metadata --locked --no-deps --format-version 1 | tr '{' '\n' |
  sed -n "s|.*\"manifest_path\":\"$(pwd -P)/\([a-z/-]*\)/Cargo.toml\".*|\1|p" | sort -u)"
actual="$(for dir in $actual; do
  printf '%s %s\n' "$dir" "$(sed -n 's/^name = "\(.*\)"/\1/p' "$dir/Cargo.toml" | head -n 1)"
done | sort)"
diff <(printf '%s\n' "$listed") <(printf '%s\n' "$actual") >&2 ||
  die "docs/architecture.md needs one line per crate, such as: - \`policy/\` (\`session-gate-policy\`): the decision"
