#!/bin/bash
# ./dev parity: compare_transformers.py with the arguments given, in the reference environment.   run.sh BUILD_DIR [ARGS]
set -euo pipefail
cd "$(dirname "$0")"
build=$1; shift
python=$(bash environment.sh)
exec "$python" compare_transformers.py --encoder "$build/tests/parity_encode" "$@"
