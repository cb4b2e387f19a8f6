#!/usr/bin/env bash
# Shows that the simulation finds flaws: plants each of tests/simulation/flaws/*.patch in turn in a copy of the sources,
# and runs that until a promise is broken; each of flaws/recorded/*.patch a recorded scenario must find. Then runs what is
# in the repository with the same seeds.
#
#   scripts/sim-bites.sh            all of them
#   scripts/sim-bites.sh 13 20 …    those whose names begin like that
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

seed="${SEED:-1}"
operations=2000000 # for each flaw: most are found within some ten thousands
copy="$ROOT/target/sim-bites"

have patch || die "the program \`patch\` is missing"

# A fresh copy of what the simulation is built from. Files that are alike keep their time, so that they are not
# compiled again.
copy_sources() {
  mkdir -p "$copy"
  local part
  for part in Cargo.toml Cargo.lock rust-toolchain.toml protocol jose revocation policy filter store-sidecar tests bench; do
    if [[ -d "$part" ]]; then
      (cd "$ROOT" && find "$part" -type f -print0) | while IFS= read -r -d '' file; do copy_file "$file"; done
    else
      copy_file "$part"
    fi
  done
}

copy_file() {
  if ! cmp -s "$ROOT/$1" "$copy/$1"; then
    mkdir -p "$(dirname "$copy/$1")"
    cp "$ROOT/$1" "$copy/$1"
  fi
}

# build FOLDER TARGET PROGRAM: builds the simulation there. What is flawed has a target folder of its own: cargo takes
# two copies of one workspace for the same, and might hand out the wrong one.
build() {
  (cd "$1" && CARGO_TARGET_DIR="$2" cargo build --quiet --locked --profile simulation -p session-gate-simulation \
    --bin simulation)
  cp "$2/simulation/simulation" "$3"
}

# plant FLAW: builds the simulation with it.
plant() {
  copy_sources
  patch --quiet --strip 1 --fuzz 0 --directory "$copy" <"$1" || die "${1#"$ROOT"/} does not apply any more: make it anew"
  say "==> building with the flaw $(basename "$1" .patch)"
  build "$copy" "$copy/target" "$copy/flawed"
}

# by_crate FLAW…: in such an order that a crate that is flawed is built sound again only when all of its flaws are through.
by_crate() {
  local flaw
  for flaw in "$@"; do printf '%s\t%s\n' "$(sed -n 's/^+++ b\///p' "$flaw" | head -n 1)" "$flaw"; done | sort | cut -f 2
}

# is_wanted FLAW NAME…: whether the flaw's name begins with one of them, or none is given.
is_wanted() {
  local flaw name
  flaw="$(basename "$1" .patch)-"
  shift
  (($# > 0)) || return 0
  for name in "$@"; do
    [[ "$flaw" != "$name"-* ]] || return 0
  done
  return 1
}

missed=0
most=0
shopt -s nullglob
# No mapfile: bash 3.2 has none.
flaws=() recorded=()
while IFS= read -r flaw; do flaws+=("$flaw"); done < <(by_crate "$ROOT"/tests/simulation/flaws/*.patch)
while IFS= read -r flaw; do recorded+=("$flaw"); done < <(by_crate "$ROOT"/tests/simulation/flaws/recorded/*.patch)
((${#flaws[@]} >= 3 && ${#recorded[@]} >= 3)) || die "there are no flaws to plant"
for flaw in "${recorded[@]}"; do
  is_wanted "$flaw" "$@" || continue
  plant "$flaw"
  printf '\n%s\n' "$(basename "$flaw" .patch)"
  if output="$("$copy/flawed" --scenarios)"; then
    printf '  NOT FOUND by any recorded scenario\n'
    missed=1
  else
    sed -n '/^BROKEN\|^NOT AS WRITTEN\|^scenario:/s/^/  /p' <<<"$output" | cut -c 1-170
  fi
done
for flaw in "${flaws[@]}"; do
  is_wanted "$flaw" "$@" || continue
  name="$(basename "$flaw" .patch)"
  plant "$flaw"
  output="$("$copy/flawed" --seed "$seed" --ops "$operations" || true)"
  found="$(sed -n 's/^found after \([0-9]*\) ops.*/\1/p' <<<"$output")"
  printf '\n%s\n' "$name"
  if [[ -z "$found" ]]; then
    printf '  NOT FOUND within %s operations\n' "$operations"
    missed=1
    continue
  fi
  trace="$(sed -n '/^found after/,$p' <<<"$output" | cut -c 1-170 | sed 's/^/  /')"
  head -n 3 <<<"$trace"
  tail -n 6 <<<"$trace"
  if ((found > most)); then most="$found"; fi
done

copy_sources
say "==> building without a flaw"
build "$ROOT" "${CARGO_TARGET_DIR:-$ROOT/target}" "$copy/sound"
printf '\nwithout a flaw, the same seeds and more\n'
"$copy/sound" --scenarios | sed 's/^/  /' || die "a recorded scenario fails where nothing was planted"
"$copy/sound" --seed "$seed" --ops "$((most + 500000))" | sed -n '/ops\/s$/s/^/  /p; /^BROKEN/,$p' ||
  die "the simulation finds something where nothing was planted"
((missed == 0)) || die "not every flaw was found"
