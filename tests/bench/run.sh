#!/bin/bash
# ./dev bench: compares the engines, then the divisions of the cores among replicas, and writes the
# tables of the documents.
#   run.sh BUILD_DIR [ARGUMENTS OF compare.py]
set -euo pipefail
cd "$(dirname "$0")"
build=$1; shift
python=$(bash environment.sh)
PYTHONDONTWRITEBYTECODE=1 "$python" compare.py --worker "$build/tests/throughput_worker" --embedded "$(cat "$build/embedded_model.path")" \
  --dense "$(cat "$build/dense_model.path")" --cache "${LONGSPAN_CACHE:-$HOME/.cache/longspan}" "$@"
case " $* " in *" --help "* | *" -h "*) exit ;; esac
"$python" concurrency.py --build "$build"
python3 speed_tables.py
