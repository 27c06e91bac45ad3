#!/bin/bash
# The pictures of docs/attention.md, from the fixtures and the embedded model:
#   draw.sh LONGSPAN_MODEL EMBEDDED_MODEL [OUT]      OUT: where they go; this folder by default
# The test "pictures" draws them again and compares.
set -euo pipefail
tool=$1 embedded=$2 here=$(cd "$(dirname "$0")" && pwd)
out=${3:-$here} fixtures=$here/../../tests/fixtures
mask() { "$tool" mask "$@" >/dev/null; }
mask "$fixtures/longformer-windows" --tokens 64 --global 0,8 -o "$out/longformer.svg"
mask "$fixtures/bigbird" --tokens 64 -o "$out/bigbird.svg"
mask "$fixtures/modernbert" --tokens 64 -o "$out/modernbert.svg"
mask "$fixtures/reformer-mixed" --text "$here/text.txt" --num-hashes 1 -o "$out/reformer.svg"
mask "$fixtures/reformer-causal" --tokens 64 -o "$out/reformer-causal.svg"
mask "$embedded" --tokens 1024 -o "$out/embedded.svg"
