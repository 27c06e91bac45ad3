#!/bin/bash
# ./dev load: measures the server under load and writes its tables in docs/performance.md.
#   run.sh BUILD_DIR [ARGUMENTS OF load.py]
# ONNX Runtime comes from the environment of ./dev bench, which is fetched once (1.9 GB).
set -euo pipefail
cd "$(dirname "$0")"
build=$1; shift
cache=${LONGSPAN_CACHE:-$HOME/.cache/longspan}
embedded=$(cat "$build/embedded_model.path")
python=$(bash ../bench/environment.sh)
onnx=$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=../bench "$python" -c 'import sys; from cases import Checkpoints; print(Checkpoints(*sys.argv[1:]).path("onnx-float32"))' \
  "$embedded" "$(cat "$build/dense_model.path")" "$cache" | tail -1)
python3 load.py --build "$build" --model "$embedded" --peer-python "$python" --peer-model "$onnx" "$@"
python3 load_tables.py
