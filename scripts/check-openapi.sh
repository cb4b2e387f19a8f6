#!/usr/bin/env bash
# Judges docs/openapi.json by the rules of OpenAPI, with a public validator.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

validator="$(python_package openapi-spec-validator "$OPENAPI_VALIDATOR_VERSION")" ||
  die "no validator: install python3 with venv, so that the PyPI package openapi-spec-validator can be had"
"$validator/bin/openapi-spec-validator" --validation-errors all docs/openapi.json >&2
