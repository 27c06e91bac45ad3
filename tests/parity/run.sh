#!/bin/bash
# ./dev parity: compare_transformers.py (or, where the first argument is "folders",
# compare_folders.py) in the reference environment.
#   run.sh BUILD_DIR [folders] [ARGS]
set -euo pipefail
cd "$(dirname "$0")"
build=$1; shift
export OMP_WAIT_POLICY=passive   # two libraries take turns on the same cores
python=$(bash environment.sh)
if [ "${1:-}" = folders ]; then
  shift
  exec "$python" compare_folders.py --build "$build" "$@"
fi
exec "$python" compare_transformers.py --encoder "$build/tests/parity_encode" "$@"
