#!/usr/bin/env bash
# Packs the filter as the one layer of the OCI image that Istio loads: target/image/layer.tar, in which the
# module is called plugin.wasm, as Istio wants it. Needs no container engine, and the same module gives the same
# bytes. `image-layer.sh REGISTRY/NAME:TAG` pushes the image as well, with crane, and prints its name with the
# digest, which belongs into `url` of envoy/istio/.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

module=target/session_gate.wasm
dir=target/image
[[ -f "$module" ]] || die "$module is missing: run make wasm"

mkdir -p "$dir"
cp "$module" "$dir/plugin.wasm"
chmod 0644 "$dir/plugin.wasm"
have python3 || die "python3 is missing"
# tar's own options for this differ between Linux and macOS.
python3 - "$dir/plugin.wasm" "$dir/layer.tar" <<'PYTHON'
import sys, tarfile

with tarfile.open(sys.argv[2], "w", format=tarfile.USTAR_FORMAT) as tar:
    member = tarfile.TarInfo("plugin.wasm")
    with open(sys.argv[1], "rb") as module:
        module.seek(0, 2)
        member.size = module.tell()
        module.seek(0)
        tar.addfile(member, module)
PYTHON
say "$dir/layer.tar: plugin.wasm, $(($(wc -c <"$module"))) bytes"

if [[ $# -gt 0 ]]; then
  have crane || die "crane is missing: go install github.com/google/go-containerregistry/cmd/crane@latest"
  crane append --oci-empty-base --new_layer "$dir/layer.tar" --new_tag "$1"
fi
