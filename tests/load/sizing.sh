#!/bin/bash
# ./dev sizing: measures what a server does and takes, and writes its tables in docs/operations.md.
#   sizing.sh BUILD_DIR [ARGUMENTS OF sizing.py]
# The checkpoints are made with the environment of ./dev bench, which is fetched once (1.9 GB).
set -euo pipefail
cd "$(dirname "$0")"
build=$1; shift
python3 sizing.py --build "$build" --embedded "$(cat "$build/embedded_model.path")" --checkpoints "$(bash ../bench/environment.sh)" "$@"
python3 sizing_tables.py
